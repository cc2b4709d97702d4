"""The promises of the loudspeaker, held on every transition of gate and speech together.

The walk is that of test_gate_promises, over the product of both, with a microphone and an
amplifier that follow the two as the app does.  The promises are invariants on what can be seen
from outside, with a memory of their own of what was asked, answered and closed.  Chunk contents
do not matter, so audio is one chunk; times are either fresh or long past.
"""

from satellite.chimes import NOTES, Chime
from satellite.gate import END_OF_SPEECH, ERROR, IDLE, MUTED, NETWORK, STREAMING, Gate
from satellite.speech import ASKED, DRAINING, SILENT, SPEAKING, Speech

CHUNK = bytearray(b"\x10\x20" * 160)
NOTHING = bytes(320)
OUT = bytearray(320)
LONG_MS = 100000
THIS, OTHER = 7, 8
ID = "a" * 16
HEAP_BYTES = 33554432


class ShortChime(Chime):
    """One chunk, so that the walk is short."""

    def __init__(self):
        Chime.__init__(self)
        self.left = 0

    def start(self, kind):
        assert kind in NOTES
        self.left = 1

    def stop(self):
        self.left = 0

    def fill(self, chunk):
        if not self.left:
            return 0
        self.left -= 1
        chunk[:] = CHUNK
        return 320


#: Of the gate what it shows; test_gate_promises walks through what is inside a stream.
GATE = ("state", "_soft_muted", "_switch_muted", "_holding")
SPEECH = ("state", "has_news", "_is_chime", "_is_paused", "_rings_again")
SPEECH_COUNTS = ("_length_chunks", "_sounded", "_late", "_missing", "_flush")
INCOMING = ("has_begun", "is_complete", "is_dropping")
KINDS = ("reply", "timer", "announcement", "error")
#: What counts, is set once, or is made relative below; of `is_in_log` see test_random_sounds.
SPEECH_REST = (
    "kind",
    "id",
    "_gate",
    "_chime",
    "rules",
    "incoming",
    "_begin_bytes",
    "_max_ms",
    "_late_chunks",
    "_buffer_chunks",
    "volume_max",
    "volume",
    "_gain",
    "refused",
    "reason",
    "_over",
    "_closings",
    "_since_ms",
    "_off_ms",
    "is_in_log",
)


class Watched:
    """Gate, speech, microphone and amplifier, and what the promises have to remember."""

    def __init__(self, speech_class=Speech):
        self.gate = Gate(
            buffer_ms=10,
            preroll_ms=0,
            max_stream_ms=20,
            consent_ms=10,
            hold_ms=10,
            no_speech_ms=10,
        )
        self.chime = ShortChime()
        self.speech = speech_class(
            self.gate,
            self.chime,
            timers=True,
            buffer_ms=10,
            ring_bytes=320,
            max_ms=20,
            late_ms=0,
        )
        self.now_ms = LONG_MS
        self.mic = self.amp = False
        self.may_answer = False  # the stream that ended last
        self.is_owed = False  # `over` for a sound that was accepted
        self.is_closed = True  # something has closed since the last acceptance
        self.sounded = 0

    # --- states ---

    def state(self):
        """All that decides what happens next, as bytes; times and counters made relative.

        What is read in some states only is, in the others, what would open most.
        """
        gate, speech, rules = self.gate, self.speech, self.speech.rules
        incoming = speech.incoming
        now = self.now_ms
        is_silent = speech.state == SILENT
        has_answer = rules._answerable is not None
        is_unread = (is_silent or speech._is_chime) and not incoming.is_dropping
        is_noted = rules._noted == gate.stream_id
        off_ms = speech._off_ms if speech.state == DRAINING else None
        facts = [getattr(gate, name) for name in GATE]
        facts += [getattr(speech, name) for name in SPEECH]
        facts += (2, 0, 0, 0, 1) if is_silent else [getattr(speech, n) for n in SPEECH_COUNTS]
        facts += (0, 0, 0) if is_unread else [getattr(incoming, name) for name in INCOMING]
        facts += (
            320 // 320 if is_unread else incoming._credit // 320,
            0 if is_unread else incoming._freed // 320,
            incoming.count // 320,
            gate.last_reason == END_OF_SPEECH and gate.sent_bytes > 0,
            is_silent or gate.closings == speech._closings,
            not has_answer or gate.closings == rules._closings,
            is_noted or gate.closings == gate.stream_closings,
            is_noted,
            (1 if rules._answerable == gate.stream_id else 2) if has_answer else 0,
            has_answer and now - rules._ended_ms >= LONG_MS,
            KINDS.index("error" if is_silent else speech.kind),
            speech.id is not None,
            speech._over is not None,
            not speech._is_paused or now - speech._since_ms >= LONG_MS,
            0 if off_ms is None else 1 + (now - off_ms >= LONG_MS),
            0 if is_silent else self.chime.left,
            self.mic,
            self.amp,
            self.may_answer,
            self.is_owed,
            is_silent or self.is_closed,
            0 if is_silent else self.sounded,
        )
        return bytes([int(fact) for fact in facts])

    def go_to(self, state):
        """Bring everything into a state that `state` has returned."""
        gate, speech, rules = self.gate, self.speech, self.speech.rules
        incoming = speech.incoming
        now = self.now_ms = LONG_MS
        at = 0
        for owner, names in ((gate, GATE), (speech, SPEECH)):
            for name in names:
                setattr(owner, name, state[at])
                at += 1
        for owner, names in ((speech, SPEECH_COUNTS), (incoming, INCOMING)):
            for name in names:
                setattr(owner, name, state[at])
                at += 1
        rest = state[at:]
        incoming._credit = rest[0] * 320
        incoming._freed = rest[1] * 320
        incoming.count = rest[2] * 320
        incoming._first = 0
        incoming.buffer[:] = CHUNK if incoming.count else NOTHING
        gate._closing = gate._acknowledged = False
        gate.last_reason = END_OF_SPEECH if rest[3] else NETWORK
        gate.sent_bytes = 320 if rest[3] else 0
        gate.closings = 5
        speech._closings = 4 + rest[4]
        rules._closings = 4 + rest[5]
        gate.stream_closings = 4 + rest[6]
        gate.stream_id = THIS
        rules._noted = THIS if rest[7] else OTHER
        rules._answerable = (None, THIS, OTHER)[rest[8]]
        rules._ended_ms = now - LONG_MS * rest[9]
        speech.kind = KINDS[rest[10]]
        speech.id = ID if rest[11] else None
        speech._over = (ID, 0, "end") if rest[12] else None
        speech._since_ms = now - LONG_MS * rest[13]
        speech._off_ms = (None, now, now - LONG_MS)[rest[14]]
        self.chime.left = rest[15]
        self.mic, self.amp, self.may_answer = [bool(fact) for fact in rest[16:19]]
        self.is_owed, self.is_closed, self.sounded = bool(rest[19]), bool(rest[20]), rest[21]

    # --- promises ---

    def do(self, name, event):
        """Apply an event and hold every promise on the transition that it made."""
        gate, speech = self.gate, self.speech
        before, gate_before = speech.state, gate.state
        was_muted, was_streaming = gate.muted, gate.state == STREAMING
        waits, had_over = speech.incoming.count, speech._over is not None
        closings = gate.closings
        result = event(self)
        listen(self)
        after = speech.state
        if name in CLOSES or gate.closings != closings:
            self.is_closed = True
            self.may_answer = self.may_answer and name == "stop"
        if was_streaming and gate.state == IDLE and name == "end well":
            self.may_answer = True
        if name == "later" or name == "disconnected":
            self.may_answer = False
        self._hold_acceptance(name, before, after, gate_before)
        self._hold_sound(name, result, before)
        self._hold_audio(name, result, before, after, waits)
        # 10: the receiver is told once of each sound, and of no other
        if had_over and name not in ("over", "disconnected"):
            assert speech._over is not None, name
        if name == "over":
            assert result is None or self.is_owed, before
            self.is_owed = self.is_owed and result is None
        if name == "disconnected":
            self.is_owed = False
        if after == SILENT:
            assert (speech._over is not None) == self.is_owed, (name, before, self.is_owed)
        # half-duplex, and mute
        assert not (self.mic and self.amp), (name, before, after)
        assert not (speech.may_sound and speech.may_listen), (name, before, after)
        if gate.muted or gate.state in (ERROR, MUTED):
            assert not speech.may_sound, (name, before, after, was_muted)

    def _hold_acceptance(self, name, before, after, gate_before):
        """10: only as the answer to a stream that has just ended, once, or what is allowed."""
        if before == SILENT and after != SILENT:
            assert after == ASKED and name in ASKS, (name, after)
            assert gate_before in (IDLE, STREAMING) and not self.gate.muted, name
            if name in ("ask reply", "ask for another stream"):
                assert self.may_answer, name
                # A stream that sent nothing is nothing to be answered: the one before it is.
                self.may_answer = False
            self.is_owed = True
            self.is_closed = False
            self.sounded = 0
        if after == SPEAKING and before != SPEAKING:
            assert name == "start" and before == ASKED and not self.is_closed, (name, before)
            assert self.gate.state == IDLE, self.gate.state

    def _hold_sound(self, name, result, before):
        """The one way out: never over the limit, never once anything has closed."""
        if self.is_closed:
            assert not self.speech.may_sound, (name, before)
        if name != "take" or not result:
            return
        assert before in (SPEAKING, DRAINING) and self.gate.state == IDLE, before
        assert not self.is_closed and not self.mic, before  # `take` asks for the amplifier
        if any(OUT):
            self.sounded += 1
            assert before == SPEAKING and self.sounded <= 2, self.sounded

    def _hold_audio(self, name, result, before, after, waits):
        """Into no other state, never more than the ring, and nothing of it stays."""
        incoming = self.speech.incoming
        if name == "put" and result:
            is_taken = incoming.count > waits
            assert not is_taken or before in (ASKED, SPEAKING), before
        assert incoming.count + incoming._credit <= incoming.capacity or incoming.is_dropping
        if after in (SILENT, DRAINING):
            assert not any(incoming.buffer), (name, before, after)


def listen(w):
    """What the app does: the microphone follows, and the amplifier goes off first."""
    if not w.speech.may_sound and w.amp:
        w.amp = False
    w.speech.rules.note_stream(w.now_ms)
    may_listen = w.gate.may_listen and w.speech.may_listen
    w.mic = may_listen and not w.amp


def start(w):
    if not w.speech.may_start(w.now_ms):
        return False
    w.mic = False
    w.amp = w.speech.start(w.now_ms)
    return w.amp


def take(w):
    """Only an amplifier that is on plays; a turn later it is off when nothing may sound."""
    if not w.amp:
        return 0
    count = w.speech.take(OUT)
    w.speech.credit()
    if not w.speech.may_sound:
        w.amp = False
    return count


def rest(w):
    if w.speech.state == DRAINING and not w.speech.may_sound:
        w.amp = False
        w.speech.rest(w.now_ms)


def later(w):
    w.speech.rules.note_stream(w.now_ms)  # no time passes without a turn of the app
    w.now_ms += LONG_MS


def wake(w):
    if w.gate.state == IDLE and w.mic:
        rules = w.speech.rules
        w.gate.wake(OTHER)
        rules._noted = THIS  # numbers of streams never come again
        if rules._answerable is not None:
            rules._answerable = THIS


def end_well(w):
    """Somebody has spoken, and all of it was sent."""
    gate = w.gate
    if gate.state == STREAMING and not gate.is_held:
        gate.acknowledge(gate.stream_id)
        gate.sent_bytes = 320
        gate.close_input(END_OF_SPEECH)
        gate.drained()


def ask(kind, stream=None, is_chime=False, length_ms=30000):
    def asked(w):
        number = stream and w.gate.stream_id
        if stream == OTHER:
            number = THIS if number == OTHER else OTHER
        return w.speech.ask(ID, kind, number, length_ms, w.now_ms, is_chime)

    return asked


EVENTS = (
    ("ready", lambda w: w.gate.ready(False)),
    ("mute", lambda w: w.gate.mute()),
    ("unmute", lambda w: w.gate.unmute()),
    ("fault", lambda w: w.gate.fault()),
    ("wake", wake),
    ("speech", lambda w: w.gate.speech()),
    ("end well", end_well),
    ("abort", lambda w: w.gate.abort(NETWORK)),
    ("ask reply", ask("reply", THIS)),
    ("ask for another stream", ask("reply", OTHER)),
    ("ask chime", ask("timer", None, True)),
    ("begin audio", lambda w: w.speech.begin_audio()),
    ("put", lambda w: w.speech.put(CHUNK)),
    ("end audio", lambda w: w.speech.end_audio()),
    ("start", start),
    ("take", take),
    ("rest", rest),
    ("stop", lambda w: w.speech.stop("receiver")),
    ("over", lambda w: w.speech.over()),
    ("disconnected", lambda w: w.speech.disconnected()),
    ("later", later),
)
ASKS = ("ask reply", "ask for another stream", "ask chime")
CLOSES = ("mute", "fault", "stop")


def every_transition(watched):
    """Walk to the fixpoint; (number of states, number of transitions)."""
    to_do = [watched.state()]
    seen = set(to_do)
    for state in to_do:  # which grows
        for name, event in EVENTS:
            watched.go_to(state)
            watched.do(name, event)
            reached = watched.state()
            if reached not in seen:
                seen.add(reached)
                to_do.append(reached)
    return len(seen), len(seen) * len(EVENTS)


def test_every_transition_of_every_reachable_state():
    states, transitions = every_transition(Watched())
    assert states == 4968, states
    print("figure: %d states, %d transitions" % (states, transitions))


def test_the_walk_knows_all_that_decides():
    """A new attribute has to be added to the states of the walk, or to what does not decide."""
    speech = Watched().speech
    known = set(SPEECH + SPEECH_COUNTS + SPEECH_REST)
    assert set(speech.__dict__) == known, set(speech.__dict__) ^ known
    known = set(INCOMING + ("_credit", "_freed", "capacity", "buffer", "_view", "count", "_first"))
    assert set(speech.incoming.__dict__) == known, set(speech.incoming.__dict__) ^ known


class AnswersTwice(Speech):
    def ask(self, id, kind, stream, length_ms, now_ms, is_chime=False):
        answerable = self.rules._answerable
        why = Speech.ask(self, id, kind, stream, length_ms, now_ms, is_chime)
        self.rules._answerable = answerable
        return why


class AnswersAfterAMute(Speech):
    def ask(self, id, kind, stream, length_ms, now_ms, is_chime=False):
        self.rules._closings = self._gate.closings
        return Speech.ask(self, id, kind, stream, length_ms, now_ms, is_chime)


class AnswersForEver(Speech):
    def ask(self, id, kind, stream, length_ms, now_ms, is_chime=False):
        self.rules._ended_ms = now_ms
        return Speech.ask(self, id, kind, stream, length_ms, now_ms, is_chime)


class AnswersAnotherStream(Speech):
    def ask(self, id, kind, stream, length_ms, now_ms, is_chime=False):
        return Speech.ask(self, id, "timer", stream, length_ms, now_ms, is_chime)


class SoundsOverAMute(Speech):
    _is_open = property(lambda self: True)


class ForgetsAMute(Speech):
    _is_open = property(lambda self: self._gate.state == IDLE)


class ListensWhileItSpeaks(Speech):
    may_listen = property(lambda self: True)


class KeepsTheRest(Speech):
    def _close(self, reason, is_early):
        self.reason = reason


class SoundsForEver(Speech):
    _is_long = property(lambda self: False)

    def credit(self):
        self.incoming._freed += 0 if self.incoming.count else 320
        return Speech.credit(self)


class TakesAudioAnyTime(Speech):
    takes_audio = property(lambda self: True)

    def put(self, data):
        self.incoming.has_begun, self.incoming._credit = True, 320 - self.incoming.count
        self.incoming.is_complete = self.incoming.is_dropping = False
        return self.incoming.put(data)


class StartsUnasked(Speech):
    def may_start(self, now_ms):
        return self._gate.state == IDLE


class StopsLater(Speech):
    def stop(self, reason):
        return self.state == ASKED and Speech.stop(self, reason)


class TellsTwice(Speech):
    def over(self):
        return self._over


class TellsNobody(Speech):
    def _finish(self):
        Speech._finish(self)
        self._over = None


BROKEN = (
    AnswersTwice,
    AnswersAfterAMute,
    AnswersForEver,
    AnswersAnotherStream,
    SoundsOverAMute,
    ForgetsAMute,
    ListensWhileItSpeaks,
    KeepsTheRest,
    SoundsForEver,
    TakesAudioAnyTime,
    StartsUnasked,
    StopsLater,
    TellsTwice,
    TellsNobody,
)


def test_the_walk_catches_a_loudspeaker_that_breaks_a_promise():
    for speech_class in BROKEN:
        try:
            every_transition(Watched(speech_class))
        except AssertionError:
            continue
        raise AssertionError("%s passes" % speech_class)
