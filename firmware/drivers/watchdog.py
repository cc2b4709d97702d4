"""The watchdog: resets a device whose audio path stands still, and says so after the reset.

Place in the pipeline: the app feeds it once per turn of the audio loop.  No timer feeds it:
a timer would keep a dead loop alive.
"""

import machine
import micropython
from micropython import const

TIMEOUT_MS = const(8000)
_REPL_TIMEOUT_MS = const(1800000)
# RTC_CNTL_RTC_RESET_STATE_REG (ESP32-S3 reference manual, register 10.12): MicroPython takes a
# supply that broke down for a person who plugged it in.
_RESET_STATE_REG = 0x60008038
_BROWNOUT = const(15)


class Watchdog:
    """Starts with the first `feed`, since nothing can stop it once it runs; 0 never starts it."""

    def __init__(self, timeout_ms=TIMEOUT_MS):
        self._timeout_ms = timeout_ms
        self._wdt = None

    @micropython.native
    def feed(self):
        """The audio loop has made a turn."""
        if self._wdt is not None:
            self._wdt.feed()
        elif self._timeout_ms:
            self._wdt = machine.WDT(timeout=self._timeout_ms)

    def loosen(self):
        """Someone stopped the program at the cable: nothing can stop the clock, but give time."""
        if self._wdt is not None:
            machine.WDT(timeout=_REPL_TIMEOUT_MS).feed()


def reset_reason():
    """Why the device started: power, brownout, reset, watchdog, sleep, soft, unknown."""
    cause = machine.reset_cause()
    if cause == machine.PWRON_RESET and machine.mem32[_RESET_STATE_REG] & 63 == _BROWNOUT:
        return "brownout"
    for name, value in (
        ("power", machine.PWRON_RESET),
        ("reset", machine.HARD_RESET),
        ("watchdog", machine.WDT_RESET),
        ("sleep", machine.DEEPSLEEP_RESET),
        ("soft", machine.SOFT_RESET),
    ):
        if cause == value:
            return name
    return "unknown"
