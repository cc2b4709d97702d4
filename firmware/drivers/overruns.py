"""Finds lost samples by the clock: the I2S driver overwrites its ring without a word.

Place in the pipeline: `i2s_microphone` reports every read.  Pure: the time is passed in.

Whenever a read finds the ring empty, nothing is behind.  From there on, the time that passed less
the samples that were taken is what waits in the ring; once that is as much as the ring holds,
something was lost.  Starting afresh at every empty ring keeps the drift between the clocks out.
"""

from array import array

import micropython
from micropython import const

# Words of the ring's block.  No word is negative: a host's 64-bit MicroPython reads them unsigned.
_RING_MS = const(0)
_EMPTY_AT_MS = const(1)  # with _BIAS_MS added: it may be a little before the start
_SAMPLES = const(2)  # taken since then
_OVERRUNS = const(3)
_WORST_BEHIND_MS = const(4)
_BIAS_MS = const(1 << 16)
#: 16 samples are a millisecond.
_MS_SHIFT = const(4)


# The ring was found empty, or was just started.
@micropython.viper
def empty(p: ptr32, now_ms: int):
    p[_EMPTY_AT_MS] = now_ms + _BIAS_MS
    p[_SAMPLES] = 0


# `samples` were read; r = whether some were lost before them (counted).
@micropython.viper
def took(p: ptr32, samples: int, now_ms: int) -> int:
    taken = p[_SAMPLES]
    behind_ms = now_ms + _BIAS_MS - p[_EMPTY_AT_MS] - (taken >> _MS_SHIFT)
    if behind_ms > p[_WORST_BEHIND_MS]:
        p[_WORST_BEHIND_MS] = behind_ms
    if behind_ms < p[_RING_MS]:
        p[_SAMPLES] = taken + samples
        return 0
    p[_OVERRUNS] += 1
    # the ring is full: that much is still to come
    p[_EMPTY_AT_MS] = now_ms + _BIAS_MS - p[_RING_MS]
    p[_SAMPLES] = samples
    return 1


class RingClock:
    """ring_ms: how much the ring holds, at 16 kHz.

    Times are device milliseconds, always growing.  `words` is what the kernels above take: the
    microphone, which reads every 10 ms, calls those.
    """

    def __init__(self, ring_ms):
        self.words = array("i", (ring_ms, _BIAS_MS, 0, 0, 0))

    @property
    def ring_ms(self):
        """How much the ring holds."""
        return self.words[_RING_MS]

    @property
    def overruns(self):
        """How often samples were lost."""
        return self.words[_OVERRUNS]

    @property
    def worst_behind_ms(self):
        """The most that ever waited to be read."""
        return self.words[_WORST_BEHIND_MS]

    def empty(self, now_ms):
        """The ring was found empty (or was just started)."""
        empty(self.words, now_ms)

    def took(self, samples, now_ms):
        """`samples` were read; return whether some were lost before them (counted)."""
        return took(self.words, samples, now_ms) != 0
