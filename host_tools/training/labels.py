"""What the network should say when: the targets of every inference of a scene."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from host_tools.training.network import STRIDE
from host_tools.training.scenes import NO_WORD

#: In slices of 10 ms after the word's end: it fires from its end on, for 320 ms.
FIRES = range(0, 32)
#: Nothing is counted shortly before the end, when the word can be known already, and after.
COUNTED_BEFORE, COUNTED_AFTER = -28, 62
POSITIVE, NEGATIVE, NOT_COUNTED = 1, 0, -1


def newest_slices(first: int, outputs: int) -> NDArray[np.int64]:
    """Return the newest slice that each inference has, when slice `first` is the first fed."""
    return first + np.arange(outputs) * STRIDE + STRIDE - 1


def targets(ends: NDArray[np.int64], firsts: NDArray[np.int64], outputs: int) -> NDArray[np.int8]:
    """Return POSITIVE, NEGATIVE or NOT_COUNTED for each inference, [scenes, outputs].

    Args:
        ends: [scenes], the slice of each word's end, NO_WORD without one.
        firsts: [scenes], the slice that each scene is fed from: its place in the stride.
        outputs: how many inferences.
    """
    newest = firsts[:, None] + newest_slices(0, outputs)[None]
    after = newest - ends[:, None]
    found = np.full(newest.shape, NEGATIVE, np.int8)
    found[(after >= COUNTED_BEFORE) & (after < COUNTED_AFTER)] = NOT_COUNTED
    found[(after >= FIRES.start) & (after < FIRES.stop)] = POSITIVE
    found[ends == NO_WORD] = NEGATIVE
    return found
