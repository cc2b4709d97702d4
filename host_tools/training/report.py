"""Write report.html: one file with its plots in it, that runs no script and asks nobody."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from host_tools.evaluation.grid import count
from host_tools.models.catalog import ModelFile
from host_tools.training import clips
from host_tools.training.facts import Facts, Share
from host_tools.training.selection import Setting
from host_tools.training.trials import MUSIC, Heard, measured, of_kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BLUE, _RED, _GREY = "#1971c2", "#d6336c", "#e4e7eb"


@dataclass(frozen=True)
class Report:
    """What the report shows beside the facts."""

    name: str  # as `--model` takes it
    word: str
    setting: Setting
    people_line: str
    warnings: tuple[str, ...]
    made: tuple[tuple[str, str], ...]  # what it was made of, for people


def html(report: Report, facts: Facts, heard: Sequence[Heard], model: ModelFile) -> str:
    """Return the page; `heard` are the trials that the facts were counted on."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return templates.get_template("report.html").render(
        name=report.name,
        word=report.word,
        cutoff=f"{report.setting.probability_cutoff:g}",
        window=report.setting.window,
        people_line=report.people_line,
        warnings=report.warnings,
        made=report.made,
        facts=facts,
        curve=_picture(_curve(report.setting, heard, model)),
        groups=_picture(_groups(facts)),
    )


def _figure(height: float) -> tuple[Figure, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, height), layout="constrained")
    axes = figure.subplots()
    axes.grid(color=_GREY, lw=0.5)
    axes.set_axisbelow(True)
    return figure, axes


def _curve(setting: Setting, heard: Sequence[Heard], model: ModelFile) -> Figure:
    """Misses over false accepts an hour, for every cutoff of the setting's window."""
    words, others = of_kind(heard, clips.WORD), of_kind(heard, clips.TALK, MUSIC)
    grid = count(measured(words), measured(others), model)
    points = list(grid.det(setting.window))
    own = grid.at(setting.window, setting.cutoff)
    total, hours = max(1, grid.positives), grid.hours or 1.0
    figure, axes = _figure(4)
    x = [point.false_accepts / hours for point in points]
    y = [100 * point.missed / total for point in points]
    axes.step(x, y, where="post", color=_BLUE, label=f"all cutoffs, window {setting.window}")
    here = own.false_accepts / hours, 100 * own.missed / total
    axes.plot(*here, "o", color=_RED, label=f"cutoff {setting.probability_cutoff:g}")
    axes.set_xlabel(f"false accepts per hour, {60 * grid.hours:.0f} min of synthetic talk, music")
    axes.set_ylabel(f"missed, % of {grid.positives}")
    axes.set_xlim(left=-0.02 * max(1.0, axes.get_xlim()[1]))
    axes.set_ylim(bottom=-1)
    axes.legend(frameon=False)
    return figure


def _groups(facts: Facts) -> Figure:
    """The misses of each group as a point with its interval, one row a group."""
    rows: list[tuple[str, Share]] = [
        (f"{title}: {share.what}", share) for title, shares in facts.missed_by for share in shares
    ]
    figure, axes = _figure(0.35 * len(rows) + 1.2)
    for place, (_, share) in enumerate(rows):
        low, high = (100 * limit for limit in share.interval or (0.0, 1.0))
        axes.plot([low, high], [place, place], color=_BLUE, lw=2)
        axes.plot([100 * share.count / max(1, share.total)], [place], "o", color=_RED)
    axes.set_yticks(range(len(rows)), [name for name, _ in rows])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("words missed, %, with the 95 % interval")
    return figure


def _picture(figure: Figure) -> str:
    """Return a figure as a data URL; the same figure gives the same one."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=100, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
