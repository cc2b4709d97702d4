"""Progress of long work, shown on standard error where that is a terminal.

Whoever does the work takes an `OpenProgress` and calls what it opens; the command hands in
`bar`, a test or a program `no_progress`.  So no room below commands draws anything.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

#: Takes what is being done now, in a few words, and how much was done since the last call.
Report = Callable[[str, float], object]
#: Takes the total and gives, as a context manager, the Report to call.
OpenProgress = Callable[[float], AbstractContextManager[Report]]


@contextlib.contextmanager
def bar(total: float, unit: str = "bytes", console: Console | None = None) -> Iterator[Report]:
    """A bar that is gone when the work is done.

    Args:
        total: how much there is to do.
        unit: `bytes`, `count` (3 of 12) or `percent`.
        console: where to draw; standard error when None.

    Yields:
        The Report.  Without a terminal it does nothing.
    """
    if not (console.is_terminal if console else sys.stderr.isatty()):
        yield lambda text, done: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = {
        "bytes": DownloadColumn(),
        "count": MofNCompleteColumn(),
        "percent": TextColumn("{task.percentage:.0f} %"),
    }
    shown = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        columns[unit],
        TimeRemainingColumn(),
        console=console or Console(stderr=True),
        transient=True,
    )
    task = shown.add_task("", total=total)
    with shown:
        yield lambda text, done: shown.update(task, description=text, advance=done)


@contextlib.contextmanager
def no_progress(total: float) -> Iterator[Report]:
    """Show nothing."""
    yield lambda text, done: None
