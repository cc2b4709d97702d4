"""Whether the loudspeaker may sound, and the only way by which sound leaves.

Place in the pipeline: beside the gate, before the loudspeaker.  Pure: no hardware, no clock, no
network; what sounds is counted in chunks, other times are passed in, in device milliseconds.
Reads the gate and never changes it.

SILENT    nothing may sound; the microphone may listen
ASKED     a sound was accepted and is awaited, or a ringing timer pauses; the microphone may listen
SPEAKING  `take` gives what sounds; the microphone must be off
DRAINING  nothing more may sound; the amplifier goes off, and the microphone stays off for REST_MS

Only `start` leads to SPEAKING, and only from what `speech_rules` accepted or what the device has
to say itself.  Everything may end a sound, in every state and at once; the ring is then zeroed.
"""

from micropython import const

from .gate import IDLE
from .speech_audio import CHUNK_BYTES, IncomingAudio, clear
from .speech_rules import Rules
from .volume import gain_of, scale

SILENT = const(0)
ASKED = const(1)
SPEAKING = const(2)
DRAINING = const(3)
STATE_NAMES = ("SILENT", "ASKED", "SPEAKING", "DRAINING")

CHUNK_MS = const(10)
RING_BYTES = 32000
#: What a sound lasts at most, and how much of it has to be there before it begins.
MAX_MS = 30000
BEGIN_BYTES = 6400
#: How long to wait for its beginning, and for more of it, before it ends as late.
BEGIN_MS = 10000
LATE_MS = 2000
#: Between the amplifier and the microphone.
REST_MS = 200
#: How long a ringing timer listens before it rings again.
PAUSE_MS = 2000


class Speech:
    """States and what sounds.

    Args:
        gate: gate.Gate; is read only.
        chime: chimes.Chime, or None on a board without a loudspeaker: all is then refused.
        volume, volume_max: Percent; the first never exceeds the second.
        timers, announcements: Whether the owner allows them.
        buffer_ms: What the loudspeaker's driver holds at most.

    Read: `state`, `kind` (a word of audit_record.SPOKEN), `id` (None: the device's own), `reason`
    (of the last end, a word of audit_record.SPEAK_ENDS), `played_ms`, `late_ms`, `volume`,
    `volume_max`, `rules`, `incoming`, `has_news` (whether `credit` or `over` has something to
    tell), `refused` (a count).  Whoever keeps the log sets `is_in_log`: the beginning of a sound
    is in it, and the end is not.  No other sound is accepted before.
    """

    def __init__(
        self,
        gate,
        chime,
        volume=60,
        volume_max=80,
        timers=False,
        announcements=False,
        buffer_ms=0,
        ring_bytes=RING_BYTES,
        max_ms=MAX_MS,
        late_ms=LATE_MS,
    ):
        self._gate = gate
        self._chime = chime
        self.rules = Rules(gate, timers, announcements)
        self.incoming = IncomingAudio(CHUNK_BYTES if chime is None else ring_bytes)
        self._begin_bytes = min(BEGIN_BYTES, ring_bytes // 2)
        self._max_ms = max_ms
        self._late_chunks = late_ms // CHUNK_MS
        self._buffer_chunks = (buffer_ms + CHUNK_MS - 1) // CHUNK_MS
        self.volume_max = volume_max
        self.volume = self._gain = 0
        self.set_volume(volume)
        self.state = SILENT
        self.kind = "reply"
        self.id = None
        self.reason = "end"
        self.has_news = False
        self.refused = 0
        self.is_in_log = False
        self._over = None
        self._is_chime = False
        self._length_chunks = 0
        self._closings = 0  # of the gate, when it was accepted
        self._since_ms = 0  # when it was asked for, or began to pause
        self._is_paused = False
        self._rings_again = False
        self._sounded = 0  # chunks of sound
        self._late = 0  # chunks of silence where it was late: all of them, and in a row
        self._missing = 0
        self._flush = 0  # chunks of silence that still push out what the driver holds
        self._off_ms = None  # since when the amplifier reads off; None: it was not asked

    # --- what it says ---

    @property
    def has_speaker(self):
        """Whether it can make a sound at all."""
        return self._chime is not None

    @property
    def may_listen(self):
        """Whether the microphone may be on, as far as this is concerned."""
        return self.state == SILENT or self.state == ASKED

    @property
    def may_sound(self):
        """Whether `take` may give something, and the amplifier may be on."""
        if self.state == SPEAKING or (self.state == DRAINING and self._flush):
            return self._is_open
        return False

    @property
    def is_shut(self):
        """Whether something has muted or failed since the sound was accepted."""
        return self._gate.closings != self._closings or not self._gate.may_listen

    @property
    def is_over(self):
        """Whether nothing sounds that could be ended, and nothing will."""
        is_drained = self.state == DRAINING and not self._flush and not self._rings_again
        return is_drained or self.state == SILENT

    @property
    def is_ringing(self):
        """Whether a timer rings, or pauses in between."""
        return self._is_chime and self.kind == "timer" and self.state != SILENT

    @property
    def takes_audio(self):
        """Whether audio from the receiver is no breach of the protocol."""
        is_expected = self.state == ASKED or self.state == SPEAKING
        return self.incoming.is_dropping or (is_expected and not self._is_chime)

    @property
    def played_ms(self):
        """How much of the present or last sound was given out."""
        return self._sounded * CHUNK_MS

    @property
    def late_ms(self):
        """How much silence was put where its audio was late."""
        return self._late * CHUNK_MS

    # --- what asks ---

    def ask(self, id, kind, stream, length_ms, now_ms, is_chime=False):
        """The network asks for a sound: None when it is accepted, else why not.

        `stream` is the number of the stream that it answers, None for what answers none.
        """
        if self._chime is None:
            why = "no-speaker"
        elif self.state != SILENT or self._over is not None or self.is_in_log:
            why = "busy"
        elif self.incoming.is_dropping and self.incoming.has_begun:
            why = "busy"
        else:
            why = self.rules.why_not(kind, stream, now_ms)
        if why is None:
            self.rules.accepted(kind, now_ms)
            self._accept(id, kind, length_ms, now_ms, is_chime)
        else:
            self.refused += 1
        return why

    def complain(self, now_ms):
        """The device itself has to say that nobody answered; whether it may."""
        if self._chime is None or self.state != SILENT or self._gate.state != IDLE:
            return False
        if self.is_in_log:
            return False
        self._accept(None, "error", self._max_ms, now_ms, True)
        return True

    def set_volume(self, percent):
        """Set the volume, never above what the owner allows; return what it is now."""
        self.volume = min(percent, self.volume_max)
        self._gain = gain_of(self.volume)
        return self.volume

    # --- audio from the receiver; each returns whether the protocol allows it ---

    def begin_audio(self):
        """Audio follows."""
        return self.takes_audio and self.incoming.begin()

    def put(self, data):
        """Audio, an even number of bytes."""
        return self.takes_audio and self.incoming.put(data)

    def end_audio(self):
        """That was all of it."""
        return self.takes_audio and self.incoming.end()

    # --- what the app does ---

    def may_start(self, now_ms):
        """Whether the sound may begin now: microphone off, record, light, `start`, amplifier."""
        if self.state != ASKED or not self._is_open:
            return False
        if self._is_chime:
            return not self._is_paused or now_ms - self._since_ms >= PAUSE_MS
        return self.incoming.is_complete or self.incoming.count >= self._begin_bytes

    def start(self, now_ms):
        """ASKED to SPEAKING; the caller has seen to it that the microphone is off."""
        if not self.may_start(now_ms):
            return False
        self._is_paused = False
        self._missing = 0
        self._off_ms = None
        if self._is_chime:
            self._chime.start(self.kind)
        self._go(SPEAKING)
        return True

    def take(self, target):
        """The way out: one chunk into `target`, 320, or 0 when nothing may sound any more.

        Allocates nothing.
        """
        if not self.may_sound:
            return 0
        if self.state == SPEAKING and self._sound(target):
            return CHUNK_BYTES
        if self.state != DRAINING or not self._flush:
            return 0
        self._flush -= 1
        clear(target, 0, CHUNK_BYTES)
        return CHUNK_BYTES

    def is_late(self, now_ms):
        """Whether what was accepted takes too long to begin."""
        return self.state == ASKED and not self._is_chime and now_ms - self._since_ms >= BEGIN_MS

    def stop(self, reason):
        """End what sounds or was accepted; nothing of it is ever heard again.  In any state.

        False when there was nothing to end; the first reason stays.
        """
        if self.is_over:
            return False
        self._close(reason, not self._is_chime)
        self._flush = 0
        self._rings_again = False
        if self.state == ASKED:
            self._finish()
        elif self.state == SPEAKING:
            self._go(DRAINING)
        return True

    def rest(self, now_ms):
        """The amplifier reads off, in DRAINING; after REST_MS of it the microphone may be on."""
        if self.state != DRAINING:
            return
        self._flush = 0
        if self._off_ms is None:
            self._off_ms = now_ms
        if now_ms - self._off_ms < REST_MS:
            return
        if self._rings_again:
            self._rings_again = False
            self._is_paused = True
            self._since_ms = now_ms
            self._go(ASKED)
        else:
            self._finish()

    def disconnected(self):
        """The connection is gone, and with it what the network asked for."""
        self.rules.forget()
        if self.id is not None:
            self.stop("network")
        self.incoming.disconnected()
        self.id = self._over = None
        self.has_news = False

    # --- for the receiver ---

    def credit(self):
        """How many bytes more may be sent, since this was last asked."""
        self.has_news = self._over is not None
        if self.state != SPEAKING or not self.incoming.owes_credit:
            return 0
        return self.incoming.grant()

    def over(self):
        """(id, ms, why) of a sound that is over, and recorded so, once; None for none."""
        if self.is_in_log:
            return None
        over, self._over = self._over, None
        self.has_news = False
        return over

    # --- inside ---

    @property
    def _is_open(self):
        """Whether nobody speaks, and nothing has closed the gate since the sound was accepted."""
        return self._gate.state == IDLE and self._gate.closings == self._closings

    def _accept(self, id, kind, length_ms, now_ms, is_chime):
        self.id = id
        self.kind = kind
        self._is_chime = is_chime
        self._closings = self._gate.closings
        self._length_chunks = min(length_ms, self._max_ms) // CHUNK_MS
        self._since_ms = now_ms
        self._sounded = self._late = self._missing = 0
        self._is_paused = self._rings_again = False
        if not is_chime:
            self.incoming.expect()
        self._go(ASKED)

    def _sound(self, target):
        """A chunk of the sound, or of silence where it is late; False and DRAINING at its end."""
        incoming = self.incoming
        has_more = self._is_chime or incoming.count or not incoming.is_complete
        if has_more and self._is_long:
            self.stop("limit")
            return False
        count = self._chime.fill(target) if self._is_chime else incoming.get(target)
        if count:
            self._sounded += 1
            self._missing = 0
            scale(target, CHUNK_BYTES, self._gain)
            self.has_news = self.has_news or incoming.owes_credit
            return True
        if self._is_chime or incoming.is_complete:
            self._rings_again = self.is_ringing
            self._close("end", False)
            self._flush = self._buffer_chunks
            self._go(DRAINING)
            return False
        self._late += 1
        self._missing += 1
        if self._missing > self._late_chunks:
            self.stop("late")
            return False
        clear(target, 0, CHUNK_BYTES)
        return True

    @property
    def _is_long(self):
        if self._sounded >= self._length_chunks:
            return True
        return (self._sounded + self._late) * CHUNK_MS >= self._max_ms

    def _close(self, reason, is_early):
        """Nothing of it is left."""
        self.reason = reason
        self.incoming.wipe(is_early)
        if self._chime is not None:
            self._chime.stop()

    def _finish(self):
        """To SILENT; the receiver is to be told of what it asked for."""
        if self.id is not None:
            self._over = (self.id, self.played_ms, self.reason)
            self.has_news = True
            self.id = None
        self._is_chime = False
        self._go(SILENT)

    def _go(self, state):
        """Change the state (a subclass traces)."""
        self.state = state
