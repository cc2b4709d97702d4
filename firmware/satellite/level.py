"""How loud it is, for the person who watches at the cable: one number, and only while asked for.

Place: beside the app, which passes every chunk; diagnostics reads the number.  Samples end here.
"""

import micropython
from micropython import const

_CHUNK_MS = const(10)


# r = the largest |int16| of a chunk of 160 samples, 0..32768.
@micropython.viper
def peak(chunk: ptr16) -> int:
    largest = 0
    i = 0
    while i < 160:
        v = chunk[i]
        if v >= 32768:
            v = 65536 - v
        if v > largest:
            largest = v
        i += 1
    return largest


class Level:
    """The largest |sample| since it was last read; nothing is measured while nobody watches."""

    def __init__(self):
        self.is_watched = False
        self._peak = 0
        self._chunks = 0

    def watch(self, for_ms):
        """Measure the chunks of the next `for_ms`."""
        self._chunks = for_ms // _CHUNK_MS
        self.is_watched = self._chunks > 0

    def hear(self, chunk):
        """One chunk of 160 int16 was heard.  Allocates nothing."""
        if self.is_watched:
            self._chunks -= 1
            self.is_watched = self._chunks > 0
            loudest = peak(chunk)
            if loudest > self._peak:
                self._peak = loudest

    def read(self):
        """The peak, 0..32768, since the last call; 0 when nothing was heard or measured."""
        found, self._peak = self._peak, 0
        return found
