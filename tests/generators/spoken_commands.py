"""A wake word and a command with something else to be heard, in a dry room or one that echoes.

Speech is espeak-ng's, music and tones are computed; the same arguments give the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve

from host_tools.audio import speech

Sound = NDArray[np.float64]

RATE_HZ = 16000
CHUNK_SAMPLES = 160
WAKE_WORD = "okay naboo"
PEAK = 9000
BEFORE_S, AFTER_S = 2.0, 4.0
#: How long after the end of the wake word it is detected: 90 to 260 ms with these voices.
DETECTION_S = 0.17
#: What is below this share of the peak is the end of a word.
AUDIBLE = 0.03
#: Reverberation falls by 60 dB in this time; at the microphone it is as loud as what comes
#: straight from the speaker, and 6 dB louder for what stands farther away.
T60_S = 0.7

TALK = (
    "The committee met again on Thursday to discuss the new railway line, and nobody agreed. ",
    "I bought three kilos of apples, because your mother is coming and she wants to bake. ",
    "The river has risen by another forty centimetres, and the cellars are still full of water. ",
)
TALKERS = ("en-gb-x-rp", "en-us+f2", "en-us+m3")


@dataclass(frozen=True)
class Recording:
    """int16 samples, and where in them what was said begins and ends, in s."""

    samples: NDArray[np.int16]
    detected_s: float
    said_from_s: float
    said_to_s: float


@lru_cache(maxsize=64)
def say(text: str, voice: str, words_per_minute: int = 150, pitch: int = 50) -> Sound:
    """Return the text spoken, without the silence around it."""
    said = speech.synthesise(text, voice, words_per_minute, pitch).astype(float)
    audible = np.flatnonzero(np.abs(said) > AUDIBLE * np.abs(said).max())
    return said[audible[0] : audible[-1] + 1]


def talk(samples: int, seed: int) -> Sound:
    """Return somebody who talks without end."""
    voice, pitch = TALKERS[seed % 3], 40 + 10 * (seed % 3)
    sentences = [say(TALK[(seed // 3 + k) % 3], voice, 160, pitch) for k in range(3)]
    pause = np.zeros(RATE_HZ // 4)
    all_of_it = np.concatenate([part for sentence in sentences for part in (sentence, pause)])
    return np.roll(np.resize(all_of_it, samples + all_of_it.size), -7919 * seed)[:samples]


def music(samples: int, seed: int) -> Sound:
    """Return chords of three notes with a drum on every beat."""
    rng = np.random.default_rng(seed)
    beat = int(RATE_HZ * (0.5, 0.4, 0.33)[seed % 3])
    scale_hz = 220 * 2 ** (np.array([0, 3, 5, 7, 10, 12, 15]) / 12)
    out = np.zeros(samples + 2 * beat)
    time_s = np.arange(beat * 3 // 2) / RATE_HZ
    for start in range(0, samples, beat):
        for note_hz in rng.choice(scale_hz, 3):
            for harmonic in range(1, 6):
                wave = np.sin(2 * np.pi * note_hz * harmonic * time_s) / harmonic
                out[start : start + time_s.size] += wave * np.exp(-4 * time_s)
        out[start : start + 800] += rng.standard_normal(800) * np.exp(-np.arange(800) / 150) * 2
    return out[:samples]


def tone(samples: int, seed: int) -> Sound:
    """Return a steady tone."""
    return np.sin(2 * np.pi * (440, 1000, 2500)[seed % 3] * np.arange(samples) / RATE_HZ)


def beeps(samples: int, seed: int) -> Sound:
    """Return an alarm: half a second of tone, half a second of nothing."""
    return tone(samples, seed) * (np.arange(samples) % RATE_HZ < RATE_HZ // 2)


def noise(samples: int, seed: int) -> Sound:
    """Return white or, for odd seeds, pink noise."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(samples))
    if seed % 2:
        spectrum /= np.sqrt(np.maximum(np.arange(spectrum.size), 1))
    return np.fft.irfft(spectrum, samples)


KINDS = {"talk": talk, "music": music, "tone": tone, "beeps": beeps, "noise": noise}


def echo(sound: Sound, seed: int, reverberant_db: float) -> Sound:
    """Return the sound in a room, its reverberation so much louder than what comes straight."""
    size = int(T60_S * RATE_HZ)
    tail = np.random.default_rng(seed).standard_normal(size) * 10 ** (-3 * np.arange(size) / size)
    tail[:80] = 0
    response = tail / np.sqrt(np.sum(tail**2)) * 10 ** (reverberant_db / 20)
    response[0] = 1
    return fftconvolve(sound, response / np.sqrt(np.sum(response**2)))[: sound.size]


def rms(sound: Sound) -> float:
    return float(np.sqrt(np.mean(sound**2)))


def record(
    said: Sound,
    voice: str,
    gap_s: float,
    kind: str | None = None,
    level_db: float = 0.0,
    has_echo: bool = False,
    seed: int = 0,
) -> Recording:
    """Return the wake word, a gap and what is said after it (it may be nothing).

    Args:
        kind: What else is heard all the time, of KINDS; None for a quiet room.
        level_db: How loud that is, by its power over that of what is said.
        has_echo: Whether the room echoes.
    """
    word = say(WAKE_WORD, voice, 140)
    before, after = np.zeros(int(BEFORE_S * RATE_HZ)), np.zeros(int(AFTER_S * RATE_HZ))
    gap = np.zeros(int(gap_s * RATE_HZ))
    sound = np.concatenate([before, word, gap, said, after])
    reference = rms(said if said.size else word)
    if has_echo:
        sound = echo(sound, seed, 0)
    if kind is not None:
        other = KINDS[kind](sound.size, seed)
        if has_echo:
            other = echo(other, seed + 1, 6)
        sound = sound + other * reference * 10 ** (level_db / 20) / rms(other)
    sound = sound + np.random.default_rng(seed).standard_normal(sound.size) * 4
    samples = np.rint(sound * PEAK / np.abs(sound).max()).astype(np.int16)
    word_ends = before.size + word.size
    said_from = word_ends + gap.size
    ends = (word_ends / RATE_HZ, said_from / RATE_HZ, (said_from + said.size) / RATE_HZ)
    return Recording(samples, ends[0] + DETECTION_S, ends[1], ends[2])
