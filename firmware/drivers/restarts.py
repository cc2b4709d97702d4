"""Failures in a row, and the pause that they cost before the firmware starts again.

Place: `main` asks at each start, before anything listens.  Without a pause that grows, a firmware
that fails at each start would wear out the flash and push its own history out of the audit log.
The count is in the chip's RTC memory, which keeps over every reset but power-on.  Imports machine;
must not import wakeword or satellite.
"""

import machine
from micropython import const

FIRST_WAIT_S = const(5)
LONGEST_WAIT_S = const(3600)
#: A run of this length is a good one: the count begins anew.
GOOD_RUN_S = const(600)
_MAX_COUNT = const(99)
_MAGIC = b"earnest failures "


class Restarts:
    """`reason` is why the chip started, as watchdog.reset_reason says."""

    def __init__(self, reason):
        self._memory = machine.RTC().memory
        if reason == "watchdog":
            self.failed()
        elif reason in ("power", "soft"):  # somebody is at the device
            self.went_well()

    @property
    def failures(self):
        """How many in a row, 0 to 99; what else is in the memory counts as none."""
        data = self._memory()
        digits = data[len(_MAGIC) :]
        if data[: len(_MAGIC)] != _MAGIC or len(digits) != 2 or not digits.isdigit():
            return 0
        return int(digits)

    @property
    def wait_s(self):
        """None after one failure, then twice as long after each, at most an hour."""
        if self.failures < 2:
            return 0
        return min(FIRST_WAIT_S << min(self.failures - 2, 10), LONGEST_WAIT_S)

    def failed(self):
        """The firmware has failed once more."""
        self._memory(_MAGIC + b"%02d" % min(self.failures + 1, _MAX_COUNT))

    def went_well(self):
        """It has run long enough, or a person has started it."""
        self._memory(_MAGIC + b"00")
