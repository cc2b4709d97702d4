"""The one state machine: whether the microphone may be on, and the only way by which audio leaves.

Place in the pipeline: after the engine, before light and stream.  Pure: no hardware, no clock, no
network; time is counted in the chunks that it hears.  Allocates once, then never.

Every event is a method, is defined in every state, and returns whether it was obeyed; what is
refused is for the caller to record.  What mutes is obeyed in every state, at once.  What opens -
`ready`, unmuting, `wake` - is obeyed only where it says so; whatever is unknown counts as muted.
"""

import micropython
from micropython import const

from .audit_record import END_REASONS as REASON_NAMES
from .chunk_words import clear_chunk, copy_chunk, move_chunk

NOT_READY = const(0)
MUTED = const(1)
IDLE = const(2)
STREAMING = const(3)
ERROR = const(4)
STATE_NAMES = ("NOT_READY", "MUTED", "IDLE", "STREAMING", "ERROR")

#: Why a stream ended, as REASON_NAMES counts its words.  The first two let out what was heard
#: before; the others drop it.
END_OF_SPEECH = const(0)
CAP = const(1)
RECEIVER = const(2)
NETWORK = const(3)
LATE = const(4)
NO_CONSENT = const(5)
MUTE = const(6)
FAULT = const(7)
NO_SPEECH = const(8)

CHUNK_BYTES = const(320)
CHUNK_MS = const(10)
MAX_PREROLL_MS = const(500)
MAX_HOLD_MS = const(500)


class _Chunks:
    """A first-in, first-out ring of chunks; what is taken or dropped is zeroed.

    Each chunk has a buffer of its own: a heap in pieces may have no room for all of them in one.
    """

    def __init__(self, capacity):
        self.capacity = capacity
        self._slots = [bytearray(CHUNK_BYTES) for _ in range(capacity)]
        self.count = 0
        self._first = 0

    @property
    def buffer(self):
        """All of it, for whoever checks that nothing is left.  Allocates."""
        return b"".join(self._slots)

    @micropython.native
    def put(self, chunk):
        """Append a chunk; in a full ring, in place of the oldest one."""
        copy_chunk(self._slots[(self._first + self.count) % self.capacity], chunk)
        if self.count < self.capacity:
            self.count += 1
        else:
            self._first = (self._first + 1) % self.capacity

    @micropython.native
    def get(self, target):
        """Move the oldest chunk to the start of `target`."""
        move_chunk(target, self._slots[self._first])
        self._first = (self._first + 1) % self.capacity
        self.count -= 1

    def pour(self, target):
        """Move everything into another ring, which has room."""
        while self.count:
            self.get(target._slots[(target._first + target.count) % target.capacity])
            target.count += 1

    def forget_oldest(self):
        """Zero and forget the oldest chunk."""
        clear_chunk(self._slots[self._first])
        self._first = (self._first + 1) % self.capacity
        self.count -= 1

    def clear(self):
        """Zero and forget everything; return how many chunks that were."""
        dropped = self.count
        while self.count:
            self.forget_oldest()
        return dropped


class Gate:
    """States and the outbox.

    A stream begins held: nothing may leave, not even its opening, and only the newest `hold_ms`
    are kept until `speech` says that somebody speaks.

    Args, in ms and multiples of 10:
        buffer_ms: How much may wait beside what was held before the stream ends as late.
        preroll_ms: How much from before a detection is kept, 0 (nothing) to 500.
        max_stream_ms: The hard cap of what a stream sends.
        consent_ms: How long the receiver has to acknowledge the consent of a stream.
        hold_ms: How much from before the speech is sent, 10 to 500, beside the pre-roll.
        no_speech_ms: How long a stream may be held before it ends, having sent nothing.

    Read: `state`, `muted`, `off_by`, `may_listen`, `stream_id`, `last_reason` (of the last
    stream's end), `sent_bytes` (of the present or last stream), `dropped_chunks`, `refused` and
    `closings` (what muted or failed; counts), `stream_closings` (their count at the last wake
    word).
    """

    def __init__(
        self,
        buffer_ms=1000,
        preroll_ms=0,
        max_stream_ms=15000,
        consent_ms=1000,
        hold_ms=300,
        no_speech_ms=2500,
    ):
        if not 0 <= preroll_ms <= MAX_PREROLL_MS or buffer_ms < CHUNK_MS:
            raise ValueError("preroll of %d ms, buffer of %d ms" % (preroll_ms, buffer_ms))
        if not CHUNK_MS <= hold_ms <= MAX_HOLD_MS or no_speech_ms < hold_ms:
            raise ValueError("hold of %d ms, %d ms without speech" % (hold_ms, no_speech_ms))
        self.state = NOT_READY
        self._soft_muted = True  # by button, network or what was stored
        #: Which of them: a word of protocol.OFF_REASONS.  Whoever mutes what is muted is not it.
        self.soft_source = "stored"
        self._switch_muted = False
        self._hold_chunks = (hold_ms + preroll_ms) // CHUNK_MS
        self._outbox = _Chunks(buffer_ms // CHUNK_MS + self._hold_chunks)
        self._preroll = _Chunks(preroll_ms // CHUNK_MS)
        self._max_chunks = max_stream_ms // CHUNK_MS
        self._consent_chunks = consent_ms // CHUNK_MS
        self._no_speech_chunks = no_speech_ms // CHUNK_MS
        self._holding = False
        self._acknowledged = False
        self._closing = False
        self._heard = 0  # chunks: while held, of the stream, or since its input was closed
        self._unanswered = 0  # chunks since the speech began without an acknowledgement
        self.stream_id = 0
        self.last_reason = FAULT
        self.sent_bytes = 0
        self.dropped_chunks = 0
        self.refused = 0
        self.closings = 0
        self.stream_closings = 0

    # --- what it says ---

    @property
    def muted(self):
        """Whether anything mutes."""
        return self._soft_muted or self._switch_muted

    @property
    def soft_muted(self):
        """Whether button, network or the stored state mutes: what has to be stored."""
        return self._soft_muted

    @property
    def switch_muted(self):
        """Whether the hardware switch mutes: then no button unmutes."""
        return self._switch_muted

    @property
    def off_by(self):
        """What keeps the microphone off: a word of protocol.OFF_REASONS, or None."""
        if self.state == ERROR:
            return "fault"
        if self._switch_muted:
            return "switch"
        return self.soft_source if self._soft_muted else None

    @property
    def may_listen(self):
        """Whether the microphone may be on."""
        return self.state == IDLE or self.state == STREAMING

    @property
    def is_held(self):
        """Whether the stream waits for somebody to speak; nobody outside may know of it."""
        return self._holding

    @property
    def is_closing(self):
        """Whether the stream takes no more audio and only lets out what it has."""
        return self._closing

    @property
    def may_take(self):
        """Whether `take` would give audio now."""
        may_send = self.state == STREAMING and self._acknowledged and not self._holding
        return may_send and self._outbox.count > 0

    @property
    def waiting_chunks(self):
        """Chunks of the stream that have not left."""
        return self._outbox.count

    # --- what opens ---

    def ready(self, soft_muted):
        """Everything works: NOT_READY or ERROR to MUTED or IDLE.  Anything but False is muted."""
        if self.state != NOT_READY and self.state != ERROR:
            return self._refuse()
        if self.state == NOT_READY:
            self._soft_muted = soft_muted is not False
        elif soft_muted is not False:
            self._soft_muted = True
        self._go(MUTED if self.muted else IDLE, "ready")
        return True

    def unmute(self):
        """A person at the device: MUTED to IDLE, unless the switch is on mute."""
        if self.state != MUTED or self._switch_muted:
            return self._refuse()
        self._soft_muted = False
        self._go(IDLE, "unmute")
        return True

    def wake(self, stream_id):
        """The wake word was heard: IDLE to STREAMING, held, under a random number of its own."""
        if self.state != IDLE:
            return self._refuse()
        self._go(STREAMING, "wake")
        self.stream_id = stream_id
        self.stream_closings = self.closings
        self.sent_bytes = 0
        self._heard = 0
        self._holding = True
        self._acknowledged = False
        self._closing = False
        self._preroll.pour(self._outbox)
        return True

    def speech(self):
        """Somebody speaks after the wake word: the stream may open, from what is held on."""
        if self.state != STREAMING or not self._holding:
            return self._refuse()
        self._holding = False
        self._heard = self._outbox.count
        self._unanswered = 0
        return True

    def acknowledge(self, stream_id):
        """The receiver took note of the consent of this very stream."""
        if self.state != STREAMING or stream_id != self.stream_id:
            return self._refuse()
        if self._holding or self._acknowledged:
            return self._refuse()
        self._acknowledged = True
        return True

    # --- what closes ---

    def mute(self, source="button"):
        """Button, network or software: mute, in any state."""
        if not self._soft_muted or self.state == NOT_READY:
            self.soft_source = source
        self._soft_muted = True
        self.closings += 1
        self._leave(MUTED, MUTE)
        return True

    def switch(self, is_muted):
        """The hardware switch's level.  On mute it wins; off, a mute of another kind stays."""
        self.closings += is_muted is not False and not self._switch_muted
        self._switch_muted = is_muted is not False
        if self._switch_muted:
            self._leave(MUTED, MUTE)
        elif self.state == MUTED and not self._soft_muted:
            self._go(IDLE, "switch")
        return True

    def close_input(self, reason):
        """End of speech or cap: no more audio into the stream, what was heard still leaves."""
        if self.state != STREAMING or self._holding or self._closing:
            return self._refuse()
        self._closing = True
        self._heard = 0
        self.last_reason = reason
        return True

    def drained(self):
        """All of a closing stream has left: STREAMING to IDLE."""
        if self.state != STREAMING or not self._closing or self._outbox.count:
            return self._refuse()
        self._closing = False
        self._acknowledged = False
        self._go(IDLE, REASON_NAMES[self.last_reason])
        return True

    def abort(self, reason):
        """End the stream at once and drop what has not left: STREAMING to IDLE."""
        if self.state != STREAMING:
            return self._refuse()
        self._leave(IDLE, reason)
        return True

    def fault(self):
        """Something cannot be trusted: ERROR, from any state."""
        if self.state == STREAMING:
            self.last_reason = FAULT
        self._drop()
        if self.state != ERROR:
            self.closings += 1
            self._go(ERROR, "fault")
        return True

    def forget(self):
        """The microphone goes off for a while: zero and forget what was heard before."""
        if self.state != STREAMING:
            self._preroll.clear()

    def refuse(self):
        """Something was asked for that nobody may have: counted, nothing else."""
        return self._refuse()

    # --- audio ---

    @micropython.native
    def hear(self, chunk):
        """Take note of a chunk of 320 bytes.

        Ends a stream that is late or too long, or in which nobody speaks.
        """
        if self.state == STREAMING:
            self._heard += 1
            if self._holding:
                self._hold(chunk)
            elif self._closing:
                if self._is_unanswered():
                    self.abort(NO_CONSENT)
                elif self._heard >= self._outbox.capacity:
                    self.abort(LATE)
            else:
                self._fill(chunk)
        elif self.state == IDLE and self._preroll.capacity:
            self._preroll.put(chunk)

    @micropython.native
    def take(self, target):
        """The way out: one chunk into `target`, its size in bytes, or 0 when nothing may leave."""
        if not self.may_take:
            return 0
        self._outbox.get(target)
        self.sent_bytes += CHUNK_BYTES
        return CHUNK_BYTES

    # --- inside ---

    @micropython.native
    def _hold(self, chunk):
        """Keep the newest chunks of a stream in which nobody has spoken yet."""
        if self._heard > self._no_speech_chunks:
            self.abort(NO_SPEECH)
            return
        if self._outbox.count == self._hold_chunks:
            self._outbox.forget_oldest()
        self._outbox.put(chunk)

    def _is_unanswered(self):
        """Count a chunk without an acknowledgement; whether these are too many."""
        if self._acknowledged:
            return False
        self._unanswered += 1
        return self._unanswered > self._consent_chunks

    @micropython.native
    def _fill(self, chunk):
        """Append a chunk to what may leave."""
        if self._is_unanswered():
            self.dropped_chunks += 1  # this one, too
            self.abort(NO_CONSENT)
            return
        if self._outbox.count == self._outbox.capacity:
            self.dropped_chunks += 1
            self.abort(LATE)
            return
        self._outbox.put(chunk)
        if self._heard >= self._max_chunks:
            self.close_input(CAP)

    def _go(self, state, why):
        """Change the state; `why` is a word for whoever watches (a subclass that traces)."""
        self.state = state

    def _leave(self, state, reason):
        """Go to MUTED or IDLE from where that is possible; nothing of a stream survives it."""
        if self.state == STREAMING:
            self.last_reason = reason
        self._drop()
        if self.state == IDLE or self.state == STREAMING:
            self._go(state, REASON_NAMES[reason])

    def _drop(self):
        dropped = self._outbox.clear()
        if not self._holding:  # what was held was of no stream yet
            self.dropped_chunks += dropped
        self._preroll.clear()
        self._holding = False
        self._acknowledged = False
        self._closing = False

    def _refuse(self):
        self.refused += 1
        return False
