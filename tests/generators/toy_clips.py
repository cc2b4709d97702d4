"""Clips for a toy training without any voice: the word is a chirp up, near words are others."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from host_tools.training import clips
from host_tools.training.clips import NEAR, SAMPLE_RATE_HZ, TALK, WORD, Clip

WORDS, NEARS, TALKS = 8, 4, 3


def chirp(from_hz: float, to_hz: float, seconds: float) -> np.ndarray:
    """int16: a tone that glides, with harmonics."""
    time = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    phase = 2 * np.pi * (from_hz * time + (to_hz - from_hz) * time * time / 2 / seconds)
    tone = sum(np.sin(number * phase) / number for number in (1, 2, 3))
    return np.rint(tone * 8000).astype(np.int16)


def toy_clips(is_held_out: bool = False) -> list[Clip]:
    """Words that glide up over two octaves, near words that glide down, talk of both kinds of
    short glides."""
    rng = np.random.default_rng(int(is_held_out))
    found = []

    def clip(samples: np.ndarray, kind: str, text: str) -> None:
        speaker = f"toy {len(found) % 3}"
        found.append(Clip(samples, kind, text, text, "toy", speaker, 1.0, is_held_out))

    for _ in range(WORDS):
        clip(chirp(rng.uniform(300, 400), rng.uniform(1500, 1800), 0.45), WORD, "whoop")
    for _ in range(NEARS):
        clip(chirp(rng.uniform(1500, 1800), rng.uniform(300, 400), 0.45), NEAR, "peew")
    for _ in range(TALKS):
        parts = [chirp(*rng.uniform(200, 900, 2), rng.uniform(0.1, 0.25)) for _ in range(8)]
        clip(np.concatenate(parts), TALK, "murmur")
    return found


def write_toy_clips(folder: Path) -> Path:
    """Save the toy's clips, those held out as well; return the folder."""
    folder.mkdir()
    for number, clip in enumerate(toy_clips() + toy_clips(is_held_out=True)):
        clips.save(folder, number, clip)
    return folder
