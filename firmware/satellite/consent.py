"""Opt-out is opt-out, for the past too: remembers what the owner once allowed.

Place: beside the streamer.  Before the first stream under a consent that lets the receiver keep
something, a file says so; when the configuration no longer allows it, the withdrawal is due until
the receiver has confirmed that it deleted, and only then the file goes.  A damaged file counts as
"something may be kept".  Imports nothing; the storage is handed in (see drivers/storage.py).
"""

FILE = "consent.state"
MAX_BYTES = 64
_LINE = b"earnest consent 1 keep=%d share=%d\n"


class Consent:
    """What is allowed now, by the configuration, and what was allowed before."""

    def __init__(self, storage, keep_recordings, share_for_training):
        self._storage = storage
        self._now = (keep_recordings, share_for_training)
        self._before = (False, False)

    def load(self):
        """Read the file.  A storage that fails means: something may be kept."""
        try:
            data = self._storage.read(FILE, MAX_BYTES)
        except OSError:
            data = b""
        self._before = (False, False) if data is None else (True, True)
        for keep in (False, True):
            for share in (False, True):
                if data == _LINE % (keep, share):
                    self._before = (keep, share)

    def withdrawal(self):
        """The data of `consent-withdrawn` that is due, or None."""
        keep, share = self._now
        if (self._before[0] and not keep) or (self._before[1] and not share):
            return {"keep_recordings": keep, "share_for_training": share}
        return None

    def use(self):
        """A stream is about to start under the present consent; OSError if it cannot be noted."""
        noted = (self._before[0] or self._now[0], self._before[1] or self._now[1])
        if noted != self._before:
            self._storage.write_atomic(FILE, _LINE % noted)
            self._before = noted

    def confirmed(self):
        """The receiver has deleted what was withdrawn."""
        if not any(self._now):
            self._storage.remove(FILE)
        else:
            self._storage.write_atomic(FILE, _LINE % self._now)
        self._before = self._now
