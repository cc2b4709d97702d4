"""Choose the probability cutoff and the sliding window of a trained model.

By evaluation on one half of the held-out scenes; the report counts on the other half.  A model
of synthetic speech is surer of synthetic speech than of people, so of all settings that miss
hardly more than the best one the strictest is taken, and none below MIN_CUTOFF.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host_tools.evaluation.grid import Grid, Point, count
from host_tools.evaluation.measure import Measured
from host_tools.evaluation.recommend import manifest_value
from host_tools.models.catalog import ModelFile

TARGET_PER_HOUR = 0.5
#: Published models have a cutoff of 0.85 to 0.97 and a window of 5.
MIN_CUTOFF, MAX_CUTOFF = int(0.80 * 255), int(0.95 * 255)
WINDOWS = (3, 4, 5, 6, 8, 10)
USUAL_WINDOW = 5
#: How many more words may be missed for a stricter setting, as a share of all.
MISSED_FOR_STRICTNESS = 0.03


@dataclass(frozen=True)
class Setting:
    """What the manifest says: the cutoff in 0..255, and how many probabilities are averaged."""

    cutoff: int
    window: int

    @property
    def probability_cutoff(self) -> float:
        return manifest_value(self.cutoff)


def choose(
    model: ModelFile,
    words: Sequence[Measured],
    near: Sequence[Measured],
    others: Sequence[Measured],
    target_per_hour: float = TARGET_PER_HOUR,
) -> Setting:
    """Return the setting for a model.

    Args:
        model: its name and stride; its own cutoff and window do not matter.
        words: what it gave for scenes with the word.
        near: for scenes with words that sound like it: fewer detections win among equals.
        others: for talk, music and noise, whose false accepts an hour the target limits.
        target_per_hour: false accepts an hour (FA/h).
    """
    grid = count(words, others, model)
    tempted = count((), near, model)
    settings = [p for p in grid.points.values() if _is_sensible(p)]
    fewest_false = min(p.false_accepts for p in settings)
    limit = max(target_per_hour * grid.hours, fewest_false)
    within = [p for p in settings if p.false_accepts <= limit]
    missed = min(p.missed for p in within) + MISSED_FOR_STRICTNESS * grid.positives
    best = min((p for p in within if p.missed <= missed), key=lambda p: _price(p, tempted))
    return Setting(best.cutoff, best.window)


def _is_sensible(point: Point) -> bool:
    return point.window in WINDOWS and MIN_CUTOFF <= point.cutoff <= MAX_CUTOFF


def _price(point: Point, tempted: Grid) -> tuple[int, int, int, int]:
    """What is smaller is better: what fires wrongly first, then what is unusual or lenient."""
    near = tempted.at(point.window, point.cutoff).false_accepts
    return point.false_accepts, near, abs(point.window - USUAL_WINDOW), -point.cutoff
