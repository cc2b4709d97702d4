"""Device time: milliseconds since the start, always growing.

Place in the pipeline: the clock behind every `now_ms`.
"""

import asyncio
import time
from time import ticks_diff

import micropython


class Clock:
    """`time.ticks_ms` wraps every 12.4 days; this does not, if asked once in six days.

    After 12.4 days the number no longer fits a small integer and every reading allocates 16 bytes.
    """

    def __init__(self, ticks_ms=time.ticks_ms):
        self._ticks_ms = ticks_ms
        self._ticks = ticks_ms()
        self._now_ms = 0

    @micropython.native
    def now_ms(self):
        """Milliseconds since this clock was made."""
        ticks = self._ticks_ms()
        self._now_ms = now_ms = self._now_ms + ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return now_ms

    @micropython.native
    def ticks_us(self):
        """For the length of short things; wraps every 18 minutes."""
        return time.ticks_us()

    def sleep_ms(self, ms):
        """`await sleep_ms(ms)`; allocates nothing."""
        return asyncio.sleep_ms(ms)
