"""Recommend a sliding window and a cutoff for a target of false accepts per hour, or say why not.

A recommendation from few recordings is worth little, so it is bound: no setting that misses most
words, and none that is more sensitive than the model's own unless the negatives are long enough
to show the target.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass

from host_tools.evaluation.grid import Grid, Point
from host_tools.evaluation.intervals import hours_needed

#: The cutoffs (0..255) that `earnest install` takes: 0.1 to 0.99.
INSTALLABLE = range(25, 253)
NEEDS_BOTH = "no recommendation: that needs positives and negatives"


@dataclass(frozen=True)
class Recommendation:
    """The setting, or None; `text` says why there is none, or what to know of it."""

    point: Point | None
    text: str = ""


def recommend(grid: Grid, target_per_hour: float) -> Recommendation:
    """Return the setting with the fewest misses whose false accepts are within the target.

    Among equals, fewer false accepts win, then the model's own setting, then the smaller window,
    then the middle cutoff, which has room on both sides.
    """
    if not grid.positives or not grid.hours:
        return Recommendation(None, NEEDS_BOTH)
    needed = hours_needed(target_per_hour)
    is_bound = grid.hours < needed
    note = ""
    if is_bound:
        note = (
            f"{duration(grid.hours)} of negatives cannot show {target_per_hour:g} FA/h "
            f"({needed:.1f} h without a false accept would), so no setting more sensitive than "
            "the model's own was considered"
        )
    settings = [p for p in grid.points.values() if p.cutoff in INSTALLABLE or p == grid.own]
    hearing = [p for p in settings if 2 * p.missed <= grid.positives]
    allowed = [p for p in hearing if not is_bound or _is_no_more_sensitive(p, grid.own)]
    fitting = [p for p in allowed if p.false_accepts <= target_per_hour * grid.hours]
    if not fitting:
        return Recommendation(None, _nothing_fits(grid, allowed, target_per_hour, note))
    best = min((p.missed, p.false_accepts) for p in fitting)
    equal = [p for p in fitting if (p.missed, p.false_accepts) == best]
    if grid.own in equal:
        return Recommendation(grid.own, note)
    smallest = min(p.window for p in equal)
    equal = [p for p in equal if p.window == smallest]
    return Recommendation(equal[len(equal) // 2], note)


def _is_no_more_sensitive(point: Point, own: Point) -> bool:
    return point.cutoff >= own.cutoff and point.window >= own.window


def _nothing_fits(grid: Grid, allowed: list[Point], target_per_hour: float, note: str) -> str:
    text = f"no setting reaches {target_per_hour:g} FA/h and hears at least half of the words"
    if allowed:
        near = min(allowed, key=lambda p: (p.false_accepts, p.missed, p.window))
        text += (
            f"; nearest: window {near.window}, cutoff {manifest_value(near.cutoff):g} with "
            f"{near.false_accepts / grid.hours:.2f} FA/h, {near.missed} of {grid.positives} missed"
        )
    return f"{text}\n{note}" if note else text


def install_command(model: str, point: Point) -> str:
    """Return the command that gives a board this setting; `model` is a name or a path."""
    return (
        f"earnest install --model {shlex.quote(model)} "
        f"--cutoff {manifest_value(point.cutoff):g} --window {point.window}"
    )


def manifest_value(cutoff: int) -> float:
    """Return the shortest probability_cutoff of a manifest that gives this cutoff in 0..255."""
    for digits in range(1, 6):
        value = math.ceil(cutoff / 255 * 10**digits) / 10**digits
        if int(value * 255) == cutoff:
            return float(value)
    return cutoff / 255


def duration(hours: float) -> str:
    """Return hours as text, or seconds where there are few."""
    return f"{hours:.2f} h" if hours >= 0.1 else f"{hours * 3600:.1f} s"
