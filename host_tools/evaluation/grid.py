"""Count false rejects, false accepts and latency for every sliding window and cutoff.

A positive file counts as heard when the detector detects at least once in it; every detection in
a negative file is a false accept.  `detections` holds the rule, `measure` ran before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from host_tools.evaluation.detections import CUTOFFS, STEP_MS, ProbabilitySums
from host_tools.evaluation.measure import Measured
from host_tools.models.catalog import ModelFile

#: The windows that are tried, beside the model's own.
WINDOWS = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20)


@dataclass(frozen=True)
class Point:
    """One setting and what it does to the files; `cutoff` is in 0..255."""

    window: int
    cutoff: int
    missed: int
    false_accepts: int
    #: How much later than with the model's own setting, the median over the words that both hear.
    latency_ms: float | None = None


@dataclass(frozen=True)
class Grid:
    """The points of all settings over one set of files, the model's own setting among them."""

    points: dict[tuple[int, int], Point]
    own: Point
    positives: int
    hours: float  # of negatives

    def at(self, window: int, cutoff: int) -> Point:
        return self.points[window, cutoff]

    @property
    def windows(self) -> list[int]:
        return sorted({window for window, _ in self.points})

    def frr(self, point: Point) -> float | None:
        """Return the false reject rate, 0..1; None without positives."""
        return point.missed / self.positives if self.positives else None

    def fa_per_hour(self, point: Point) -> float | None:
        """Return the false accepts per hour; None without negatives."""
        return point.false_accepts / self.hours if self.hours else None

    def det(self, window: int | None = None) -> Iterator[Point]:
        """Yield the settings that no other beats in both rates, from few false accepts to many.

        With a `window`, only that window's.
        """
        points = [p for p in self.points.values() if window in (None, p.window)]
        missed = self.positives + 1
        for point in sorted(points, key=lambda p: (p.false_accepts, p.missed, p.window, p.cutoff)):
            if point.missed < missed:
                missed = point.missed
                yield point


def count(positives: Sequence[Measured], negatives: Sequence[Measured], model: ModelFile) -> Grid:
    """Run the detector over every file with every window and cutoff."""
    windows = sorted({*WINDOWS, model.window})
    first = {window: _first_detections(positives, window) for window in windows}
    own_first = first[model.window][:, model.cutoff]
    points = {}
    for window in windows:
        accepted = _false_accepts(negatives, window, model.stride)
        missed = (first[window] < 0).sum(axis=0)
        for i, cutoff in enumerate(CUTOFFS):
            both = (first[window][:, i] >= 0) & (own_first >= 0)
            later = first[window][both, i] - own_first[both]
            latency_ms = float(np.median(later)) * model.stride * STEP_MS if later.size else None
            points[window, cutoff] = Point(
                window, cutoff, int(missed[i]), int(accepted[i]), latency_ms
            )
    hours = sum(result.seconds for result in negatives) / 3600
    return Grid(points, points[model.window, model.cutoff], len(positives), hours)


def _first_detections(files: Sequence[Measured], window: int) -> NDArray[np.int64]:
    """Return the inference of the first detection, [files, cutoffs], -1 where there is none."""
    limits = np.array(CUTOFFS) * window
    found = np.full((len(files), len(CUTOFFS)), -1)
    for i, result in enumerate(files):
        highest = ProbabilitySums(_probabilities(result), window).highest_so_far()
        if len(highest):
            at = np.searchsorted(highest, limits, side="right")
            found[i] = np.where(at < len(highest), at, -1)
    return found


def _false_accepts(files: Sequence[Measured], window: int, stride: int) -> NDArray[np.int64]:
    """Return the number of detections at every cutoff."""
    accepted = np.zeros(len(CUTOFFS), np.int64)
    for result in files:
        sums = ProbabilitySums(_probabilities(result), window)
        for i, cutoff in enumerate(CUTOFFS):
            if sums.highest <= cutoff * window:
                break  # at no higher cutoff either
            accepted[i] += len(sums.detections(cutoff, stride))
    return accepted


def _probabilities(result: Measured) -> NDArray[np.uint8]:
    return np.frombuffer(result.probabilities, np.uint8)
