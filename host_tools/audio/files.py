"""Read audio files as 16 kHz mono int16 blocks: what the firmware's microphone would deliver.

Reads whatever libsndfile reads (WAV, FLAC, Ogg, MP3, ...), any rate, any channels.  16 kHz mono
int16 passes bit for bit; anything else is mixed down and resampled (scipy, polyphase), and `notes`
says so.  Long files are read in blocks, so memory does not grow with their length.  Compressed
files are decoded once to check them, so damage shows before the first block is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from host_tools.audio import containers, decoder
from host_tools.errors import HostToolError

#: int16 at 16 kHz, one dimension.
Samples = NDArray[np.int16]

SAMPLE_RATE_HZ = 16000
MIN_RATE_HZ = 4000
MAX_RATE_HZ = 384_000
MAX_CHANNELS = 64
MAX_DURATION_S = 24 * 3600
BLOCK_S = 5
_NO_LENGTH = 1 << 62  # libsndfile's number for a length that is not known is larger
HEADERLESS = (".raw", ".pcm", ".s16", ".sw")
#: Containers whose damage shows only when they are decoded.
COMPRESSED = ("FLAC", "OGG", "MP3", "MPEG")
# Half the length of the resampling filter, in periods of the slower rate (scipy's own default).
_FILTER_PERIODS = 10


@dataclass(frozen=True)
class AudioFile:
    """A checked audio file; `blocks()` reads it, as often as wanted."""

    path: Path
    rate_hz: int
    channels: int
    source_samples: int  # per channel, at the file's own rate
    subtype: str  # libsndfile's name: PCM_16, FLOAT, ...
    notes: tuple[str, ...]  # what is done to the audio, as text; empty when nothing
    field_at: int = 0  # of a WAV without its length: where that stands

    @property
    def samples(self) -> int:
        """Return how many samples `blocks()` gives in total, at 16 kHz."""
        return -(-self.source_samples * SAMPLE_RATE_HZ // self.rate_hz)

    @property
    def duration_s(self) -> float:
        return self.source_samples / self.rate_hz

    def blocks(self) -> Iterator[Samples]:
        """Yield the audio as int16 arrays of about five seconds; HostToolError for damage."""
        try:
            with decoder.opened(self.path, self.field_at) as file:
                if (self.rate_hz, self.channels, self.subtype) == (SAMPLE_RATE_HZ, 1, "PCM_16"):
                    yield from self._untouched(file)
                else:
                    for block in _resampled(self._mixed(file), self.rate_hz):
                        yield np.clip(np.rint(block * 32768), -32768, 32767).astype(np.int16)
        except decoder.ERRORS as error:
            raise _unreadable(self.path, error) from error

    def _untouched(self, file: soundfile.SoundFile) -> Iterator[Samples]:
        count = 0
        while (block := decoder.read_block(file, BLOCK_S * SAMPLE_RATE_HZ, "int16", False)).size:
            count += block.size
            yield block
        self._check_count(count)

    def _mixed(self, file: soundfile.SoundFile) -> Iterator[Samples]:
        """Yield mono float64 blocks in -1..1 at the file's own rate."""
        count = 0
        while (block := decoder.read_block(file, BLOCK_S * self.rate_hz, "float64", True)).size:
            if not np.isfinite(block).all():
                raise HostToolError(
                    f"{self.path}: holds values that are not numbers (NaN or infinity)",
                    "export it again from the program that made it",
                )
            count += block.shape[0]
            yield block.mean(axis=1)
        self._check_count(count)

    def _check_count(self, count: int) -> None:
        if count < self.source_samples:
            raise _cut_short(self.path, self.duration_s, count / self.rate_hz)


def open_audio(path: str | Path, decode: bool = True) -> AudioFile:
    """Look at a file and check it; raises HostToolError for anything that is not whole audio.

    Without `decode`, damage inside compressed audio is left to `blocks()`, which names it the
    same: for a caller that reads all of them before it uses any.
    """
    path = Path(path)
    _check_file(path)
    if path.suffix.lower() in HEADERLESS:
        raise HostToolError(
            f"{path}: headerless PCM, so its rate and format are not known",
            f"give it a header: ffmpeg -f s16le -ar 16000 -ac 1 -i {path.name} {path.stem}.wav",
        )
    if missing := _shortfall(path):
        raise HostToolError(f"{path}: cut short, {missing}", "copy or record it again")
    field_at = containers.length_field(path)
    try:
        with decoder.opened(path, field_at) as file:
            info = AudioFile(
                path,
                file.samplerate,
                file.channels,
                file.frames,
                file.subtype,
                _notes(file, field_at),
                field_at,
            )
            container = file.format
    except decoder.ERRORS as error:
        raise _unreadable(path, error) from error
    if info.source_samples >= _NO_LENGTH:
        raise HostToolError(
            f"{path}: its header gives no length",
            f"write it again from its start to its end: ffmpeg -i {path.name} {path.stem}.wav",
        )
    _check_limits(path, info.rate_hz, info.channels, info.source_samples)
    if decode and container in COMPRESSED:
        _check_by_decoding(info)
    return info


def _check_by_decoding(info: AudioFile) -> None:
    count = 0
    try:
        with decoder.opened(info.path) as file:
            while (block := decoder.read_block(file, BLOCK_S * info.rate_hz, "int16", True)).size:
                count += len(block)
    except decoder.ERRORS as error:
        raise _unreadable(info.path, error) from error
    if count < info.source_samples:
        raise _cut_short(info.path, info.duration_s, count / info.rate_hz)


def _notes(file: soundfile.SoundFile, field_at: int) -> tuple[str, ...]:
    notes = []
    if field_at:
        notes.append("read to the end: its header gives no length (an interrupted recording?)")
    if file.channels > 1:
        notes.append(f"mixed {file.channels} channels down to one")
    if file.samplerate != SAMPLE_RATE_HZ:
        notes.append(f"resampled from {file.samplerate} Hz to {SAMPLE_RATE_HZ} Hz")
    if file.subtype != "PCM_16":
        notes.append(f"converted from {file.subtype_info} to 16 bit")
    return tuple(notes)


def _shortfall(path: Path) -> str:
    try:
        return containers.shortfall(path)
    except OSError as error:
        raise _no_file(path, error) from error


def read(path: str | Path) -> Samples:
    """Return the whole file as one int16 array at 16 kHz."""
    return np.concatenate(list(open_audio(path).blocks()))


def write(path: str | Path, samples: Samples) -> None:
    """Write int16 samples as a 16 kHz mono WAV."""
    soundfile.write(str(path), samples.astype(np.int16), SAMPLE_RATE_HZ, subtype="PCM_16")


def _check_file(path: Path) -> None:
    try:
        is_file, size = path.is_file(), path.stat().st_size
    except FileNotFoundError:
        raise HostToolError(f"{path}: no such file", "check the name and the folder") from None
    except (OSError, ValueError) as error:
        raise _no_file(path, error) from error
    if not is_file:
        raise HostToolError(f"{path}: not a file", "name audio files, not folders: folder/*.wav")
    if size == 0:
        raise HostToolError(f"{path}: the file is empty", "record or export it again")


def _check_limits(path: Path, rate_hz: int, channels: int, samples: int) -> None:
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise HostToolError(
            f"{path}: a sample rate of {rate_hz} Hz is out of range",
            f"rates from {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz are read; is the header damaged?",
        )
    if not 1 <= channels <= MAX_CHANNELS:
        raise HostToolError(
            f"{path}: {channels} channels are out of range", f"1 to {MAX_CHANNELS} are read"
        )
    if samples <= 0:
        raise HostToolError(f"{path}: there are no samples in it", "record or export it again")
    if samples > MAX_DURATION_S * rate_hz:
        raise HostToolError(
            f"{path}: {samples / rate_hz / 3600:.1f} hours is too long",
            f"cut it into pieces of at most {MAX_DURATION_S // 3600} hours",
        )


def _resampled(blocks: Iterator[Samples], rate_hz: int) -> Iterator[Samples]:
    """Resample blocks at `rate_hz` to 16 kHz; the same values as resampling all at once.

    Each piece is resampled with enough input on both sides for the whole filter, and cut where
    input and output samples fall on the same instant, which is every `down` input samples.
    """
    if rate_hz == SAMPLE_RATE_HZ:
        yield from blocks
        return
    from scipy.signal import firwin, resample_poly  # its import takes most of a second

    divisor = gcd(rate_hz, SAMPLE_RATE_HZ)
    up, down = SAMPLE_RATE_HZ // divisor, rate_hz // divisor
    half = _FILTER_PERIODS * max(up, down)
    window = firwin(2 * half + 1, 1 / max(up, down), window=("kaiser", 5.0))
    margin = -(-(half // up + 1) // down) * down  # input samples, a multiple of `down`
    held, before = np.zeros(0), 0  # input not yet finished, preceded by `before` finished samples
    for block in blocks:
        held = np.concatenate([held, block])
        ready = (held.size - before - margin) // down * down
        if ready > 0:
            piece = resample_poly(held, up, down, window=window)
            yield piece[before * up // down : (before + ready) * up // down]
            keep = max(0, before + ready - margin)
            held, before = held[keep:], before + ready - keep
    yield resample_poly(held, up, down, window=window)[before * up // down :]


def _no_file(path: Path, error: Exception) -> HostToolError:
    return HostToolError(f"{path}: {error}", "check the name and your permissions")


def _unreadable(path: Path, error: Exception) -> HostToolError:
    reason = str(error).replace(f"Error opening {str(path)!r}: ", "").strip().rstrip(".")
    reason = reason.removeprefix("Error : ")
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as missing:
        return _no_file(path, missing)
    if any(start.startswith(magic) for magic in containers.MAGICS):
        return HostToolError(f"{path}: damaged ({reason})", "copy or record it again")
    return HostToolError(
        f"{path}: not readable as audio ({reason})",
        "supported formats: WAV, AIFF, AU, CAF, FLAC, Ogg and MP3",
    )


def _cut_short(path: Path, promised_s: float, there_s: float) -> HostToolError:
    return HostToolError(
        f"{path}: cut short or damaged, {there_s:.2f} of {promised_s:.2f} s can be read",
        "copy or record it again",
    )
