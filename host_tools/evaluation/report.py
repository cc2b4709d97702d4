"""Report what the settings do: tables and sentences for people, one object for --json."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypedDict

from host_tools.evaluation.grid import Grid, Point, count
from host_tools.evaluation.intervals import Interval, poisson, wilson
from host_tools.evaluation.measure import Measured
from host_tools.evaluation.recommend import Recommendation, install_command, manifest_value
from host_tools.models.catalog import ModelFile
from host_tools.places import earnest

#: The cutoffs of the table, beside the model's own and the recommended one.
TABLE_CUTOFFS = tuple(int(percent * 255 / 100) for percent in (50, 60, 70, 80, 85, 90, 95, 97, 99))


class PointFields(TypedDict):
    """One setting in --json; rates are null where there are no files to count."""

    sliding_window_size: int
    cutoff: int
    probability_cutoff: float
    missed: int
    false_reject_rate: float | None
    false_reject_rate_95: Interval | None
    false_accepts: int
    false_accepts_per_hour: float | None
    false_accepts_per_hour_95: Interval | None
    latency_ms: float | None


class ReportFields(TypedDict):
    """The whole of --json, but for what the command adds."""

    model: str
    wake_word: str
    positives: int
    negative_hours: float
    target_false_accepts_per_hour: float
    own: PointFields
    recommended: PointFields | None
    note: str
    command: str | None
    table: list[PointFields]
    det: list[PointFields]


class AgainFields(TypedDict):
    """What a model does on the false wakes that a receiver kept."""

    recordings: int
    seconds: float
    #: How many wake it, at its own setting and at the recommended one, if there is one.
    own: int
    recommended: int | None


def again(false_wakes: Sequence[Measured], model: ModelFile, best: Recommendation) -> AgainFields:
    """Count the kept false wakes that would wake the model again."""
    grid = count(false_wakes, [], model)  # a detection in one counts once, as in a positive
    point = best.point and grid.at(best.point.window, best.point.cutoff)
    return {
        "recordings": grid.positives,
        "seconds": round(sum(result.seconds for result in false_wakes), 3),
        "own": grid.positives - grid.own.missed,
        "recommended": None if point is None else grid.positives - point.missed,
    }


def again_text(found: AgainFields) -> str:
    """Return that as a line for people."""
    text = (
        f"kept false wakes: {found['recordings']} ({found['seconds']:.1f} s); "
        f"at the model's own setting {found['own']} of them would wake it again"
    )
    if found["recommended"] is not None:
        text += f", at the recommended one {found['recommended']}"
    return text


def as_json(
    grid: Grid, model: ModelFile, install_name: str, best: Recommendation, target: float
) -> ReportFields:
    """Return the report as one object.

    Args:
        grid: What was counted.
        model: The model that was measured.
        install_name: What `earnest install --model` takes for it.
        best: The recommendation.
        target: The target in false accepts per hour.
    """
    return {
        "model": model.name,
        "wake_word": model.wake_word,
        "positives": grid.positives,
        "negative_hours": grid.hours,
        "target_false_accepts_per_hour": target,
        "own": _fields(grid, grid.own),
        "recommended": None if best.point is None else _fields(grid, best.point),
        "note": best.text,
        "command": None if best.point is None else install_command(install_name, best.point),
        "table": [
            _fields(grid, grid.at(window, cutoff))
            for window in grid.windows
            for cutoff in _table_cutoffs(grid, best)
        ],
        "det": [_fields(grid, point) for point in grid.det()],
    }


def _fields(grid: Grid, point: Point) -> PointFields:
    return {
        "sliding_window_size": point.window,
        "cutoff": point.cutoff,
        "probability_cutoff": manifest_value(point.cutoff),
        "missed": point.missed,
        "false_reject_rate": grid.frr(point),
        "false_reject_rate_95": wilson(point.missed, grid.positives),
        "false_accepts": point.false_accepts,
        "false_accepts_per_hour": grid.fa_per_hour(point),
        "false_accepts_per_hour_95": poisson(point.false_accepts, grid.hours),
        "latency_ms": point.latency_ms,
    }


def _table_cutoffs(grid: Grid, best: Recommendation) -> list[int]:
    marked = {grid.own.cutoff} | ({best.point.cutoff} if best.point else set())
    return sorted({*TABLE_CUTOFFS} | marked)


def window_table(grid: Grid, best: Recommendation) -> Iterator[str]:
    """Yield lines: false accepts / misses for every window (rows) and some cutoffs (columns)."""
    cutoffs = _table_cutoffs(grid, best)
    rows = [["window", "latency", *(f"{manifest_value(cutoff):g}" for cutoff in cutoffs)]]
    for window in grid.windows:
        row = [str(window), _latency(grid.at(window, grid.own.cutoff))]
        for cutoff in cutoffs:
            point = grid.at(window, cutoff)
            false_accepts = str(point.false_accepts) if grid.hours else "-"
            cell = f"{false_accepts}/{point.missed if grid.positives else '-'}"
            mark = "*" if point == best.point else "o" if point == grid.own else " "
            row.append(cell + mark)
        rows.append(row)
    rows[0][2:] = [heading + " " for heading in rows[0][2:]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(
            cell.rjust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
    yield "false accepts / words missed; o the model's own setting, * recommended;"
    yield "latency: how much later than with the own window, the median, at the own cutoff"


def summary(grid: Grid, install_name: str, best: Recommendation) -> Iterator[str]:
    """Yield the lines under the table: own and recommended setting, notes, the command."""
    yield f"own: {_sentence(grid, grid.own)}"
    if best.point == grid.own:
        yield "recommended: the model's own setting, the best of those within the target"
    elif best.point is not None:
        yield f"recommended: {_sentence(grid, best.point)}"
    yield from filter(None, best.text.split("\n"))
    if best.point is not None:
        yield f"apply: {install_command(install_name, best.point, earnest())}"


def _sentence(grid: Grid, point: Point) -> str:
    parts = [f"window {point.window}, cutoff {manifest_value(point.cutoff):g}"]
    frr, frr_range = grid.frr(point), wilson(point.missed, grid.positives)
    if frr is not None and frr_range is not None:
        parts.append(
            f"FRR {frr:.1%} ({frr_range[0]:.1%} to {frr_range[1]:.1%}), "
            f"{point.missed} of {grid.positives} missed"
        )
    rate, rate_range = grid.fa_per_hour(point), poisson(point.false_accepts, grid.hours)
    if rate is not None and rate_range is not None:
        parts.append(
            f"{rate:.2f} FA/h ({rate_range[0]:.2f} to {rate_range[1]:.2f}), "
            f"{point.false_accepts} in all"
        )
    if point != grid.own and point.latency_ms is not None:
        when = "earlier" if point.latency_ms < 0 else "later"
        parts.append(f"detects {abs(point.latency_ms):.0f} ms {when}")
    return "; ".join(parts)


def _latency(point: Point) -> str:
    return "-" if point.latency_ms is None else f"{point.latency_ms:+.0f} ms"
