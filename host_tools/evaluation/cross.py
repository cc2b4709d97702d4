"""Find wake words that trigger each other: every model over the recordings of every word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from host_tools.evaluation.detections import ProbabilitySums
from host_tools.evaluation.intervals import wilson
from host_tools.evaluation.measure import Measured
from host_tools.models.catalog import ModelFile


@dataclass(frozen=True)
class Crossing:
    """How many recordings of one word wake one model, at the model's own setting."""

    word: str
    model: str
    woken: int
    recordings: int

    @property
    def is_foreign(self) -> bool:
        return self.word != self.model


def crossing(word: str, model: ModelFile, results: Sequence[Measured]) -> Crossing:
    """Count the recordings of a word (a model's name) in which a model detects."""
    woken = sum(
        ProbabilitySums(np.frombuffer(r.probabilities, np.uint8), model.window).highest
        > model.cutoff * model.window
        for r in results
    )
    return Crossing(word, model.name, int(woken), len(results))


def cross_table(crossings: Sequence[Crossing]) -> Iterator[str]:
    """Yield lines: the recordings (rows) that wake each model (columns)."""
    models = list(dict.fromkeys(c.model for c in crossings))
    rows = [["recordings of", *models]]
    for word in dict.fromkeys(c.word for c in crossings):
        cells = {c.model: c for c in crossings if c.word == word}
        rows.append([word, *(f"{cells[m].woken} of {cells[m].recordings}" for m in models)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for word, *counts in rows:
        wide = (text.rjust(width) for text, width in zip(counts, widths[1:], strict=True))
        yield f"{word.ljust(widths[0])}  {'  '.join(wide)}"


def cross_summary(crossings: Sequence[Crossing]) -> Iterator[str]:
    """Yield a line for each pair in which one word wakes another's model."""
    foreign = [c for c in crossings if c.is_foreign]
    triggers = [c for c in foreign if c.woken]
    for c in triggers:
        interval = wilson(c.woken, c.recordings)
        assert interval is not None
        yield (
            f"{c.word} wakes {c.model}: {c.woken} of {c.recordings} recordings, "
            f"{c.woken / c.recordings:.1%} (95 %: {interval[0]:.1%} to {interval[1]:.1%})"
        )
    if not triggers:
        fewest = min(c.recordings for c in foreign)
        limit = wilson(0, fewest)
        text = f"no word wakes another's model in {fewest} recordings or more"
        yield text if limit is None else f"{text} (95 %: at most {limit[1]:.1%})"
