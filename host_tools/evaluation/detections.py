"""Apply the detector's rule to a whole file at once, for any cutoff.

The definition is firmware/wakeword/detector.py, step by step; here the same decisions come from
running sums, so that a curve over all cutoffs takes one pass over the probabilities.  A test holds
the two against each other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CUTOFFS = range(256)
REFRACTORY_MS = 1000
STEP_MS = 10  # between two feature slices


class ProbabilitySums:
    """The probabilities of one file, with what is the same for every cutoff worked out.

    `probabilities` are uint8, one an inference; `window` the number that the detector averages.
    """

    def __init__(self, probabilities: NDArray[np.uint8], window: int) -> None:
        self.window = window
        self.probabilities = probabilities
        self._cumulative = np.concatenate([[0], np.cumsum(probabilities, dtype=np.int64)])
        first = np.maximum(np.arange(1, len(probabilities) + 1) - window, 0)
        self._sums = self._cumulative[1:] - self._cumulative[first]
        self.highest = int(self._sums.max(initial=0))

    def detections(
        self, cutoff: int, stride: int, refractory_ms: int = REFRACTORY_MS
    ) -> list[int]:
        """Return the indexes of the inferences with a detection; `cutoff` is in 0..255."""
        limit = cutoff * self.window
        if self.highest <= limit:
            return []
        above = np.flatnonzero(self._sums > limit)
        below = np.flatnonzero(self.probabilities < cutoff)
        pause_steps = -(-refractory_ms // (stride * STEP_MS))
        found: list[int] = []
        emptied = 0  # the window holds nothing from before this inference
        at = 0  # the first inference that may detect
        while True:
            index = self._next(above, limit, emptied, at)
            if index is None:
                return found
            found.append(index)
            emptied = at = index + 1
            if pause_steps:
                # The pause ends with the step that brings it to nothing, which may detect itself.
                last = np.searchsorted(below, at) + pause_steps - 1
                if last >= len(below):
                    return found
                at = int(below[last])

    def highest_so_far(self) -> NDArray[np.int64]:
        """Return the highest sum up to every inference; the first above a limit detects first."""
        return np.maximum.accumulate(self._sums)

    def _next(self, above: NDArray[np.int64], limit: int, emptied: int, at: int) -> int | None:
        """Return the first inference from `at` on whose window, emptied at `emptied`, is above."""
        full = emptied + self.window - 1  # from here on the emptied part has left the window
        partly = self._cumulative[at + 1 : full + 1] - self._cumulative[emptied]
        early = np.flatnonzero(partly > limit)
        if len(early):
            return at + int(early[0])
        i = np.searchsorted(above, max(at, full))
        return int(above[i]) if i < len(above) else None
