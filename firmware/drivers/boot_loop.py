"""Failures in a row, and the pause that they cost before the firmware starts again.

Place: `main` asks at every start, before anything listens.  Without a pause that grows, a firmware
that fails at every start would wear out the flash and push its own history out of the audit log.
The count is in the chip's RTC memory, which survives every reset except power-on.
"""

import machine
from micropython import const

FIRST_WAIT_S = const(5)
LONGEST_WAIT_S = const(3600)
#: A run of this length counts as good: the count starts again.
GOOD_RUN_S = const(600)
_MAX_COUNT = const(99)
_MAGIC = b"earnest failures "
_RUNNING = b" running"
_STOPPED = b" stopped"


class Restarts:
    """`reason` is why the chip started, as watchdog.reset_reason says.

    A run that nobody stopped before a reset by software has failed: `main` resets after a crash,
    and MicroPython when it crashes itself.
    """

    def __init__(self, reason):
        self._memory = machine.RTC().memory
        count = self.failures
        if reason in ("power", "soft"):  # somebody is at the device
            count = 0
        elif reason in ("watchdog", "brownout") or (
            reason == "reset" and self._memory().endswith(_RUNNING)
        ):
            count += 1
        self._keep(count, _RUNNING)

    @property
    def failures(self):
        """How many in a row, 0 to 99; 0 where the memory holds anything else."""
        data = self._memory()
        digits = data[len(_MAGIC) : len(_MAGIC) + 2]
        is_ours = data in (_MAGIC + digits + _RUNNING, _MAGIC + digits + _STOPPED)
        return int(digits) if is_ours and len(digits) == 2 and digits.isdigit() else 0

    @property
    def wait_s(self):
        """0 after one failure, then twice as long after every further one, at most an hour."""
        if self.failures < 2:
            return 0
        return min(FIRST_WAIT_S << min(self.failures - 2, 10), LONGEST_WAIT_S)

    def stopped(self):
        """A person ended the run, which is not a failure."""
        self._keep(self.failures, _STOPPED)

    def went_well(self):
        """The run has lasted long enough and goes on."""
        self._keep(0, _RUNNING)

    def _keep(self, count, state):
        self._memory(_MAGIC + b"%02d" % min(count, _MAX_COUNT) + state)
