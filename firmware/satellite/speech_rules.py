"""Whom the device answers, and what else it may say: the rules of acceptance, and nothing else.

Place in the pipeline: inside `speech`, before anything sounds.  Pure; times are passed in, in
device milliseconds.  Reads the gate and never changes it.
"""

from .gate import CAP, END_OF_SPEECH, ERROR, NOT_READY, RECEIVER, STREAMING

#: How long after its end a stream may be answered.
ANSWER_MS = 60000
#: Announcements within HOUR_MS.
MAX_ANNOUNCEMENTS = 10
HOUR_MS = 3600000
#: The kinds that answer a stream.
ANSWERS = ("reply", "error")


class Rules:
    """`timers`, `announcements`: whether the owner allows them."""

    def __init__(self, gate, timers, announcements):
        self._gate = gate
        self._allows_timers = timers
        self._allows_announcements = announcements
        self._noted = None  # the stream whose end was noted
        self._answerable = None  # the stream that may be answered, once
        self._ended_ms = 0
        self._closings = 0  # of the gate, when that stream began
        self._announced_ms = []

    def note_stream(self, now_ms):
        """Look whether a stream has ended that may be answered."""
        gate = self._gate
        if gate.state == STREAMING or gate.stream_id == self._noted:
            return
        self._noted = gate.stream_id
        if not gate.sent_bytes:  # nobody knows of it: the one before may still be answered
            return
        reason = gate.last_reason
        is_well = reason == END_OF_SPEECH or reason == CAP or reason == RECEIVER
        self._answerable = gate.stream_id if is_well else None
        self._ended_ms = now_ms
        self._closings = gate.stream_closings

    def why_not(self, kind, stream, now_ms):
        """A word of protocol.REFUSAL_REASONS, or None for a sound that may be made.

        `stream` is the number of the stream that is answered, None for what answers none.
        """
        gate = self._gate
        if gate.muted:
            return "muted"
        if gate.state == ERROR or gate.state == NOT_READY:
            return "fault"
        if gate.state == STREAMING and not gate.is_held:  # of a held one nobody may know
            return "busy"
        if kind in ANSWERS:
            self.note_stream(now_ms)
            return None if self._may_answer(stream, now_ms) else "stream"
        if kind == "timer":
            return None if self._allows_timers else "off"
        if not self._allows_announcements:
            return "off"
        self._announced_ms = [ms for ms in self._announced_ms if now_ms - ms < HOUR_MS]
        return None if len(self._announced_ms) < MAX_ANNOUNCEMENTS else "often"

    def accepted(self, kind, now_ms):
        """A sound of this kind will be made."""
        if kind in ANSWERS:
            self._answerable = None
        elif kind == "announcement":
            self._announced_ms.append(now_ms)

    def forget(self):
        """The connection is gone: no stream before this may be answered."""
        self._noted = self._gate.stream_id
        self._answerable = None

    def _may_answer(self, stream, now_ms):
        if self._answerable is None or stream != self._answerable:
            return False
        # What muted or failed since its wake word has closed that stream for good.
        return now_ms - self._ended_ms < ANSWER_MS and self._closings == self._gate.closings
