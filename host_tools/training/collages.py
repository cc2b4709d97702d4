"""Crops that nobody can label: parts of scenes in any order, stretched, shifted and mixed.

On ordinary scenes the networks of an ensemble agree.  On these they do not, and there the mean of
what they say tells the student most.  Parts of the word are among them, so none is a negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from host_tools.training.batches import CROP, QUIET, changed
from host_tools.training.scenes import Scenes

#: Slices of a part, and how often a part is a whole crop.
SHORTEST_PART, LONGEST_PART = 12, 120
WHOLE = 0.3
#: How often each happens to a crop.
STRETCHED, SHIFTED, MIXED = 0.5, 0.5, 0.4
SLOWEST, FASTEST = 0.75, 1.3
#: Bands of the 40 that a crop moves up or down by, at most.
MOST_SHIFT = 3
#: What is mixed in is lower by this many steps of the int8 scale, or louder.
QUIETER = (-10, 50)


def draw(rng: np.random.Generator, scenes: Sequence[Scenes], count: int) -> NDArray[np.int8]:
    """Return crops as int8 [count, CROP, 40].

    Args:
        rng: draws everything.
        scenes: each gives as many parts as the others; give one twice for more of it.
        count: how many crops.
    """
    crops = [_crop(rng, scenes) for _ in range(count)]
    pairs = zip(crops, crops[1:] + crops[:1], strict=True)
    return np.stack([changed(rng, crop, other) for crop, other in pairs])


def _crop(rng: np.random.Generator, scenes: Sequence[Scenes]) -> NDArray[np.int8]:
    parts, left = [], CROP
    while left > 0:
        is_whole = rng.random() < WHOLE
        length = CROP if is_whole else int(rng.integers(SHORTEST_PART, LONGEST_PART))
        parts.append(_part(rng, scenes, min(left, length)))
        left -= len(parts[-1])
    values = np.concatenate(parts)
    if rng.random() < STRETCHED:
        at = np.arange(CROP) * rng.uniform(SLOWEST, FASTEST)
        values = values[np.minimum(at.astype(np.int64), CROP - 1)]
    if rng.random() < SHIFTED:
        by = int(rng.integers(-MOST_SHIFT, MOST_SHIFT + 1))
        bands = np.clip(np.arange(values.shape[1]) - by, 0, values.shape[1] - 1)
        values = values[:, bands]
    if rng.random() < MIXED:
        quieter = _part(rng, scenes, CROP) - np.float32(rng.uniform(*QUIETER))
        values = np.maximum(values, np.clip(np.rint(quieter), QUIET, -QUIET - 1).astype(np.int8))
    return values


def _part(rng: np.random.Generator, scenes: Sequence[Scenes], length: int) -> NDArray[np.int8]:
    """So many slices from anywhere in a scene."""
    features = scenes[rng.integers(len(scenes))].features
    scene = features[rng.integers(len(features))]
    first = int(rng.integers(len(scene) - length + 1))
    part: NDArray[np.int8] = scene[first : first + length]
    return part
