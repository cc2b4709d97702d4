"""Finds lost samples by the clock: the I2S driver overwrites its ring without a word.

Place in the pipeline: `i2s_microphone` reports every read.  Pure: the time is passed in.

Whenever a read finds the ring empty, nothing is behind.  From there on, the time that passed less
the samples that were taken is what waits in the ring; once that is as much as the ring holds,
something was lost.  Starting afresh at every empty ring keeps the drift between the clocks out.
"""


class RingClock:
    """ring_ms: how much the ring holds; samples_per_ms: 16 at 16 kHz.

    Times are device milliseconds, always growing; `empty` and `took` allocate nothing while they
    are small integers.
    """

    def __init__(self, ring_ms, samples_per_ms=16):
        self.ring_ms = ring_ms
        self.overruns = 0
        self.worst_behind_ms = 0
        self._samples_per_ms = samples_per_ms
        self._empty_at_ms = 0
        self._samples = 0

    def empty(self, now_ms):
        """The ring was found empty (or was just started)."""
        self._empty_at_ms = now_ms
        self._samples = 0

    def took(self, samples, now_ms):
        """`samples` were read; return whether some were lost before them (counted)."""
        behind_ms = now_ms - self._empty_at_ms - self._samples // self._samples_per_ms
        self._samples += samples
        if behind_ms > self.worst_behind_ms:
            self.worst_behind_ms = behind_ms
        if behind_ms < self.ring_ms:
            return False
        self.overruns += 1
        self._empty_at_ms = now_ms - self.ring_ms  # the ring is full: that much is still to come
        self._samples = samples
        return True
