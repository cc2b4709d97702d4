"""The two times that answers need: what a wall clock shows, and how much time has passed.

A wall clock can jump: it is set, corrected, or summer time begins.  What has passed cannot, and it
counts while the computer sleeps, where the system offers that (Linux).
"""

from __future__ import annotations

import datetime
import time
from typing import Protocol

#: Counts through a suspension; Linux has it.
_BOOT_TIME = getattr(time, "CLOCK_BOOTTIME", None)


class Clock(Protocol):
    """The time: the system's, or a test's."""

    def now(self) -> datetime.datetime:
        """Return the local time, with its zone."""

    def wall_s(self) -> float:
        """Return Unix time, which can jump."""

    def passed_s(self) -> float:
        """Return the seconds since some moment, which only grow."""


class SystemClock:
    """The computer's own."""

    def now(self) -> datetime.datetime:
        return datetime.datetime.now().astimezone()

    def wall_s(self) -> float:
        return time.time()

    def passed_s(self) -> float:
        if _BOOT_TIME is None:
            return time.monotonic()
        return time.clock_gettime(_BOOT_TIME)
