"""Apply what a microphone and its driver do to sound, on int16 blocks for the firmware.

In physical order: noise in the room, the microphone's gain, its offset, its clipping, 16 bits, and
last the DMA buffers that were lost.  With the same settings and input the output is the same byte
for byte, however the input is cut into blocks.  With no effect set, samples pass untouched.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from host_tools.audio.files import Samples
from host_tools.errors import HostToolError

SAMPLES_PER_MS = 16
NOISE_COLOURS = ("white", "pink")
MAX_GAIN_DB = 120.0
MAX_SNR_DB = 120.0
FULL_SCALE = 32767
# Pinking filter, -3 dB per octave: J. O. Smith, Spectral Audio Signal Processing, "1/f noise".
_PINK_B = (0.049922035, -0.095993537, 0.050612699, -0.004408786)
_PINK_A = (1.0, -2.494956002, 2.017265875, -0.522189400)
_PINK_WARM_UP_SAMPLES = 4096


@dataclass(frozen=True)
class Drop:
    """Samples lost between driver and engine: `ms` milliseconds, from `at_ms` of the input on."""

    ms: int
    at_ms: int


@dataclass(frozen=True)
class Microphone:
    """The settings; `apply` runs blocks of int16 through them."""

    gain_db: float = 0.0  # of sound and noise alike
    noise_snr_db: float | None = None  # signal over noise, by the mean power of the whole input
    noise_colour: str = "white"  # one of NOISE_COLOURS
    dc: int = 0  # offset after gain, in sample units, -32768..32767
    clip: int | None = None  # nothing beyond +-clip leaves the microphone, 1..32767
    drops: tuple[Drop, ...] = ()
    seed: int = 0  # random seed of the noise

    def __post_init__(self) -> None:
        _check_range("--gain-db", self.gain_db, -MAX_GAIN_DB, MAX_GAIN_DB)
        _check_range("--dc", self.dc, -FULL_SCALE - 1, FULL_SCALE)
        _check_range("--seed", self.seed, 0, 2**63 - 1)
        if self.noise_snr_db is not None:
            _check_range("--noise-db", self.noise_snr_db, -MAX_SNR_DB, MAX_SNR_DB)
        if self.noise_colour not in NOISE_COLOURS:
            raise HostToolError(
                f"there is no {self.noise_colour} noise", f"choose {' or '.join(NOISE_COLOURS)}"
            )
        if self.clip is not None:
            _check_range("--clip", self.clip, 1, FULL_SCALE)

    @property
    def changes_values(self) -> bool:
        return bool(self.gain_db or self.dc or self.clip or self.noise_snr_db is not None)

    def describe(self) -> str:
        """Return the effects as text, empty when there are none."""
        parts = []
        if self.noise_snr_db is not None:
            parts.append(
                f"{self.noise_colour} noise at {self.noise_snr_db:g} dB SNR (seed {self.seed})"
            )
        if self.gain_db:
            parts.append(f"gain {self.gain_db:+g} dB")
        if self.dc:
            parts.append(f"offset {self.dc:+d}")
        if self.clip:
            parts.append(f"clipped at {self.clip}")
        parts += [f"{drop.ms} ms lost at {drop.at_ms} ms" for drop in self.drops]
        return ", ".join(parts)

    def losses(self) -> list[tuple[int, int]]:
        """Return (sample of the remaining audio, ms lost there) of every drop, in order."""
        found = []
        lost = until = 0
        for drop in sorted(self.drops, key=lambda drop: drop.at_ms):
            start, end = max(drop.at_ms, until), drop.at_ms + drop.ms
            if end > start:
                found.append(((start - lost) * SAMPLES_PER_MS, end - start))
                lost += end - start
                until = end
        return found

    def apply(self, blocks: Iterable[Samples], signal_rms: float) -> Iterator[Samples]:
        """Run blocks of int16 through all effects; `signal_rms` is `rms()` of the whole input."""
        yield from self._drop(self._shape(blocks, signal_rms))

    def _shape(self, blocks: Iterable[Samples], signal_rms: float) -> Iterator[Samples]:
        if not self.changes_values:
            yield from blocks
            return
        gain = 10 ** (self.gain_db / 20)
        limit = self.clip or FULL_SCALE + 1
        noise = None
        if self.noise_snr_db is not None:
            if signal_rms == 0:
                raise HostToolError(
                    "the audio is digital silence, so no noise level follows from an SNR",
                    "leave --noise-db out for this file",
                )
            noise = Noise(self.noise_colour, self.seed)
            noise_rms = signal_rms / 10 ** (self.noise_snr_db / 20)
        for block in blocks:
            sound = block.astype(np.float64)
            if noise is not None:
                sound += noise.next(sound.size) * noise_rms
            sound = np.rint(sound * gain + self.dc)
            yield np.clip(sound, -limit, min(limit, FULL_SCALE)).astype(np.int16)

    def _drop(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        position = 0
        for block in blocks:
            keep = np.ones(block.size, bool)
            for drop in self.drops:
                start = drop.at_ms * SAMPLES_PER_MS - position
                end = start + drop.ms * SAMPLES_PER_MS
                keep[max(0, start) : max(0, end)] = False
            position += block.size
            yield block if keep.all() else block[keep]


class Noise:
    """Gaussian noise of mean power 1, the same sequence for a seed however it is cut."""

    def __init__(self, colour: str, seed: int) -> None:
        self._random = np.random.Generator(np.random.PCG64(seed))
        self._state = None
        if colour == "pink":
            from scipy.signal import lfilter  # its import takes most of a second

            impulse = np.zeros(1 << 14)
            impulse[0] = 1.0
            self._scale = 1 / math.sqrt(np.square(lfilter(_PINK_B, _PINK_A, impulse)).sum())
            self._state = np.zeros(len(_PINK_A) - 1)
            self.next(_PINK_WARM_UP_SAMPLES)

    def next(self, count: int) -> NDArray[np.float64]:
        """Return the next `count` values, float64."""
        values = self._random.standard_normal(count)
        if self._state is None:
            return values
        from scipy.signal import lfilter

        values, self._state = lfilter(_PINK_B, _PINK_A, values, zi=self._state)
        return values * self._scale


def rms(blocks: Iterable[Samples]) -> float:
    """Return the root mean square of all samples; exact sums, whatever the blocks."""
    total = count = 0
    for block in blocks:
        wide = block.astype(np.int64)
        total += int(np.dot(wide, wide))
        count += block.size
    return math.sqrt(total / count) if count else 0.0


def parse_drop(text: str) -> Drop:
    """Parse `MS@MS`: how much is lost, and from when on, in whole milliseconds of the input."""
    length, _, at = text.partition("@")
    if not (length.isdecimal() and at.isdecimal() and 0 < int(length) and len(text) < 32):
        raise HostToolError(
            f"--drop {text}: not of the form MS@MS",
            "for instance --drop 64@1500: 64 ms are lost at 1.5 s",
        )
    return Drop(int(length), int(at))


def _check_range(option: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise HostToolError(
            f"{option} {value:g} is out of range", f"choose a value from {low:g} to {high:g}"
        )
