"""Recordings that a device's consent allowed to keep: a WAV and a JSON file under a random id.

The JSON says under which consent, and until when; a WAV without a sound one is removed, since
nobody could tell what was agreed.  Only this module writes audio to disk.
"""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import re
import secrets
import wave
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files

VERSION = 1
DEFAULT_KEEP_DAYS = 30.0
_ID = re.compile(r"[0-9a-f]{16}")
_OURS = re.compile(r"([0-9a-f]{16})\.(wav|json)|\.[0-9a-f]{16}\.(wav|json)\.[0-9a-f]+\.part")


@dataclass(frozen=True)
class Recording:
    """What is known about a recording; nothing of it names a device, a user or an account."""

    id: str
    #: UTC, to the second.
    created: str
    expires: str
    samples: int
    duration_ms: int
    #: Of the samples as bytes, int16 little-endian.
    sha256: str
    preroll_ms: int
    share_for_training: bool
    #: The consent it was kept under: see Authority.consent_tag.
    consent: str
    wake_word: str | None = None
    version: int = VERSION


class Recordings:
    """The recordings in `folder`; `keep_days` after their creation they are removed."""

    def __init__(self, folder: Path, keep_days: float = DEFAULT_KEEP_DAYS) -> None:
        self._folder = folder
        self._keep = datetime.timedelta(days=keep_days)

    def add(
        self,
        audio: bytes,
        *,
        consent: str,
        share_for_training: bool,
        preroll_ms: int,
        wake_word: str | None,
    ) -> Recording:
        """Keep `audio` (int16, 16 kHz, mono) whose stream allowed it; raises HostToolError."""
        now = _now()
        samples = len(audio) // protocol.WIDTH_BYTES
        recording = Recording(
            id=secrets.token_hex(8),
            created=_text(now),
            expires=_text(now + self._keep),
            samples=samples,
            duration_ms=samples * 1000 // protocol.RATE_HZ,
            sha256=hashlib.sha256(audio).hexdigest(),
            preroll_ms=preroll_ms,
            share_for_training=share_for_training,
            consent=consent,
            wake_word=wake_word,
        )
        owner_only_files.make_folder(self._folder)
        # The JSON first: a WAV is never on disk without the consent that allows it.
        self._write_facts(recording)
        owner_only_files.write(self._wav(recording.id), _wav_bytes(audio))
        return recording

    def all(self) -> list[Recording]:
        """Every recording, the oldest first."""
        found = [self._read(path) for path in self._folder.glob("*.json") if _is_ours(path)]
        kept = [r for r in found if r is not None and self._wav(r.id).exists()]
        return sorted(kept, key=lambda r: (r.created, r.id))

    def find(self, id_or_beginning: str) -> Recording:
        """The one recording whose id begins so; raises HostToolError."""
        found = [r for r in self.all() if id_or_beginning and r.id.startswith(id_or_beginning)]
        if len(found) != 1:
            raise HostToolError(
                f"{'no' if not found else 'more than one'} recording {id_or_beginning!r}",
                "earnest recordings list shows their ids; a unique beginning is enough",
            )
        return found[0]

    def audio(self, recording: Recording) -> bytes:
        """The samples, checked against their SHA-256; raises HostToolError."""
        path = self._wav(recording.id)
        try:
            with wave.open(io.BytesIO(owner_only_files.read(path))) as file:
                audio = file.readframes(file.getnframes())
        except (wave.Error, EOFError):
            audio = b""
        if hashlib.sha256(audio).hexdigest() != recording.sha256:
            raise HostToolError(
                f"{path} is damaged", f"delete it: earnest recordings delete {recording.id}"
            )
        return audio

    def checked_wav(self, recording: Recording) -> Path:
        """Return the WAV's path, its samples checked; raises HostToolError."""
        self.audio(recording)
        return self._wav(recording.id)

    def export(self, recording: Recording, path: Path, *, may_replace: bool = False) -> None:
        """Write a copy of the WAV, for the owner alone; raises HostToolError."""
        content = _wav_bytes(self.audio(recording))
        owner_only_files.write(path, content, may_replace=may_replace)

    def delete(self, recording: Recording) -> None:
        """Remove both files, the audio first; raises HostToolError when that fails."""
        for path in (self._wav(recording.id), self._facts(recording.id)):
            _unlink(path)

    def delete_all(self) -> int:
        """Remove every recording, also what is damaged or half written; returns how many."""
        return self._delete([r for r in self.all()]) + self.clean()

    def delete_under(self, consent: str) -> int:
        """Remove what was kept under this consent; returns how many."""
        return self._delete([r for r in self.all() if r.consent == consent])

    def unshare(self, consent: str) -> int:
        """Mark what was kept under this consent as not for training; returns how many."""
        shared = [r for r in self.all() if r.consent == consent and r.share_for_training]
        for recording in shared:
            self._write_facts(replace(recording, share_for_training=False))
        return len(shared)

    def expire(self) -> int:
        """Remove what is past its day, or older than this receiver keeps; returns how many."""
        now = _now()
        oldest = _text(now - self._keep)
        text = _text(now)
        return self._delete([r for r in self.all() if r.expires <= text or r.created <= oldest])

    def clean(self) -> int:
        """Remove WAVs without sound facts, facts without a WAV and parts; returns the WAVs."""
        sound = {recording.id for recording in self.all()}
        count = 0
        for path in sorted(self._folder.glob("*")):
            if _is_ours(path) and path.name[:16] not in sound:
                count += path.suffix == ".wav"
                _unlink(path)
        return count

    def _delete(self, recordings: list[Recording]) -> int:
        for recording in recordings:
            self.delete(recording)
        return len(recordings)

    def _wav(self, id: str) -> Path:
        return self._folder / f"{id}.wav"

    def _facts(self, id: str) -> Path:
        return self._folder / f"{id}.json"

    def _write_facts(self, recording: Recording) -> None:
        text = json.dumps(asdict(recording), indent=1) + "\n"
        owner_only_files.write(self._facts(recording.id), text.encode())

    def _read(self, path: Path) -> Recording | None:
        """The facts in `path`, or None when they are damaged or of another version."""
        try:
            recording = Recording(**json.loads(owner_only_files.read(path)))
            _time(recording.created), _time(recording.expires)
        except (ValueError, TypeError, RecursionError):
            return None
        if recording.version != VERSION or recording.id != path.stem:
            return None
        if not isinstance(recording.consent, str) or not isinstance(recording.sha256, str):
            return None
        return recording


def _is_ours(path: Path) -> bool:
    return _OURS.fullmatch(path.name) is not None


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise HostToolError(
            f"cannot delete {path}: {error.strerror}", "look at the rights of its folder"
        ) from error


def _wav_bytes(audio: bytes) -> bytes:
    memory = io.BytesIO()
    with wave.open(memory, "wb") as file:
        file.setnchannels(protocol.CHANNELS)
        file.setsampwidth(protocol.WIDTH_BYTES)
        file.setframerate(protocol.RATE_HZ)
        file.writeframes(audio)
    return memory.getvalue()


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _text(time: datetime.datetime) -> str:
    """UTC to the second; texts of this form sort as their times do."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
