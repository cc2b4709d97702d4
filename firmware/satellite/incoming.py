"""How much a receiver may say on one connection.

Reading a message takes time that listening needs, so a flood of them would make the device deaf.
The streamer counts what comes in here and ends the connection when it is too much.  Pure: time is
passed in.
"""

from .protocol import ProtocolError

#: Bytes that may come at once, and then each second.
MAX_BURST_BYTES = 8192
MAX_BYTES_PER_S = 1024
#: Audio may have an eighth of its size in headers: so its chunks have some 1024 bytes.
HEADER_SHARE = 8
#: Messages of unknown type, or that ask for what is refused.
MAX_IGNORED = 100


class IncomingLimits:
    """The limits of one connection at a time; `start` begins a new one."""

    def __init__(self):
        self._room_bytes = 0
        self._allowed_bytes = 0  # of a sound, on top
        self._refilled_ms = 0
        self._ignored = 0

    def start(self, now_ms):
        """A connection begins."""
        self._room_bytes = MAX_BURST_BYTES
        self._allowed_bytes = 0
        self._refilled_ms = now_ms
        self._ignored = 0

    def allow(self, credit_bytes):
        """This much audio was given credit for; its headers come on top."""
        self._allowed_bytes += credit_bytes + credit_bytes // HEADER_SHARE

    def allow_no_more(self):
        """The sound is over."""
        self._allowed_bytes = 0

    def count_bytes(self, count, now_ms):
        """Take note of bytes that came, before they are read; raises ProtocolError."""
        of_sound = min(count, self._allowed_bytes)
        self._allowed_bytes -= of_sound
        count -= of_sound
        refill_bytes = (now_ms - self._refilled_ms) * MAX_BYTES_PER_S // 1000
        self._refilled_ms = now_ms
        self._room_bytes = min(MAX_BURST_BYTES, self._room_bytes + refill_bytes) - count
        if self._room_bytes < 0:
            raise ProtocolError("more than %d bytes at once" % MAX_BURST_BYTES)

    def count_ignored(self):
        """Take note of a message that was ignored or refused; raises ProtocolError."""
        self._ignored += 1
        if self._ignored > MAX_IGNORED:
            raise ProtocolError("more than %d messages of unknown type" % MAX_IGNORED)
