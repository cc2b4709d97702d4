"""Choose the probability cutoff and the sliding window of a trained model.

By evaluation on one half of the held-out scenes; the report counts on the other half.  Synthetic
talk hardly ever wakes a model that was trained on it, while real talk does.  So there is a least
cutoff, which real talk taught (docs/train.md), and a limit on how many of the words that sound
like the wake word fire.  False accepts of synthetic talk rule a setting out only where they show
that the target is not met: an hour of it with one of them shows nothing.  Of the settings that are
left the one that misses fewest is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from host_tools.evaluation.grid import Point, count
from host_tools.evaluation.intervals import poisson
from host_tools.evaluation.measure import Measured
from host_tools.evaluation.recommend import manifest_value
from host_tools.models.catalog import ModelFile

TARGET_PER_HOUR = 0.5
#: Of the words that sound like it, at most this share may fire.
MOST_NEAR = 0.15
#: Published models have a cutoff of 0.85 to 0.97 and a window of 5.
MIN_CUTOFF, MAX_CUTOFF = int(0.88 * 255), int(0.97 * 255)
WINDOWS = (5, 6, 8, 10)
USUAL_WINDOW = 5


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
        near: for scenes with words that sound like it, see MOST_NEAR.
        others: for talk, music and noise, whose false accepts an hour the target limits.
        target_per_hour: false accepts an hour (FA/h).
    """
    grid, tempted = count(words, others, model), count(near, (), model)
    settings = [p for p in grid.points.values() if _is_sensible(p)]
    fewest = min(p.false_accepts for p in settings)
    within = [
        p
        for p in settings
        if p.false_accepts == fewest or _at_least(p.false_accepts, grid.hours) <= target_per_hour
    ]

    def fired(point: Point) -> int:
        return len(near) - tempted.at(point.window, point.cutoff).missed

    most = max(MOST_NEAR * len(near), min(map(fired, within)))
    fitting = [p for p in within if fired(p) <= most]

    def price(point: Point) -> tuple[int, int, int, int, int]:
        unusual = abs(point.window - USUAL_WINDOW)
        return point.missed, point.false_accepts, fired(point), unusual, -point.cutoff

    best = min(fitting, key=price)
    return Setting(best.cutoff, best.window)


def _at_least(false_accepts: int, hours: float) -> float:
    """The rate an hour that the truth is above, with 97.5 % confidence."""
    interval = poisson(false_accepts, hours)
    return interval[0] if interval else 0.0


def _is_sensible(point: Point) -> bool:
    return point.window in WINDOWS and MIN_CUTOFF <= point.cutoff <= MAX_CUTOFF
