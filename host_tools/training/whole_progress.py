"""One bar over all stages of a run, with the time that is left.

A stage counts as many seconds as it was estimated to take; what it opens itself moves the bar
within that.  A stage that was finished before moves it at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from host_tools.progress import OpenProgress, Report

#: Takes the number of the stage, of how many, and its name.
Announce = Callable[[int, int, str], object]


class WholeProgress:
    """The progress of a run.

    Args:
        seconds: estimated of each stage, by name, in order.
        report: of the bar that shows all of it, whose total is the sum of `seconds`.
        announce: called at the beginning of each stage.
    """

    def __init__(self, seconds: Mapping[str, float], report: Report, announce: Announce) -> None:
        self._seconds, self._report, self._announce = dict(seconds), report, announce
        self._begun = 0

    @contextlib.contextmanager
    def stage(self, name: str, parts: Sequence[float] = ()) -> Iterator[OpenProgress]:
        """Announce a stage; yields what its work opens; the bar is at its end afterwards.

        Args:
            name: as in `seconds`.
            parts: the work opens a progress for each of these, and they take such shares.
        """
        whole = left = self._seconds[name]
        shares = iter(part / sum(parts) for part in parts)
        self._begun += 1
        self._announce(self._begun, len(self._seconds), name)

        def move(text: str, seconds: float) -> None:
            nonlocal left
            seconds = min(seconds, left)
            left -= seconds
            self._report(f"{name}: {text}" if text else name, seconds)

        @contextlib.contextmanager
        def opened(total: float) -> Iterator[Report]:
            share = next(shares, 1.0) * whole
            yield lambda text, done: move(text, share * done / total if total else 0.0)

        yield opened
        move("", left)
