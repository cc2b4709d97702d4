"""The audio of a sound on its way in: under credit, in one ring, zeroed as it empties.

Place in the pipeline: inside `speech`, before the volume.  Pure.  At most `capacity` bytes are in
the ring or on their way to it.  Of a sound that was ended early the rest is dropped as it comes.
"""

import micropython
from micropython import const

CHUNK_BYTES = const(320)
#: Credit is given out in pieces of 100 ms.
CREDIT_BYTES = 3200


# target[i] = source[at + i], then source[at + i] = 0, for i in range(count)
@micropython.viper
def _move(target: ptr8, source: ptr8, at: int, count: int):
    i = 0
    while i < count:
        target[i] = source[at + i]
        source[at + i] = 0
        i += 1


# target[i] = 0 for i in range(first, last)
@micropython.viper
def clear(target: ptr8, first: int, last: int):
    i = first
    while i < last:
        target[i] = 0
        i += 1


class IncomingAudio:
    """One sound after the other; `capacity` is a multiple of 320 bytes.

    Read: `count` (bytes that wait), `is_complete` (all of the sound has come), `is_dropping` (it
    was ended, and more may come), `has_begun`, `buffer` (the ring, for whoever checks it).
    """

    def __init__(self, capacity):
        self.capacity = capacity
        self.buffer = bytearray(capacity)
        self._view = memoryview(self.buffer)
        self.count = 0
        self._first = 0
        self._credit = 0  # bytes that may still come
        self._freed = 0  # bytes that were taken and not given out as credit again
        self.has_begun = False
        self.is_complete = False
        self.is_dropping = False

    def expect(self):
        """Another sound was accepted; return its credit, in bytes."""
        self._freed = 0
        self._credit = self.capacity
        self.has_begun = self.is_complete = self.is_dropping = False
        return self._credit

    def begin(self):
        """audio-start; False when that is out of order."""
        if self.has_begun:
            return False
        self.has_begun = True
        return True

    def put(self, data):
        """audio-chunk; False when it is out of order or more than the credit."""
        size = len(data)
        if not self.has_begun or self.is_complete or size > self._credit:
            return False
        self._credit -= size
        if not self.is_dropping:
            at = (self._first + self.count) % self.capacity
            first = min(size, self.capacity - at)
            self._view[at : at + first] = data[:first]
            self._view[: size - first] = data[first:]
            self.count += size
        return True

    def end(self):
        """audio-stop; False when that is out of order."""
        if not self.has_begun or self.is_complete:
            return False
        self._credit = 0
        if self.is_dropping:
            self.is_dropping = self.has_begun = False
        else:
            self.is_complete = True
        return True

    def get(self, target):
        """Move the oldest 320 bytes into `target`, zeros after the last; the bytes moved, or 0.

        Allocates nothing.
        """
        count = self.count if self.count < CHUNK_BYTES else CHUNK_BYTES
        if count:
            _move(target, self.buffer, self._first, count)
            clear(target, count, CHUNK_BYTES)
            self.count -= count
            # After a part the ring is empty and begins anew: so no chunk of 320 wraps around.
            self._first = (self._first + CHUNK_BYTES) % self.capacity if self.count else 0
            self._freed += count
        return count

    @property
    def owes_credit(self):
        """Whether there is credit to be given out."""
        return self._freed >= CREDIT_BYTES and not self.is_complete

    def grant(self):
        """Give out what was freed; the bytes."""
        freed, self._freed = self._freed, 0
        self._credit += freed
        return freed

    def wipe(self, is_early):
        """Zero everything; `is_early` when more of it may come, which is then dropped."""
        clear(self.buffer, 0, self.capacity)
        self.count = 0
        self._first = 0
        self._freed = 0
        if is_early and not self.is_complete:
            self.is_dropping = True

    def disconnected(self):
        """Nothing is on its way any more."""
        self._credit = 0
        self.has_begun = self.is_complete = self.is_dropping = False
