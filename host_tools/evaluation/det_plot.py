"""Draw the DET curve: false reject rate over false accepts per hour, both logarithmic."""

from __future__ import annotations

from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.evaluation.grid import Grid, Point
from host_tools.evaluation.intervals import poisson, wilson
from host_tools.evaluation.recommend import duration, manifest_value
from host_tools.models.catalog import ModelFile

_COLOURS = ("#1971c2", "#e8590c", "#2f9e44", "#9c36b5", "#0c8599", "#868e96")
DRAWN_WINDOWS = (1, 5, 10, 15, 20)


def draw(grid: Grid, model: ModelFile, best: Point | None, target: float, path: Path) -> None:
    """Draw a curve for some windows, with the own and the recommended setting and their 95 %.

    Rates of 0 have no place on a logarithmic axis; they are drawn at half of the smallest rate
    that these files can show.  Raises HostToolError without positives and negatives, or where the
    file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    if not grid.positives or not grid.hours:
        raise HostToolError("a DET curve needs positives and negatives", "no file was readable")
    min_x, min_y = 0.5 / grid.hours, 50 / grid.positives

    def place(point: Point) -> tuple[float, float]:
        rates = point.false_accepts / grid.hours, 100 * point.missed / grid.positives
        return max(rates[0], min_x), max(rates[1], min_y)

    figure, axes = pyplot.subplots(figsize=(8, 6))
    marked = {grid.own.window} | ({best.window} if best else set())
    drawn = [window for window in grid.windows if window in {*DRAWN_WINDOWS, *marked}]
    for i, window in enumerate(drawn):
        x, y = zip(*map(place, grid.det(window)), strict=True)
        axes.step(
            x, y, where="post", color=_COLOURS[i % len(_COLOURS)], lw=1.3, label=f"window {window}"
        )
    for point, text, colour in ((grid.own, "own", "#212529"), (best, "recommended", "#d6336c")):
        if point is not None:
            x0, y0 = place(point)
            across, up = (
                poisson(point.false_accepts, grid.hours),
                wilson(point.missed, grid.positives),
            )
            assert across is not None and up is not None
            axes.errorbar(
                [x0],
                [y0],
                xerr=[[max(x0 - across[0], 0)], [max(across[1] - x0, 0)]],
                yerr=[[max(y0 - 100 * up[0], 0)], [max(100 * up[1] - y0, 0)]],
                fmt="o",
                color=colour,
                capsize=3,
                label=f"{text}: {point.window}, {manifest_value(point.cutoff):g}, with 95 %",
            )
    axes.axvline(target, color="#2f9e44", ls="--", lw=1, label=f"target {target:g} FA/h")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left=min_x * 0.8)
    axes.set_ylim(min_y * 0.8, 110)
    axes.set_xlabel(f"false accepts per hour (FA/h), {duration(grid.hours)} of negatives")
    axes.set_ylabel(f"false reject rate (FRR), % of {grid.positives}")
    axes.grid(color="#e4e7eb", which="both", lw=0.5)
    axes.set_axisbelow(True)
    axes.legend(loc="best", frameon=False, fontsize=8)
    axes.set_title(f"{model.wake_word} ({model.name}): DET curve", loc="left")
    try:
        figure.savefig(path, dpi=120, bbox_inches="tight")
    except OSError as error:
        raise HostToolError(f"{path}: {error.strerror}", "name another file: --plot") from error
    finally:
        pyplot.close(figure)
