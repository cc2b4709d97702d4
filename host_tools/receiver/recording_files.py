"""The files of the recordings: a WAV and a JSON file under a random id, for their owner alone.

Only this module writes audio to disk and removes it.  A removal goes on past what cannot be
removed, and says what is left.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import wave
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from firmware.satellite import protocol
from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.recording import Recording, from_json

_OURS = re.compile(
    r"(?P<id>[0-9a-f]{16})\.(?P<kind>wav|json)|\.[0-9a-f]{16}\.(wav|json)\.[0-9a-f]+\.part"
)


@dataclass
class Deletion:
    """What came of a deletion: how many recordings are gone, and what could not be removed."""

    count: int = 0
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Content:
    """What a folder holds, by name: the stamp of each JSON, the WAVs, and half-written parts."""

    facts: dict[str, str]
    wavs: set[str]
    parts: list[str]


class RecordingFiles:
    """The files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def wav(self, id: str) -> Path:
        return self.folder / f"{id}.wav"

    def facts(self, id: str) -> Path:
        return self.folder / f"{id}.json"

    def scan(self) -> Content:
        """Return what is in the folder; raises HostToolError."""
        found = Content({}, set(), [])
        try:
            with os.scandir(self.folder) as entries:
                for entry in entries:
                    if (match := _OURS.fullmatch(entry.name)) is None:
                        continue
                    if match["id"] is None:
                        found.parts.append(entry.name)
                    elif match["kind"] == "wav":
                        found.wavs.add(match["id"])
                    else:
                        found.facts[match["id"]] = self.stamp(match["id"])
        except OSError as error:
            raise HostToolError(
                f"cannot list {self.folder}: {error.strerror}", "check its permissions"
            ) from error
        return found

    def stamp(self, id: str) -> str:
        """Return what changes when the facts are written anew; empty when there are none."""
        try:
            status = self.facts(id).lstat()
        except OSError:
            return ""
        return f"{status.st_mtime_ns}:{status.st_size}:{status.st_ino}"

    def write(self, recording: Recording, audio: bytes) -> None:
        """Write both files, or none of them; raises HostToolError."""
        owner_only_files.make_folder(self.folder)
        try:
            # The JSON first: a WAV is never on disk without the consent that allows it.
            self.write_facts(recording)
            owner_only_files.write(self.wav(recording.id), wav_bytes(audio))
        except BaseException:
            self.remove(recording.id, Deletion())  # of a dropped stream nothing stays
            raise

    def write_facts(self, recording: Recording) -> None:
        owner_only_files.write(self.facts(recording.id), recording.to_json())

    def read_facts(self, ids: Iterable[str]) -> list[Recording]:
        """Return those whose facts are sound; what cannot be read is not."""
        found = []
        for id in ids:
            with contextlib.suppress(HostToolError):
                recording = from_json(owner_only_files.read(self.facts(id)), id)
                found += [recording] if recording is not None else []
        return found

    def is_in_doubt(self, id: str) -> bool:
        """Return whether there are facts that cannot be read, and may be sound."""
        try:
            if self.facts(id).exists():
                owner_only_files.read(self.facts(id))
        except (HostToolError, OSError):
            return True
        return False

    def audio(self, recording: Recording) -> bytes:
        """Return the samples, checked against their SHA-256; raises HostToolError."""
        path = self.wav(recording.id)
        try:
            with wave.open(io.BytesIO(owner_only_files.read(path))) as file:
                audio: bytes = file.readframes(file.getnframes())
        except (wave.Error, EOFError):
            audio = b""
        if hashlib.sha256(audio).hexdigest() != recording.sha256:
            raise HostToolError(
                f"{path} is damaged", f"delete it: earnest recordings delete {recording.id}"
            )
        return audio

    def remove(self, id: str, done: Deletion) -> bool:
        """Remove both files, the audio first: while it is there, so is what says whose it is."""
        return _unlink(self.wav(id), done) and _unlink(self.facts(id), done)

    def settle(self) -> list[str]:
        """Wait until what was removed and replaced stays so after a power loss; what is in doubt.

        Else a deletion could be confirmed, and the files be there again at the next start.
        """
        try:
            atomic_file.sync_folder(self.folder)
        except OSError as error:
            return [f"{self.folder}: not certain to last: {error.strerror}"]
        return []

    def remove_part(self, name: str, done: Deletion) -> None:
        """Remove a half-written file."""
        _unlink(self.folder / name, done)


def _unlink(path: Path, done: Deletion) -> bool:
    """Remove whatever has this name; what cannot be removed is noted in `done`."""
    try:
        if path.is_symlink() and path.exists():
            done.left.append(f"{path}: a link; remove {path.resolve()} and the link by hand")
            return False
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        done.left.append(f"{path}: {error.strerror}")
        return False
    return True


def wav_bytes(audio: bytes) -> bytes:
    """Return a WAV file of int16 samples, 16 kHz, mono."""
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setnchannels(protocol.CHANNELS)
        file.setsampwidth(protocol.WIDTH_BYTES)
        file.setframerate(protocol.RATE_HZ)
        file.writeframes(audio)
    return memory.getvalue()
