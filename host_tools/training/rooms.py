"""Rooms, loudness and microphones made of random numbers: what stands between a mouth and a model.

Everything takes a random generator and gives float32 samples at 16 kHz.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, lfilter, resample

Audio = NDArray[np.float32]

SAMPLE_RATE_HZ = 16000
#: Seconds in which a room's sound falls by 60 dB; the tail is cut after the longest.
SHORTEST_T60, LONGEST_T60, LONGEST_TAIL = 0.08, 0.9, 0.7
#: Direct sound over the room's, dB: from across a hard room to close by.
DIRECT_DB = (-5.0, 14.0)
EQ_BANDS, EQ_DEVIATION_DB = 7, 3.5
#: A speaker's size: pitch, formants and tempo together.
SMALLEST_SPEAKER, LARGEST_SPEAKER = 0.84, 1.2
#: Seconds from one stress to the next, and the standard deviation of their gains.
BETWEEN_STRESSES, STRESS_DB = (0.12, 0.4), 4.5
_AROUND = 480
_TINY = 1e-9


def rms(audio: Audio) -> float:
    """Return the root mean square, above zero."""
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64)))) + _TINY


def other_speaker(
    rng: np.random.Generator, audio: Audio, factor: float | None = None
) -> tuple[Audio, float]:
    """Return the speech resampled, as by a larger or a smaller speaker, and the factor in tempo.

    A `factor` that is given is taken; one in five that are drawn is 1.
    """
    if factor is None:
        drawn = rng.uniform(np.log(SMALLEST_SPEAKER), np.log(LARGEST_SPEAKER))
        factor = float(np.exp(drawn)) if rng.random() < 0.8 else 1.0
    if factor == 1.0:
        return audio, factor
    padded = np.pad(audio, _AROUND)  # the transform joins the end to the beginning
    start, count = round(_AROUND / factor), max(1, round(len(audio) / factor))
    other = resample(padded, round(len(padded) / factor))[start : start + count]
    return other.astype(np.float32), factor


def stressed(rng: np.random.Generator, audio: Audio) -> Audio:
    """Return the speech with its parts louder or softer than they were, as people stress them."""
    seconds = len(audio) / SAMPLE_RATE_HZ
    count = max(2, round(seconds / rng.uniform(*BETWEEN_STRESSES)))
    places = np.linspace(0, len(audio) - 1, count)
    gain_db = np.interp(np.arange(len(audio)), places, rng.normal(0, STRESS_DB, count))
    return (audio * 10 ** (gain_db / 20)).astype(np.float32)


def impulse_response(rng: np.random.Generator) -> tuple[Audio, float]:
    """Return a room from a mouth to a microphone, and its T60 in seconds.

    The direct sound is the first sample and has no delay, so what ends at a sample still does.
    """
    t60 = float(np.exp(rng.uniform(np.log(SHORTEST_T60), np.log(LONGEST_T60))))
    length = int(SAMPLE_RATE_HZ * min(t60, LONGEST_TAIL))
    tail = rng.standard_normal(length) * 10 ** (-3 * np.arange(length) / SAMPLE_RATE_HZ / t60)
    quiet = int(rng.uniform(0.001, 0.012) * SAMPLE_RATE_HZ)  # before the first reflection
    tail[:quiet] = 0
    for _ in range(rng.integers(2, 9)):
        tail[rng.integers(quiet, quiet + int(0.03 * SAMPLE_RATE_HZ))] += rng.uniform(-6, 6)
    tail = lfilter([1], [1, -rng.uniform(0, 0.7)], tail)  # walls swallow high tones first
    tail /= np.sqrt(np.sum(tail * tail)) + _TINY
    tail *= 10 ** (-rng.uniform(*DIRECT_DB) / 20)
    tail[0] = 1.0
    return tail.astype(np.float32), t60


def in_room(audio: Audio, response: Audio) -> Audio:
    """Return the audio as the room passes it on, cut to its length."""
    return cast(Audio, fftconvolve(audio, response)[: len(audio)].astype(np.float32))


def microphone(rng: np.random.Generator, audio: Audio) -> Audio:
    """Return the audio as a random microphone and its housing colour it."""
    frequencies = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE_HZ)
    places = np.linspace(np.log2(60), np.log2(8060), EQ_BANDS)
    gain_db = np.interp(
        np.log2(frequencies + 60), places, rng.normal(0, EQ_DEVIATION_DB, EQ_BANDS)
    )
    gain_db -= np.where(frequencies < rng.uniform(20, 180), 24, 0)
    if rng.random() < 0.15:  # a narrow one, a telephone, a codec
        gain_db = np.where(frequencies > rng.uniform(3200, 7000), -30, gain_db)
    return np.fft.irfft(np.fft.rfft(audio) * 10 ** (gain_db / 20), len(audio)).astype(np.float32)


def as_samples(
    rng: np.random.Generator, audio: Audio, quietest_dbfs: float, loudest_dbfs: float
) -> tuple[NDArray[np.int16], float]:
    """Return int16 samples whose peak has a random level, and that level in dB of full scale.

    One in twenty was too loud for the microphone before, and is clipped.
    """
    level_dbfs = float(rng.uniform(quietest_dbfs, loudest_dbfs))
    peak = 32767 * 10 ** (level_dbfs / 20)
    scaled = audio * (peak / (float(np.abs(audio).max()) + _TINY))
    if rng.random() < 0.05:
        scaled = np.clip(scaled * rng.uniform(1.5, 4), -peak, peak)
    return np.clip(np.rint(scaled), -32768, 32767).astype(np.int16), level_dbfs
