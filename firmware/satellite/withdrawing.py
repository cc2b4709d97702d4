"""Carries out a withdrawn consent on the device: at its start, or when the network asks for it.

Place in the pipeline: beside the app, above `withdrawn_state` and `consent`.  The network may take
consent back and never give it.  In this order: the running stream ends and no later one may be
kept; that is stored; the light; the audit log; and only then the receiver is told.  What cannot be
stored or recorded holds in RAM all the same, is tried again, and is not confirmed until it is.
"""

from .gate import RECEIVER, STREAMING
from .withdrawn_state import without_consent

#: How long to wait before what could not be stored or recorded is tried again.
AGAIN_MS = 1000


class Withdrawing:
    """`app` is an app.App, of which this uses the methods named for it; `parts` are its parts."""

    def __init__(self, app, parts):
        self._app = app
        self._parts = parts
        self._id = None  # of the request that has yet to be answered
        self._again_ms = 0
        self._is_recorded = False  # since the start: so that others cannot fill the log with it
        #: Whether `turn` has something to do.
        self.is_waiting = False

    def boot(self):
        """Find out what is due since earlier starts."""
        parts = self._parts
        if parts.withdrawn.is_damaged:
            self._app.record("fault", what="storage")
        parts.consent.load()
        parts.streamer.withdrawal = parts.consent.withdrawal()
        if parts.streamer.withdrawal is not None:
            self._app.record("consent", what="withdrawn")

    def take_back(self, id):
        """The network withdraws all consent, in the request of this id."""
        parts = self._parts
        config = parts.config
        if config.keep_recordings or config.share_for_training:
            if parts.gate.state == STREAMING:
                parts.gate.abort(RECEIVER)
            parts.config = config = without_consent(config)
        parts.consent.forbid()
        parts.streamer.forbid(config)
        self._id = id
        self._settle(parts.clock.now_ms())

    def turn(self, now_ms):
        """Try again what could not be stored or recorded."""
        if now_ms >= self._again_ms:
            self._settle(now_ms)

    def deleted(self, count):
        """The receiver deleted what it had kept.

        Recorded first: a deletion that is not in the log is asked for again.  One that was not due
        needs no record, and gets one only while others cannot fill the log with them.
        """
        parts = self._parts
        is_due = parts.consent.is_due_here
        if not is_due and not parts.audit.has_room(parts.clock.now_ms()):
            return
        try:
            if self._app.record("consent", what="deleted", recordings=count) and is_due:
                parts.consent.confirmed()
        except OSError:  # it will be asked for again after the next start
            parts.counters.count("faults")

    def _settle(self, now_ms):
        """Store, show, record, answer; what fails is tried again."""
        self.is_waiting = not (self._store() and self._record(now_ms))
        if self.is_waiting:
            self._again_ms = now_ms + AGAIN_MS
            self._app.look_again()
            return
        self._parts.streamer.withdrawal = {
            "keep_recordings": False,
            "share_for_training": False,
            "id": self._id,
        }

    def _store(self):
        """Whether it is on the storage."""
        try:
            self._parts.withdrawn.store()
        except OSError:
            self._parts.counters.count("faults")
            self._app.record("fault", what="storage")
            return False
        return True

    def _record(self, now_ms):
        """Let the light follow; whether the log has it."""
        self._app.show(now_ms)
        if not self._is_recorded:
            self._app.record_end()
            self._is_recorded = self._app.record(
                "consent",
                what="withdrawn",
                keep_recordings=False,
                share_for_training=False,
                source="network",
            )
        return self._is_recorded
