"""Music made of random numbers: chords, a tune, a bass and drums, so that no file is needed.

It is no pleasure to hear, and has what a wake word must not be mistaken for: harmonic tones with
vibrato, onsets, beats, and formant-like filters that move.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from host_tools.training.rooms import SAMPLE_RATE_HZ, Audio

SECONDS = 12.0
#: float64 at 16 kHz.
_Sound = NDArray[np.float64]
_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_CHORDS = (0, 3, 4, 5, 1)  # degrees that a piece moves through
_HARMONICS = 10


def piece(rng: np.random.Generator, seconds: float = SECONDS) -> Audio:
    """Return one piece, float32 with an RMS of 1."""
    count = int(seconds * SAMPLE_RATE_HZ)
    mix = np.zeros(count)
    beat = 60 / rng.uniform(60, 170)
    scale = _MAJOR if rng.random() < 0.6 else _MINOR
    root_hz = 55 * 2 ** rng.uniform(0, 1)
    timbres = [_timbre(rng) for _ in range(3)]
    parts = [rng.random() < likely for likely in (0.8, 0.8, 0.7, 0.7)]
    if not any(parts):
        parts[1] = True
    at, bar = 0.0, 0
    while at < seconds:
        chord = int(_CHORDS[rng.integers(len(_CHORDS))]) if bar else 0
        if parts[0]:
            for third in (0, 2, 4):
                hz = root_hz * 4 * _pitch(scale, chord + third)
                _add(mix, at, _note(rng, hz, 4 * beat, timbres[0]) * 0.4)
        if parts[2]:
            for half in range(2):
                hz = root_hz * _pitch(scale, chord)
                _add(mix, at + 2 * beat * half, _note(rng, hz, 1.8 * beat, timbres[2]))
        if parts[1]:
            time = 0.0
            while time < 4:
                length = float(rng.choice([0.25, 0.5, 0.5, 1.0, 2.0]))
                if rng.random() < 0.8:
                    hz = root_hz * 4 * _pitch(scale, chord + int(rng.integers(0, 10)))
                    _add(mix, at + beat * time, _note(rng, hz, length * beat, timbres[1]))
                time += length
        if parts[3]:
            for step in range(8):
                if step % 2 == 0 or rng.random() < 0.6:
                    _add(mix, at + beat * step / 2, _drum(rng, step % 4))
        at += 4 * beat
        bar += 1
    even: Audio = (mix / (mix.std() + 1e-9)).astype(np.float32)
    return even


def _pitch(scale: tuple[int, ...], degree: int) -> float:
    return float(2 ** ((scale[degree % 7] + 12 * (degree // 7)) / 12))


def _timbre(rng: np.random.Generator) -> tuple[_Sound, float, float]:
    """Amplitudes of the harmonics, attack in seconds and decay per second."""
    amplitudes = np.arange(1, _HARMONICS + 1) ** -rng.uniform(0.3, 2.5)
    amplitudes *= rng.uniform(0, 1, _HARMONICS) ** rng.uniform(0, 2)
    return amplitudes, float(rng.uniform(0.003, 0.1)), float(rng.uniform(0.2, 8))


def _note(
    rng: np.random.Generator, hz: float, seconds: float, timbre: tuple[_Sound, float, float]
) -> _Sound:
    amplitudes, attack, decay = timbre
    time = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    vibrato = rng.uniform(0, 0.006) * np.sin(2 * np.pi * rng.uniform(4, 7) * time)
    phase = 2 * np.pi * hz * (time + np.cumsum(vibrato) / SAMPLE_RATE_HZ)
    tone, last, now, twice = 0 * phase, 0 * phase, np.sin(phase), 2 * np.cos(phase)
    for number, amplitude in enumerate(amplitudes, 1):
        if hz * number > SAMPLE_RATE_HZ / 2:
            break
        tone += amplitude * now
        last, now = now, twice * now - last  # sin((n + 1) x) out of sin(n x) and sin((n - 1) x)
    release = np.minimum(1, (seconds - time) / 0.02)
    shaped: _Sound = tone * np.minimum(1, time / attack) * np.exp(-decay * time) * release
    return shaped


def _drum(rng: np.random.Generator, kind: int) -> _Sound:
    """A bass drum (0), a snare (2) or a cymbal."""
    time = np.arange(int(0.2 * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    sound: _Sound = rng.standard_normal(len(time))
    if kind == 0:
        sound = 2 * np.sin(2 * np.pi * (60 * time - 3 * np.exp(-time * 40))) * np.exp(-time * 20)
    elif kind == 2:
        sound *= np.exp(-time * 25)
    else:
        sound = lfilter([1, -0.95], [1], sound) * np.exp(-time * 60) * 0.6
    return sound


def _add(mix: _Sound, seconds: float, sound: _Sound) -> None:
    at = int(seconds * SAMPLE_RATE_HZ)
    part = sound[: max(0, len(mix) - at)]
    mix[at : at + len(part)] += part
