"""Audio that a front end may stumble over, from a seed: int16 at 16 kHz, each with a name."""

from __future__ import annotations

import numpy as np

from host_tools.audio import speech

RATE_HZ = 16000
SENTENCES = (
    ("Okay Nabu", "en-us", 140, 50),
    ("Hey Jarvis! What is the weather like?", "en-us+f3", 150, 60),
    ("Alexa, turn the kitchen light off.", "en-gb-x-rp", 130, 40),
    ("Hey Mycroft, set a timer for five minutes.", "en-us+m3", 160, 30),
    ("The quick brown fox jumps over the lazy dog.", "en-us+f2", 200, 70),
    ("Okay Nabu, okay Nabu, Alexa, hey Jarvis, hey Mycroft.", "en-us", 110, 55),
    ("Wie spät ist es? Mach bitte das Licht aus.", "de", 150, 50),
)


def clip(samples: np.ndarray) -> np.ndarray:
    """To int16, clipped."""
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


def spoken() -> list[np.ndarray]:
    """Each sentence, float, with some silence around it."""
    return [
        speech.pad(speech.synthesise(text, voice, speed, pitch), 0.2, 0.4).astype(np.float64)
        for text, voice, speed, pitch in SENTENCES
    ]


def speech_at_all_levels(rng: np.random.Generator) -> np.ndarray:
    """Every sentence at gains from nearly nothing to hard clipping, with and without noise."""
    parts = []
    for words in spoken():
        for gain in (0.003, 0.1, 1.0, 4.0, 100.0):
            noise = rng.standard_normal(len(words)) * rng.choice([0, 3, 60, 900])
            parts.append(clip(words * gain + noise + rng.choice([0, 0, -700])))
    return np.concatenate(parts)


def noise(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """White noise: 1 LSB, then doubling in level up to hard clipping, then down again."""
    n = int(RATE_HZ * seconds) // 36
    levels = [0.4 * 2.0**i for i in range(18)]
    levels += levels[::-1]
    return np.concatenate([clip(rng.standard_normal(n) * level) for level in levels])


def tones(seconds: float) -> np.ndarray:
    """Full-scale and clipped tones, from below the first channel to above the last; a sweep."""
    n = np.arange(int(RATE_HZ * seconds) // 12)
    turns = 2 * np.pi * n / RATE_HZ
    parts = [32767 * np.sin(turns * f) for f in (31, 125, 440, 1000, 3000, 7500, 7990)]
    parts += [90000 * np.sin(turns * 300), 1e9 * np.sin(turns * 1000.3)]
    sweep = np.cumsum(np.geomspace(50, 8000, len(n))) * 2 * np.pi / RATE_HZ
    parts += [32767 * np.sin(sweep), 3 * np.sin(sweep[::-1])]
    parts += [16000 * np.sin(turns * 500) + 16000 * np.sin(turns * 523)]
    return clip(np.concatenate(parts))


def rails(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Silence, DC, impulses of -32768, squares, random rails, dropped samples."""
    n = int(RATE_HZ * seconds) // 14
    i = np.arange(n)
    parts = [
        np.zeros(n),
        np.where(i % 4801 == 99, -32768, 0),
        np.where(i % 97 == 0, -32768, 0),
        np.where(i % 97 == 0, -32768, 7),
        np.where(i % 160 == 0, -32768, 32767),
        np.full(n, -32768),
        np.full(n, 32767),
        np.full(n, 1),
        np.where(i // 40 % 2, -32768, 32767),
        rng.choice([-32768, 32767], n),
        rng.choice([-32768, 0, 0, 0, 0, 0, 0, 0], n),
        np.where(i // 3001 % 2, 0, 20000 * np.sin(i * 0.05)),
        rng.integers(-32768, 32768, n),
        np.zeros(n),
    ]
    return np.concatenate(parts).astype(np.int16)


def cases(seed: int) -> dict[str, np.ndarray]:
    """Everything above, by name."""
    rng = np.random.default_rng(seed)
    return {
        "speech": speech_at_all_levels(rng),
        "noise": noise(rng, 36),
        "tones": tones(24),
        "rails": rails(rng, 42),
    }
