"""Counters and worst times, for people who look after a device.

Place: beside everything; only `earnest status` and `monitor` read it.  Counting allocates nothing.
Holds no audio and no text.
"""

from array import array

import micropython
from micropython import const

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
CHUNK_US = const(10000)
_MAX = const(0x3FFFFFFF)  # the largest small integer on the chip; counters stop there

# What is counted with every chunk, words of one buffer.
_CHUNKS = const(0)
_BUSY_US = const(1)
_WORST_US = const(2)
_LATE = const(3)


# One chunk was worked on for took_us: 0 to _MAX.
@micropython.viper
def step(p: ptr32, took_us: int):
    chunks = p[_CHUNKS]
    if chunks < _MAX:
        p[_CHUNKS] = chunks + 1
    p[_BUSY_US] = (p[_BUSY_US] + took_us) & _MAX
    if took_us > p[_WORST_US]:
        p[_WORST_US] = took_us
    if took_us > CHUNK_US:
        late = p[_LATE]
        if late < _MAX:
            p[_LATE] = late + 1


class Counters:
    """`count` anything in COUNTERS, pass `step` how long a chunk took, read a `snapshot`.

    `words` is what the function `step` takes: the loop, which counts every chunk, calls that.
    """

    def __init__(self):
        self._counts = {name: 0 for name in COUNTERS}
        self.words = array("i", (0, 0, 0, 0))

    @property
    def busy_us(self):
        """Time worked on chunks; wraps at 2**30."""
        return self.words[_BUSY_US]

    def count(self, name, by=1):
        """Add `by`, 0 or more; a name that is not in COUNTERS raises KeyError."""
        counts = self._counts
        left = _MAX - counts[name]
        counts[name] += by if by < left else left

    def step(self, took_us):
        """One chunk was worked on for `took_us`, 0 or more; counts the chunk, too."""
        step(self.words, took_us if took_us < _MAX else _MAX)

    def snapshot(self):
        """A new dict: the counters and `worst_step_us`."""
        words = self.words
        result = dict(self._counts)
        result["chunks"] = min(_MAX, result["chunks"] + words[_CHUNKS])
        result["late_chunks"] = min(_MAX, result["late_chunks"] + words[_LATE])
        result["worst_step_us"] = words[_WORST_US]
        return result
