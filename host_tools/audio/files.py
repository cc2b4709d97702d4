"""Audio files in, 16 kHz mono int16 blocks out: what the firmware's microphone would deliver.

Reads whatever libsndfile reads (WAV, FLAC, Ogg, MP3, ...), any rate, any channels.  16 kHz mono
int16 passes bit for bit; anything else is mixed down and resampled (scipy, polyphase), and `notes`
says so in words.  Long files are read in blocks, so memory does not grow with their length.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.signal import firwin, resample_poly

from host_tools.errors import HostToolError

#: int16 at 16 kHz, one dimension.
Samples = NDArray[np.int16]

SAMPLE_RATE_HZ = 16000
MIN_RATE_HZ = 4000
MAX_RATE_HZ = 384_000
MAX_CHANNELS = 64
MAX_DURATION_S = 24 * 3600
BLOCK_S = 5
# A WAV written to a pipe cannot know its length; tools then write one of the largest sizes.
_UNKNOWN_BYTES = 0x7FFF_F000
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
    notes: tuple[str, ...]  # what is done to the audio, in words; empty when nothing

    @property
    def samples(self) -> int:
        """How many samples `blocks()` gives in total, at 16 kHz."""
        return -(-self.source_samples * SAMPLE_RATE_HZ // self.rate_hz)

    @property
    def duration_s(self) -> float:
        return self.source_samples / self.rate_hz

    def blocks(self) -> Iterator[Samples]:
        """The audio as int16 arrays of about five seconds; raises HostToolError for damage."""
        try:
            with soundfile.SoundFile(str(self.path)) as file:
                if (self.rate_hz, self.channels, self.subtype) == (SAMPLE_RATE_HZ, 1, "PCM_16"):
                    yield from self._untouched(file)
                else:
                    for block in _resampled(self._mixed(file), self.rate_hz):
                        yield np.clip(np.rint(block * 32768), -32768, 32767).astype(np.int16)
        except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
            raise _unreadable(self.path, error) from error

    def _untouched(self, file: soundfile.SoundFile) -> Iterator[Samples]:
        count = 0
        while (block := file.read(BLOCK_S * SAMPLE_RATE_HZ, dtype="int16")).size:
            count += block.size
            yield block
        self._check_count(count)

    def _mixed(self, file: soundfile.SoundFile) -> Iterator[Samples]:
        """Mono float64 blocks in -1..1 at the file's own rate."""
        count = 0
        while (block := file.read(BLOCK_S * self.rate_hz, dtype="float64", always_2d=True)).size:
            if not np.isfinite(block).all():
                raise HostToolError(
                    f"{self.path}: holds values that are no numbers (NaN or infinity)",
                    "export it again from the program that made it",
                )
            count += block.shape[0]
            yield block.mean(axis=1)
        self._check_count(count)

    def _check_count(self, count: int) -> None:
        if count < self.source_samples:
            raise _cut_short(self.path, self.duration_s, count / self.rate_hz)


def open_audio(path: str | Path) -> AudioFile:
    """Look at a file and check it; raises HostToolError in words for anything that is no audio."""
    path = Path(path)
    _check_file(path)
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, RuntimeError, OSError) as error:
        raise _unreadable(path, error) from error
    _check_limits(path, info.samplerate, info.channels, info.frames)
    _check_wav_is_whole(path)
    notes = []
    if info.channels > 1:
        notes.append(f"mixed {info.channels} channels down to one")
    if info.samplerate != SAMPLE_RATE_HZ:
        notes.append(f"resampled from {info.samplerate} Hz to {SAMPLE_RATE_HZ} Hz")
    if info.subtype != "PCM_16":
        notes.append(f"converted from {info.subtype_info} to 16 bit")
    return AudioFile(path, info.samplerate, info.channels, info.frames, info.subtype, tuple(notes))


def read(path: str | Path) -> Samples:
    """The whole file as one int16 array at 16 kHz."""
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
        raise HostToolError(f"{path}: {error}", "check the name and your permissions") from error
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


def _check_wav_is_whole(path: Path) -> None:
    """libsndfile reads a WAV that was cut short as if it were whole; so look at its chunks."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return
        file.seek(12)
        while len(header := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", header)
            if name == b"data":
                there = size - file.tell()
                if there < length < _UNKNOWN_BYTES:
                    raise HostToolError(
                        f"{path}: cut short, {there} of {length} bytes of audio are there",
                        "copy or record it again",
                    )
                return
            file.seek(length + (length & 1), 1)


def _resampled(blocks: Iterator[Samples], rate_hz: int) -> Iterator[Samples]:
    """Blocks at `rate_hz` to blocks at 16 kHz; the same values as resampling all at once.

    Each piece is resampled with enough input on both sides for the whole filter, and cut where
    input and output samples fall on the same instant, which is every `down` input samples.
    """
    if rate_hz == SAMPLE_RATE_HZ:
        yield from blocks
        return
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


def _unreadable(path: Path, error: Exception) -> HostToolError:
    reason = str(error).replace(f"Error opening {str(path)!r}: ", "").strip().rstrip(".")
    return HostToolError(
        f"{path}: not readable as audio ({reason})", "WAV, FLAC, Ogg and MP3 are read"
    )


def _cut_short(path: Path, promised_s: float, there_s: float) -> HostToolError:
    return HostToolError(
        f"{path}: cut short or damaged, {there_s:.2f} of {promised_s:.2f} s can be read",
        "copy or record it again",
    )
