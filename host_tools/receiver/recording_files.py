"""The files of the recordings: the sealed audio and a JSON file under a random id.

Only this module writes audio to disk and removes it.  The audio is sealed under a key of its own
(`recording_keys`); a WAV beside it is from an earlier version, which sealed nothing.  A removal
goes on past what cannot be removed, and says what is left.
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
from host_tools.receiver import owner_only_files, sealing
from host_tools.receiver.recording import Recording, from_json
from host_tools.receiver.recording_keys import KEYS_FILE, RecordingKeys, overwrite
from host_tools.receiver.stopping import Stopping

_OURS = re.compile(
    r"(?P<id>[0-9a-f]{16})\.(?P<kind>sealed|wav|json)|"
    r"\.[0-9a-f]{16}\.(sealed|wav|json)\.[0-9a-f]+\.part"
)


@dataclass
class Deletion:
    """What came of a deletion: how many recordings are gone, and what could not be removed."""

    count: int = 0
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Content:
    """What a folder holds, by name: the stamp of each JSON, the audio, and half-written parts."""

    facts: dict[str, str]
    sealed: set[str]
    #: Of an earlier version.
    wavs: set[str]
    parts: list[str]

    @property
    def audio(self) -> set[str]:
        """Whatever has audio."""
        return self.sealed | self.wavs


class RecordingFiles:
    """The files in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = RecordingKeys(folder)

    def sealed(self, id: str) -> Path:
        return self.folder / f"{id}.sealed"

    def plain(self, id: str) -> Path:
        return self.folder / f"{id}.wav"

    def facts(self, id: str) -> Path:
        return self.folder / f"{id}.json"

    def scan(self, stopping: Stopping | None = None) -> Content:
        """Return what is in the folder; raises HostToolError, and Stopped."""
        found = Content({}, set(), set(), [])
        try:
            with os.scandir(self.folder) as entries:
                for number, entry in enumerate(entries):
                    if stopping is not None:
                        stopping.check(number)
                    if (match := _OURS.fullmatch(entry.name)) is None:
                        continue
                    if match["id"] is None:
                        found.parts.append(entry.name)
                    elif match["kind"] == "wav":
                        found.wavs.add(match["id"])
                    elif match["kind"] == "sealed":
                        found.sealed.add(match["id"])
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
        """Write both files and the key, or none of them; raises HostToolError.

        The key is last: a file without one was never confirmed.
        """
        try:
            with self.keys.writing() as keys:
                key = keys.new(recording.id)
                # The JSON first: audio is never on disk without the consent that allows it.
                self.write_facts(recording)
                self._write_sealed(recording.id, wav_bytes(audio), key)
                self._sync()
        except BaseException:
            self.remove(recording.id, Deletion())  # of a dropped stream nothing stays
            raise

    def take_in(self, ids: Iterable[str]) -> list[str]:
        """Seal WAVs of an earlier version, then overwrite and remove them; returns what is left.

        A power loss at any point leaves the WAV, or the sealed file and its key, or both.
        """
        left = []
        with self.keys.writing() as keys:
            known = keys.ids()
            sealed = []
            for id in ids:
                try:
                    if self.plain(id).is_symlink():
                        raise HostToolError(f"{self.plain(id)}: a link; not sealed")
                    if id not in known or not self._has_sealed(id):
                        keys.destroy([id])
                        content = owner_only_files.read(self.plain(id))
                        self._write_sealed(id, content, keys.new(id))
                    sealed.append(id)
                except HostToolError as error:
                    keys.destroy([id])
                    left.append(error.message)
            self._sync()
        for id in sealed:
            try:
                overwrite(self.plain(id))
                self.plain(id).unlink()
            except OSError as error:
                left.append(f"{self.plain(id)}: {error.strerror}")
        return left

    def _has_sealed(self, id: str) -> bool:
        """Return whether what was sealed can be read again."""
        try:
            return self._content(id)[1] != b""
        except HostToolError:
            return False

    def _write_sealed(self, id: str, content: bytes, key: bytes) -> None:
        sealed = sealing.seal(content, key, self.keys.store(), id, sealing.AUDIO)
        owner_only_files.write(self.sealed(id), sealed)

    def _sync(self) -> None:
        if problems := self.settle():
            raise HostToolError(problems[0])

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

    def wav(self, recording: Recording) -> bytes:
        """Return the WAV, its samples checked against their SHA-256; raises HostToolError."""
        path, content = self._content(recording.id)
        try:
            with wave.open(io.BytesIO(content)) as file:
                audio = file.readframes(file.getnframes())
        except (wave.Error, EOFError):
            audio = b""
        if hashlib.sha256(audio).hexdigest() != recording.sha256:
            raise HostToolError(
                f"{path} is damaged", f"delete it: earnest recordings delete {recording.id}"
            )
        return wav_bytes(audio)

    def _content(self, id: str) -> tuple[Path, bytes]:
        """Return the file with the audio and what it holds; nothing when its seal is broken."""
        key = self.keys.get(id)
        if key is None and self.plain(id).exists():
            return self.plain(id), owner_only_files.read(self.plain(id))
        path = self.sealed(id)
        sealed = owner_only_files.read(path)
        if key is None:
            raise HostToolError(
                f"the key of {path} is missing", f"restore {KEYS_FILE} from a backup"
            )
        return path, sealing.unseal(sealed, key, id, sealing.AUDIO) or b""

    def foreign(self, ids: Iterable[str]) -> set[str]:
        """Return which sealed files without a key were not deleted here: their key is, or was, in
        another key file."""
        store = self.keys.store()
        return {id for id in ids if self._store_of(id) not in (None, store)}

    def _store_of(self, id: str) -> bytes | None:
        try:
            with open(self.sealed(id), "rb") as file:
                return sealing.store_of(file.read(sealing.HEADER_BYTES))
        except IsADirectoryError:
            return None
        except OSError:
            return b""  # in doubt: it may be sound

    def remove(self, id: str, done: Deletion) -> bool:
        """Remove the files, the audio first: while it is there, so is what says whose it is."""
        is_gone = all([_unlink(path, done) for path in (self.sealed(id), self.plain(id))])
        return is_gone and _unlink(self.facts(id), done)

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
