"""The quick half of `earnest evaluate`: from probabilities to curve, recommendation, plot.

`measure` ran before it; `detections` decides.  A positive file counts as heard
when the detector says yes at least once in it; each yes in a negative file is a false accept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import chi2

from host_tools.errors import HostToolError
from host_tools.evaluation.detections import CUTOFFS, ProbabilitySums
from host_tools.evaluation.measure import Measured
from host_tools.models.catalog import ModelFile

CONFIDENCE = 0.95
TABLE_CUTOFFS = tuple(int(percent * 255 / 100) for percent in range(5, 100, 10)) + (252,)


@dataclass(frozen=True)
class Point:
    """One cutoff (0..255) and what it does to the files at hand."""

    cutoff: int
    missed: int
    false_accepts: int


@dataclass(frozen=True)
class Curve:
    """The points of all cutoffs over one set of files."""

    points: tuple[Point, ...]
    positives: int
    hours: float  # of negatives

    def at(self, cutoff: int) -> Point:
        return self.points[cutoff - CUTOFFS[0]]

    def false_reject_rate(self, point: Point) -> float | None:
        return point.missed / self.positives if self.positives else None

    def per_hour(self, point: Point) -> float | None:
        return point.false_accepts / self.hours if self.hours else None

    def per_hour_at_most(self, point: Point) -> float | None:
        """The rate that the truth stays below with 95 % confidence (Poisson)."""
        if not self.hours:
            return None
        return float(chi2.ppf(CONFIDENCE, 2 * point.false_accepts + 2)) / 2 / self.hours


def curve_of(
    positives: Sequence[Measured], negatives: Sequence[Measured], model: ModelFile
) -> Curve:
    """Run the detector over every file at every cutoff."""
    heard = np.zeros(len(CUTOFFS), np.int64)
    accepted = np.zeros(len(CUTOFFS), np.int64)
    for result in positives:
        heard += _counts(result, model) > 0
    for result in negatives:
        accepted += _counts(result, model)
    points = tuple(
        Point(cutoff, len(positives) - int(heard[i]), int(accepted[i]))
        for i, cutoff in enumerate(CUTOFFS)
    )
    return Curve(points, len(positives), sum(result.seconds for result in negatives) / 3600)


def _counts(result: Measured, model: ModelFile) -> np.ndarray:
    sums = ProbabilitySums(np.frombuffer(result.probabilities, np.uint8), model.window)
    return np.array([len(sums.detections(cutoff, model.stride)) for cutoff in CUTOFFS])


def manifest_value(cutoff: int) -> float:
    """The shortest probability_cutoff of a manifest that gives this cutoff, int(value * 255)."""
    for digits in range(1, 6):
        value = math.ceil(cutoff / 255 * 10**digits) / 10**digits
        if int(value * 255) == cutoff:
            return value
    return cutoff / 255


def recommend(curve: Curve, target_per_hour: float) -> Point | None:
    """The cutoff with the fewest misses whose false accepts are within the target.

    Where several are as good, fewer false accepts win, then the middle one: it has room on both
    sides.  None without positives and negatives, or when no cutoff is within the target.
    """
    if not curve.positives or not curve.hours:
        return None
    fitting = [p for p in curve.points if p.false_accepts <= target_per_hour * curve.hours]
    if not fitting:
        return None
    best = min((p.missed, p.false_accepts) for p in fitting)
    equal = [p for p in fitting if (p.missed, p.false_accepts) == best]
    return equal[len(equal) // 2]


def duration(hours: float) -> str:
    """Hours in words, or seconds where there are few."""
    return f"{hours:.2f} h" if hours >= 0.1 else f"{hours * 3600:.1f} s"


def hours_needed(target_per_hour: float) -> float:
    """Hours of negatives without a false accept that would show the target with confidence."""
    return -math.log(1 - CONFIDENCE) / target_per_hour


def as_json(curve: Curve, model: ModelFile, best: Point | None, target: float) -> dict:
    """For --json: rates are null where there are no files to tell."""

    def fields(point: Point | None) -> dict | None:
        if point is None:
            return None
        return {
            "cutoff": point.cutoff,
            "probability_cutoff": manifest_value(point.cutoff),
            "missed": point.missed,
            "false_reject_rate": curve.false_reject_rate(point),
            "false_accepts": point.false_accepts,
            "false_accepts_per_hour": curve.per_hour(point),
            "false_accepts_per_hour_at_most": curve.per_hour_at_most(point),
        }

    return {
        "model": model.name,
        "wake_word": model.wake_word,
        "sliding_window_size": model.window,
        "positives": curve.positives,
        "negative_hours": curve.hours,
        "target_false_accepts_per_hour": target,
        "recommended": fields(best),
        "own_cutoff": fields(curve.at(model.cutoff) if model.cutoff in CUTOFFS else None),
        "curve": [fields(point) for point in curve.points],
    }


def table(curve: Curve, model: ModelFile, best: Point | None):
    """A rich table of some cutoffs, the model's own and the recommended one among them."""
    from rich.table import Table

    marks = {model.cutoff: "the model's"}
    if best is not None:
        marks[best.cutoff] = ", ".join(filter(None, [marks.get(best.cutoff), "recommended"]))
    rows = Table(title=f"{model.wake_word}: what each cutoff does", title_justify="left")
    for name in ("cutoff", "missed", "FRR", "false accepts", "FA/h", "95 % sure"):
        rows.add_column(name, justify="right")
    rows.add_column("", no_wrap=True)
    for cutoff in sorted({*TABLE_CUTOFFS, *marks} & set(CUTOFFS)):
        point = curve.at(cutoff)
        rates = (
            curve.false_reject_rate(point),
            curve.per_hour(point),
            curve.per_hour_at_most(point),
        )
        rows.add_row(
            f"{manifest_value(cutoff):g}",
            str(point.missed) if curve.positives else "-",
            "-" if rates[0] is None else f"{rates[0]:.1%}",
            str(point.false_accepts) if curve.hours else "-",
            *("-" if rate is None else f"{rate:.2f}" for rate in rates[1:]),
            marks.get(cutoff, ""),
            style="bold" if cutoff in marks else None,
        )
    return rows


def draw(curve: Curve, model: ModelFile, best: Point | None, target: float, path: Path) -> None:
    """Draw FRR and false accepts per hour over the cutoff into a .png, .svg or .pdf."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    x = [point.cutoff / 255 for point in curve.points]
    figure, (upper, lower) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 6.5))
    if curve.positives:
        rates = [100 * point.missed / curve.positives for point in curve.points]
        upper.step(x, rates, where="mid", color="#1971c2")
    upper.set_ylabel(f"missed, % of {curve.positives}")
    upper.set_ylim(-3, 103)
    if curve.hours:
        at_most = [curve.per_hour_at_most(point) for point in curve.points]
        seen = [curve.per_hour(point) for point in curve.points]
        lower.fill_between(x, seen, at_most, step="mid", color="#e8590c", alpha=0.2, lw=0)
        lower.step(
            x, seen, where="mid", color="#e8590c", label="seen; shaded up to the 95 % limit"
        )
        lower.axhline(target, color="#2f9e44", ls="--", lw=1, label=f"target {target:g}")
        lower.set_yscale("symlog", linthresh=max(target, 0.01))
        lower.set_ylim(bottom=0)
        lower.legend(loc="lower left", frameon=False)
    lower.set_ylabel(f"FA/h\n({duration(curve.hours)} of negatives)")
    lower.set_xlabel("probability cutoff")
    lower.set_xlim(0, 1)
    for axes in (upper, lower):
        axes.grid(color="#e4e7eb")
        axes.set_axisbelow(True)
        axes.axvline(model.cutoff / 255, color="#7b8794", ls=":", label="the model's own")
        if best is not None:
            axes.axvline(best.cutoff / 255, color="#d6336c", label="recommended")
    upper.legend(loc="upper left", frameon=False)
    upper.set_title(f"{model.wake_word} ({model.name})", loc="left")
    try:
        figure.savefig(path, dpi=120, bbox_inches="tight")
    except OSError as error:
        raise HostToolError(f"{path}: {error.strerror}", "name another file: --plot") from error
    finally:
        pyplot.close(figure)
