"""The promises of the gate, held on every transition that it can make.

The walk starts from a new gate, applies every event to every state that can be reached and goes
on until no new state appears, so what holds on each transition holds for sequences of every
length.  The promises are invariants on what can be seen from outside - states, and what `take`
gives - and not a second state machine.  Chunk contents do not influence a gate, so they are no
part of a state; a random walk follows them.
"""

import random

from satellite.gate import (
    END_OF_SPEECH,
    ERROR,
    IDLE,
    MUTED,
    NETWORK,
    STREAMING,
    Gate,
)

CHUNK = bytearray(b"\xa5" * 320)
OUT = bytearray(320)
STREAM, OTHER_STREAM = 7, 8

EVENTS = (
    ("ready muted", lambda g: g.ready(True)),
    ("ready unmuted", lambda g: g.ready(False)),
    ("ready unknown", lambda g: g.ready(None)),
    ("mute", lambda g: g.mute()),
    ("unmute", lambda g: g.unmute()),
    ("switch to mute", lambda g: g.switch(True)),
    ("switch off mute", lambda g: g.switch(False)),
    ("switch unknown", lambda g: g.switch(None)),
    ("refused request", lambda g: g.refuse()),
    ("wake", lambda g: g.wake(STREAM)),
    ("speech", lambda g: g.speech()),
    ("acknowledge", lambda g: g.acknowledge(STREAM)),
    ("acknowledge another", lambda g: g.acknowledge(OTHER_STREAM)),
    ("close input", lambda g: g.close_input(END_OF_SPEECH)),
    ("drained", lambda g: g.drained()),
    ("abort", lambda g: g.abort(NETWORK)),
    ("fault", lambda g: g.fault()),
    ("forget", lambda g: g.forget()),
    ("hear", lambda g: g.hear(CHUNK)),
    ("take", lambda g: g.take(OUT)),
)
MUTES = ("mute", "switch to mute", "switch unknown")
READIES = ("ready muted", "ready unmuted", "ready unknown")
OPENS_TO_IDLE = ("ready unmuted", "unmute", "switch off mute", "drained", "abort", "hear")
BY_THE_NETWORK = ("refused request", "acknowledge", "acknowledge another", "abort", "drained")

#: What decides what a gate does next, beside its two rings; and what only counts or names.
DECIDES = (
    "state",
    "_soft_muted",
    "_switch_muted",
    "_holding",
    "_acknowledged",
    "_closing",
    "_heard",
    "_unanswered",
)
RINGS = ("_outbox", "_preroll")
COUNTS = ("last_reason", "sent_bytes", "dropped_chunks", "refused", "closings", "stream_closings")
TOLD = ("stream_id", "soft_source")
SETTINGS = ("_max_chunks", "_consent_chunks", "_hold_chunks", "_no_speech_chunks")
HOLD_MS, NO_SPEECH_MS = 20, 40


class Watched:
    """A gate, and what the promises have to remember: switch, speech and consent."""

    def __init__(self, preroll_ms=0, gate_class=Gate):
        self.gate = gate_class(
            buffer_ms=40,
            preroll_ms=preroll_ms,
            max_stream_ms=80,
            consent_ms=30,
            hold_ms=HOLD_MS,
            no_speech_ms=NO_SPEECH_MS,
        )
        self.switch_is_muted = False
        self.has_speech = False  # since the wake word of this stream
        self.has_consent = False
        self.held_ms = 0  # what was heard since the wake word without speech

    def state(self):
        """All that decides what can happen next, as a tuple."""
        gate = self.gate
        decides = tuple(getattr(gate, name) for name in DECIDES)
        rings = (gate._outbox.count, gate._preroll.count, gate.stream_id)
        return (
            decides
            + rings
            + (self.switch_is_muted, self.has_speech, self.has_consent, self.held_ms)
        )

    def go_to(self, state):
        """Bring the gate into a state that `state` has returned."""
        gate = self.gate
        for name, value in zip(DECIDES, state):
            setattr(gate, name, value)
        outbox, preroll, gate.stream_id = state[len(DECIDES) : len(DECIDES) + 3]
        self.switch_is_muted, self.has_speech, self.has_consent, self.held_ms = state[
            len(DECIDES) + 3 :
        ]
        for ring, count in ((gate._outbox, outbox), (gate._preroll, preroll)):
            ring.clear()
            for _ in range(count):
                ring.put(CHUNK)

    def do(self, name, event):
        """Apply an event and hold every promise on the transition that it made."""
        gate = self.gate
        before, was_muted, was_closing = gate.state, gate.muted, gate.is_closing
        was_held = gate.is_held
        waited, kept = gate._outbox.count, gate._preroll.count
        sent, dropped = gate.sent_bytes, gate.dropped_chunks
        result = event(gate)
        after = gate.state
        if name in ("switch to mute", "switch unknown"):
            self.switch_is_muted = True
        elif name == "switch off mute":
            self.switch_is_muted = False
        if after != STREAMING or before != STREAMING:
            self.has_speech = self.has_consent = False
        if name == "speech" and after == STREAMING:
            self.has_speech = True
        if name == "acknowledge" and self.has_speech:
            self.has_consent = True
        self._hold_mute(name, before, after, was_muted)
        self._hold_opening(name, before, after)
        # 9: a fault closes, and only `ready` leads out again
        if name == "fault":
            assert after == ERROR
        if before == ERROR and after != ERROR:
            assert name in READIES, name
        # 1: the one way out, and nothing but the pre-roll is kept outside a stream
        if name == "take" and result:
            assert before == after == STREAMING and self.has_consent and not was_muted, before
            assert self.has_speech, before
            assert gate._outbox.count == waited - 1 and gate.sent_bytes == sent + 320
        elif name != "wake":
            assert gate.sent_bytes == sent, name
        if after != STREAMING:
            assert not any(gate._outbox.buffer), (name, before, after)
        if after != IDLE or not gate._preroll.capacity:
            assert not any(gate._preroll.buffer), (name, before, after)
        # 1: until somebody speaks a stream is held, and what it keeps is bounded
        assert gate.is_held == (after == STREAMING and not self.has_speech), (name, before, after)
        self.held_ms = self.held_ms + 10 * (name == "hear") if was_held and gate.is_held else 0
        assert self.held_ms <= NO_SPEECH_MS, name
        if gate.is_held:
            assert gate._outbox.count * 10 <= HOLD_MS + gate._preroll.capacity * 10
        # what was heard of a stream leaves or is counted as dropped
        left = gate._outbox.count + gate.dropped_chunks - dropped
        if name == "wake" and after != before:
            assert left == kept
        elif was_held:
            assert gate.dropped_chunks == dropped, (name, after)
        elif name == "hear" and before == STREAMING and not was_closing:
            assert left == waited + 1, (waited, left)
        elif name != "take":
            assert left == waited, (name, before, after, waited, left)
        if name == "drained" and after != before:
            assert was_closing and not waited, waited

    def _hold_mute(self, name, before, after, was_muted):
        """2: mute is real in any state and at once; 4: only a person opens."""
        gate = self.gate
        if name in MUTES:
            assert gate.muted and after not in (IDLE, STREAMING), (name, before, after)
        if gate.muted:
            assert after not in (IDLE, STREAMING), (name, before, after)
        if self.switch_is_muted:
            assert gate.muted, (name, before)
        if before == MUTED and after != MUTED:
            assert name in ("unmute", "switch off mute") or after == ERROR, (name, after)
        if was_muted and not gate.muted:
            assert name in ("unmute", "switch off mute", "ready unmuted"), (name, before)
        assert gate.may_listen == (after in (IDLE, STREAMING))

    def _hold_opening(self, name, before, after):
        """1: a stream starts by a wake word heard while idle, and by nothing else."""
        if name in BY_THE_NETWORK and before != STREAMING:
            assert after == before, (name, before, after)
        if after == STREAMING and before != STREAMING:
            assert name == "wake" and before == IDLE, (name, before)
        if after == IDLE and before != IDLE:
            assert name in OPENS_TO_IDLE, (name, before)


def every_transition(watched):
    """Walk to the fixpoint; (states reached, number of transitions)."""
    first = watched.state()
    seen = {first}
    to_do = [first]
    transitions = 0
    while to_do:
        state = to_do.pop()
        for name, event in EVENTS:
            watched.go_to(state)
            watched.do(name, event)
            transitions += 1
            reached = watched.state()
            if reached not in seen:
                seen.add(reached)
                to_do.append(reached)
    return seen, transitions


def test_every_transition_of_every_reachable_state():
    acknowledged = DECIDES.index("_acknowledged")
    for preroll_ms, states, transitions in ((0, 719, 14380), (20, 1014, 20280)):
        seen, count = every_transition(Watched(preroll_ms))
        assert (len(seen), count) == (states, transitions), (len(seen), count)
        assert len({state[0] for state in seen}) == 5
        # Up to a full outbox waits for a receiver that may have it.
        most = max(state[len(DECIDES)] for state in seen if state[acknowledged])
        assert most == 6 + preroll_ms // 10, most
        print("figure: %d states, %d transitions" % (len(seen), count))


def test_the_walk_knows_all_that_decides():
    """A new attribute of the gate has to be added to the states of the walk, or to the counts, or
    to what is only told."""
    known = DECIDES + RINGS + COUNTS + SETTINGS + TOLD
    assert set(Gate().__dict__) == set(known), set(Gate().__dict__) ^ set(known)


class DrainsTooEarly(Gate):
    def drained(self):
        if self._outbox.count != 2:
            return Gate.drained(self)
        self._closing = False
        self._go(IDLE, "drained")
        return True


class ForgetsConsent(Gate):
    may_take = property(lambda self: self.state == STREAMING and self._outbox.count > 0)


class SendsWithoutSpeech(Gate):
    may_take = property(
        lambda self: self.state == STREAMING and self._acknowledged and self._outbox.count > 0
    )

    def acknowledge(self, stream_id):
        if self.state != STREAMING or stream_id != self.stream_id:
            return self._refuse()
        self._acknowledged = True
        return True


class HoldsForEver(Gate):
    def _hold(self, chunk):
        self._heard = 0
        Gate._hold(self, chunk)


class HoldsTooMuch(Gate):
    def _hold(self, chunk):
        if self._heard <= self._no_speech_chunks:
            self._outbox.put(chunk)
        else:
            Gate._hold(self, chunk)


class KeepsConsent(Gate):
    def wake(self, stream_id):
        acknowledged = self._acknowledged
        if not Gate.wake(self, stream_id):
            return False
        self._acknowledged = acknowledged
        return True

    def _drop(self):
        acknowledged = self._acknowledged
        Gate._drop(self)
        self._acknowledged = acknowledged


class LeavesSound(Gate):
    def mute(self):
        self._soft_muted = True
        if self.may_listen:
            self._go(MUTED, "mute")
        return True


class UnmutesOverTheSwitch(Gate):
    def unmute(self):
        self._soft_muted = False
        if self.state == MUTED:
            self._go(IDLE, "unmute")
        return True


class LosesTheLast(Gate):
    def hear(self, chunk):
        if not (self._outbox.count == 5 and self._acknowledged and self._heard == 6):
            Gate.hear(self, chunk)
        else:
            self._heard += 1


def test_the_walk_catches_a_gate_that_breaks_a_promise():
    broken = (
        DrainsTooEarly,
        ForgetsConsent,
        SendsWithoutSpeech,
        HoldsForEver,
        HoldsTooMuch,
        KeepsConsent,
        LeavesSound,
        UnmutesOverTheSwitch,
        LosesTheLast,
    )
    for gate_class in broken:
        try:
            every_transition(Watched(20, gate_class))
        except AssertionError:
            continue
        raise AssertionError("%s passes" % gate_class)


def test_a_random_walk_over_chunks_of_every_content():
    """What leaves a stream is what was heard: in order, without a gap, and of this stream."""
    seen = set()
    for seed in range(10):
        random.seed(seed)
        watched = Watched(20 if seed % 2 else 0)
        gate = watched.gate
        number = last_taken = 0
        for _ in range(2000):
            name, event = EVENTS[random.getrandbits(16) % len(EVENTS)]
            if random.getrandbits(1):
                name, event = EVENTS[-1 - random.getrandbits(1)]
            before, sent, kept = gate.state, gate.sent_bytes, gate._preroll.count
            if name == "hear":
                number += 1
                CHUNK[:] = number.to_bytes(2, "little") * 160
            watched.do(name, event)
            seen.add(gate.state)
            if name == "wake" and before != STREAMING and gate.state == STREAMING:
                last_taken = number - kept
            if gate.sent_bytes > sent:
                last_taken += 1
                assert OUT == last_taken.to_bytes(2, "little") * 160, last_taken
    assert len(seen) == 5, seen
