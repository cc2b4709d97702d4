"""How long to wait before the next attempt: doubling, bounded, and never in step with others.

`wifi` and the streamer ask here after each failure.  Pure: randomness is passed in.
"""

FIRST_MS = 1000
MAX_MS = 60000


class BackOff:
    """Waits of first_ms, then twice that ... up to max_ms, each spread over half of itself."""

    def __init__(self, first_ms=FIRST_MS, max_ms=MAX_MS):
        self.first_ms = first_ms
        self.max_ms = max_ms
        self._next_ms = first_ms

    def reset(self):
        """An attempt succeeded: start from first_ms again."""
        self._next_ms = self.first_ms

    def wait_ms(self, random_byte):
        """The next wait, between half of it and all of it as random_byte is 0..255."""
        wait_ms = self._next_ms
        self._next_ms = min(2 * wait_ms, self.max_ms)
        return wait_ms // 2 + (wait_ms - wait_ms // 2) * random_byte // 255
