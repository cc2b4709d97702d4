"""What else is heard in a room: noise of any colour, hum, knocks, music, other people."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from host_tools.training import music
from host_tools.training.rooms import SAMPLE_RATE_HZ, Audio, rms

NOISE, MUSIC, TALK, BOTH = "noise", "music", "talk", "noise and music"
_KINDS, _SHARES = (NOISE, MUSIC, TALK, BOTH), (0.45, 0.22, 0.18, 0.15)
PIECES = 48
_MUSIC_SEED = 4_000_001
#: One to three other people, never louder than this against the one who speaks to the device.
MOST_VOICES, LEAST_SNR_OVER_TALK_DB = 3, 3.0


@cache
def _piece(seed: int, number: int) -> Audio:
    return music.piece(np.random.default_rng([seed, _MUSIC_SEED, number]))


def noise(rng: np.random.Generator, count: int) -> Audio:
    """Return coloured noise, perhaps modulated, with hum, a whine or knocks; RMS about 1."""
    frequencies = np.fft.rfftfreq(count, 1 / SAMPLE_RATE_HZ)
    frequencies[0] = 20
    parts = rng.standard_normal(len(frequencies)) + 1j * rng.standard_normal(len(frequencies))
    spectrum = parts * frequencies ** -rng.uniform(-0.3, 1.6)
    if rng.random() < 0.25:  # one band, as of a fan or of a kettle
        centre, width = rng.uniform(200, 5000), rng.uniform(0.2, 1.5)
        spectrum *= 0.1 + np.exp(-np.square(np.log2(frequencies / centre) / width))
    x = np.fft.irfft(spectrum, count)
    x /= x.std() + 1e-9
    time = np.arange(count) / SAMPLE_RATE_HZ
    if rng.random() < 0.3:
        x *= 1 + 0.8 * np.sin(2 * np.pi * rng.uniform(0.3, 8) * time + rng.uniform(0, 6))
    if rng.random() < 0.2:
        hz = float(rng.choice([50, 60, 100, 120, rng.uniform(150, 1500)]))
        for number in range(1, 8):
            tone = np.sin(2 * np.pi * hz * number * time + rng.uniform(0, 6))
            x += rng.uniform(0, 1.5) / number * tone
    if rng.random() < 0.25:
        for _ in range(rng.integers(1, 6)):
            at, length = int(rng.integers(0, count)), int(rng.integers(200, 4000))
            length = min(length, count - at)
            knock = rng.standard_normal(length) * np.exp(-np.arange(length) / (length / 6 + 1))
            x[at : at + length] += knock * rng.uniform(2, 12)
    return x.astype(np.float32)


class Backgrounds:
    """Draws backgrounds; the pieces of music and the talk are the same for the same seed.

    Args:
        seed: of the whole training run.
        talk: speech without the word, float32 of any level.
        own_music: music that the user gave; None takes made music only.
    """

    def __init__(
        self, seed: int, talk: Sequence[Audio], own_music: Sequence[Audio] | None = None
    ) -> None:
        self._seed, self._talk, self._own_music = seed, talk, own_music or ()

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Audio, str]:
        """Return `count` samples with an RMS of 1, and which kind they are."""
        kind = str(rng.choice(_KINDS, p=_SHARES))
        if kind == TALK and not self._talk:
            kind = NOISE
        x = noise(rng, count)
        if kind in (MUSIC, BOTH):
            quieter_db = rng.uniform(20, 40) if kind == MUSIC else rng.uniform(3, 15)
            x = self.music(rng, count) + x * np.float32(10 ** (-quieter_db / 20))
        elif kind == TALK:
            x = x * np.float32(10 ** (-rng.uniform(5, 25) / 20))
            for _ in range(rng.integers(1, MOST_VOICES + 1)):
                x = x + _anywhere(rng, self._talk[rng.integers(len(self._talk))], count)
        return (x / rms(x)).astype(np.float32), kind

    def music(self, rng: np.random.Generator, count: int) -> Audio:
        """Return `count` samples of music with an RMS of 1."""
        if self._own_music and rng.random() < 0.5:
            whole = self._own_music[rng.integers(len(self._own_music))]
        else:
            whole = _piece(self._seed, int(rng.integers(PIECES)))
        return _anywhere(rng, whole, count)


def _anywhere(rng: np.random.Generator, audio: Audio, count: int) -> Audio:
    """`count` samples from a random place, repeated where it is too short, with an RMS of 1."""
    if len(audio) < count:
        audio = np.tile(audio, count // len(audio) + 1)
    at = int(rng.integers(0, len(audio) - count + 1))
    part = audio[at : at + count]
    return part / np.float32(rms(part))
