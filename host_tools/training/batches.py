"""Batches of a training step: crops of scenes, with bands and moments masked and noise mixed in.

A step's batch depends on its random generator alone, so a run that was stopped goes on with the
same batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from host_tools.training.labels import targets
from host_tools.training.network import FEATURES, STRIDE
from host_tools.training.scenes import Scenes

#: Slices of a crop: a word scene less what may be cut off before it.
CROP = 378
#: A crop of a word scene starts at any slice up to here, so in every phase of the stride.
MOST_CUT = 10
QUIET = -128
#: How often each happens to a scene.
BAND_MASK, TIME_MASK, TILT, MIXED = 0.5, 0.25, 0.5, 0.25
WIDEST_BAND, LONGEST_TIME, STRONGEST_TILT = 6, 8, 8.0
#: What is mixed in is lower by this many steps of the int8 scale.
QUIETER = (15, 70)


@dataclass(frozen=True)
class Batch:
    """Scenes of one length: int8 [scenes, CROP, 40], and targets [scenes, CROP // 3]."""

    features: NDArray[np.int8]
    targets: NDArray[np.int8]


@dataclass(frozen=True)
class Source:
    """Scenes and how many of them a batch takes."""

    scenes: Scenes
    count: int


def draw(rng: np.random.Generator, sources: Sequence[Source]) -> Batch:
    """Return a batch with scenes of every source."""
    crops, ends, firsts = [], [], []
    for source in sources:
        scenes = source.scenes
        for number in rng.integers(0, len(scenes), source.count):
            end = int(scenes.ends[number])
            spare = scenes.features.shape[1] - CROP
            first = int(rng.integers(0, (min(spare, MOST_CUT) if end >= 0 else spare) + 1))
            crops.append(scenes.features[number, first : first + CROP])
            ends.append(end)
            firsts.append(first)
    features = np.stack(crops)
    mixed_in = features[rng.permutation(len(features))]
    pairs = zip(features, mixed_in, strict=True)
    heard = np.stack([changed(rng, each, other) for each, other in pairs])
    wanted = targets(np.array(ends), np.array(firsts), CROP // STRIDE)
    return Batch(heard, wanted)


def changed(
    rng: np.random.Generator, scene: NDArray[np.int8], other: NDArray[np.int8]
) -> NDArray[np.int8]:
    """Return an int8 crop with what a network must not rely on taken away or covered.

    Args:
        rng: draws what happens to it.
        scene: int8 [slices, 40].
        other: what may be mixed in below it, as long.
    """
    values = scene.astype(np.float32)
    if rng.random() < MIXED:  # sounds add up, and in the logarithm the louder one is heard
        np.maximum(values, other - np.float32(rng.uniform(*QUIETER)), out=values)
    if rng.random() < TILT:
        knots = rng.normal(0, STRONGEST_TILT / 2, 4)
        tilt = np.interp(np.arange(FEATURES), np.linspace(0, FEATURES - 1, 4), knots)
        values += tilt.astype(np.float32) * (values > QUIET)
    if rng.random() < BAND_MASK:
        width = int(rng.integers(1, WIDEST_BAND + 1))
        first = int(rng.integers(0, FEATURES - width + 1))
        values[:, first : first + width] = QUIET
    if rng.random() < TIME_MASK:
        length = int(rng.integers(1, LONGEST_TIME + 1))
        at = int(rng.integers(0, len(values) - length + 1))
        values[at : at + length] = QUIET
    return np.clip(np.rint(values), -128, 127).astype(np.int8)
