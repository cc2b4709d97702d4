"""Recommend a sliding window and a cutoff for a target of false accepts per hour, or say why not.

A recommendation from few recordings is worth little, so it is bound: no setting that misses most
words, and none that is more sensitive than the model's own unless these negatives show, with 95 %
confidence, that it stays within the target.
"""

from __future__ import annotations

import math
import shlex
from dataclasses import dataclass

from host_tools.evaluation.grid import Grid, Point
from host_tools.evaluation.intervals import hours_needed, poisson_limit

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
    settings = [p for p in grid.points.values() if p.cutoff in INSTALLABLE or p == grid.own]
    hearing = [p for p in settings if 2 * p.missed <= grid.positives]
    allowed = [p for p in hearing if _may_be_recommended(p, grid, target_per_hour)]
    within = target_per_hour * grid.hours
    fitting = [p for p in allowed if p.false_accepts <= within]
    bold = [p for p in hearing if p.false_accepts <= within and p not in allowed]
    note = _caution(grid, target_per_hour, bold, fitting)
    if not fitting:
        return Recommendation(None, _nothing_fits(grid, allowed, target_per_hour, note))
    best = min((p.missed, p.false_accepts) for p in fitting)
    equal = [p for p in fitting if (p.missed, p.false_accepts) == best]
    if grid.own in equal:
        return Recommendation(grid.own, note)
    smallest = min(p.window for p in equal)
    equal = [p for p in equal if p.window == smallest]
    return Recommendation(equal[len(equal) // 2], note)


def _may_be_recommended(point: Point, grid: Grid, target_per_hour: float) -> bool:
    if point.cutoff >= grid.own.cutoff and point.window >= grid.own.window:
        return True
    return poisson_limit(point.false_accepts, grid.hours) <= target_per_hour


def _caution(grid: Grid, target_per_hour: float, bold: list[Point], fitting: list[Point]) -> str:
    """Return what these recordings are too few for, as text."""
    needed = hours_needed(target_per_hour)
    if grid.hours < needed:
        return (
            f"{duration(grid.hours)} of negatives cannot show {target_per_hour:g} FA/h "
            f"({needed:.1f} h without a false accept would), so no setting more sensitive than "
            "the model's own was considered"
        )
    boldest = min(bold, key=lambda p: (p.missed, p.false_accepts, p.window), default=None)
    if boldest is None or (fitting and min(p.missed for p in fitting) <= boldest.missed):
        return ""
    return (
        f"window {boldest.window}, cutoff {manifest_value(boldest.cutoff):g} missed fewer "
        f"({boldest.missed}), but is more sensitive than the model's own, and its "
        f"{boldest.false_accepts} false accepts in {duration(grid.hours)} do not show "
        f"{target_per_hour:g} FA/h"
    )


def _nothing_fits(grid: Grid, allowed: list[Point], target_per_hour: float, note: str) -> str:
    text = f"no setting reaches {target_per_hour:g} FA/h and hears at least half of the words"
    if allowed:
        near = min(allowed, key=lambda p: (p.false_accepts, p.missed, p.window))
        text += (
            f"; nearest: window {near.window}, cutoff {manifest_value(near.cutoff):g} with "
            f"{near.false_accepts / grid.hours:.2f} FA/h, {near.missed} of {grid.positives} missed"
        )
    return f"{text}\n{note}" if note else text


def install_command(model: str, point: Point, tool: str = "earnest") -> str:
    """Return the command that gives a board this setting.

    Args:
        model: a name or a path.
        point: has the setting.
        tool: what starts `earnest` where the command is typed.
    """
    return (
        f"{tool} install --model {shlex.quote(model)} "
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
