"""Lets work that takes long end soon when the receiver does: asked between two of its steps.

What was confirmed is done by then; what was not is said to be left, and found again at the next
start.
"""

from __future__ import annotations

import threading

from host_tools.errors import HostToolError


class Stopped(HostToolError):
    """The receiver ends; nothing was done of what would have followed."""

    def __init__(self) -> None:
        super().__init__("the receiver ends", "it goes on at its next start")


#: Steps of long work between two looks: what is short is done to its end.
STEPS = 500


class Stopping:
    """`begin` is for any thread; the rest is asked by whoever works."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def begin(self) -> None:
        """The receiver ends: no more long work."""
        self._event.set()

    @property
    def has_begun(self) -> bool:
        return self._event.is_set()

    def is_due(self, done: int) -> bool:
        """Return whether to stop now, after so many steps."""
        return bool(done) and done % STEPS == 0 and self._event.is_set()

    def check(self, done: int) -> None:
        """Raise Stopped if it is due."""
        if self.is_due(done):
            raise Stopped
