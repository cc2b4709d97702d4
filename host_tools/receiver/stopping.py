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


class Stopping:
    """`begin` is for any thread; `check` is asked by whoever works."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def begin(self) -> None:
        """The receiver ends: no more long work."""
        self._event.set()

    @property
    def has_begun(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raise Stopped when the receiver ends."""
        if self._event.is_set():
            raise Stopped
