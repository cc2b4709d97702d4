"""How long to wait before the next attempt: doubling, bounded, and never in step with others.

Place in the pipeline: `wifi` asks here after each failure.  Pure: imports nothing; randomness is
passed in.
"""


class BackOff:
    """Waits of first_ms, then twice that ... up to most_ms, each spread over half of itself."""

    def __init__(self, first_ms=1000, most_ms=60000):
        self.first_ms = first_ms
        self.most_ms = most_ms
        self._next_ms = first_ms

    def reset(self):
        """An attempt succeeded: start from first_ms again."""
        self._next_ms = self.first_ms

    def wait_ms(self, random_byte):
        """The next wait, between half of it and all of it as random_byte is 0..255."""
        wait_ms = self._next_ms
        self._next_ms = min(2 * wait_ms, self.most_ms)
        return wait_ms // 2 + (wait_ms - wait_ms // 2) * random_byte // 255
