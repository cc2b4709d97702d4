"""Counters and worst times, for people who look after a device.

Place: beside everything; only `earnest status` and `monitor` read it.  Counting allocates nothing.
Holds no audio and no text.
"""

COUNTERS = (
    "chunks",  # of 10 ms, taken from the microphone
    "overruns",  # times the microphone's ring ran over
    "late_chunks",  # chunks whose work took longer than a chunk lasts
    "wakes",
    "streams",
    "reconnects",
    "wifi_renewals",  # Wi-Fi said connected, carried nothing, and was connected again
    "dropped_chunks",  # of a stream, not sent
    "refused",  # what a peer or an event asked for and did not get
    "faults",
)
CHUNK_US = 10000
_MAX = 0x3FFFFFFF  # the largest small integer on the chip; counters stop there


class Counters:
    """`count` anything in COUNTERS, pass `step` how long a chunk took, read a `snapshot`."""

    def __init__(self):
        self._counts = {name: 0 for name in COUNTERS}
        self._chunks = 0
        self._worst_step_us = 0
        self.busy_us = 0  # time worked on chunks; wraps at 2**30

    def count(self, name, by=1):
        """Add `by`, 0 or more; a name that is not in COUNTERS raises KeyError."""
        counts = self._counts
        left = _MAX - counts[name]
        counts[name] += by if by < left else left

    def step(self, took_us):
        """One chunk was worked on for `took_us`; counts the chunk, too."""
        chunks = self._chunks
        if chunks < _MAX:
            self._chunks = chunks + 1
        self.busy_us = (self.busy_us + took_us) & _MAX
        if took_us > self._worst_step_us:
            self._worst_step_us = took_us if took_us < _MAX else _MAX
        if took_us > CHUNK_US:
            self.count("late_chunks")

    def snapshot(self):
        """A new dict: the counters and `worst_step_us`."""
        result = dict(self._counts)
        result["chunks"] = min(_MAX, result["chunks"] + self._chunks)
        result["worst_step_us"] = self._worst_step_us
        return result
