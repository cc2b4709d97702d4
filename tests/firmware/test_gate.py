"""The gate against the promises: every sequence of events, and long random walks.

The promises are stated as invariants on what can be seen from outside - states, and what `take`
gives - and not by a second state machine.
"""

import random

from satellite.gate import (
    CAP,
    END_OF_SPEECH,
    ERROR,
    IDLE,
    LATE,
    MUTED,
    NETWORK,
    NO_CONSENT,
    NOT_READY,
    STREAMING,
    Gate,
)

CHUNK = bytearray(b"\xa5" * 320)
OUT = bytearray(320)

# name -> (event, may it open?, does it come from the network?, does it mute?)
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
    ("wake", lambda g: g.wake(7)),
    ("acknowledge", lambda g: g.acknowledge(7)),
    ("acknowledge another", lambda g: g.acknowledge(8)),
    ("close input", lambda g: g.close_input(END_OF_SPEECH)),
    ("drained", lambda g: g.drained()),
    ("abort", lambda g: g.abort(NETWORK)),
    ("fault", lambda g: g.fault()),
    ("hear", lambda g: g.hear(CHUNK)),
)
MUTES = ("mute", "switch to mute", "switch unknown")
OPENS_TO_IDLE = (
    "ready unmuted",
    "unmute",
    "switch off mute",
    "close input",
    "drained",
    "abort",
    "hear",
)
BY_THE_NETWORK = ("refused request", "acknowledge", "acknowledge another", "abort", "drained")


class Watched:
    """A gate, and what the invariants need to remember."""

    def __init__(self, preroll_ms=0):
        self.gate = Gate(buffer_ms=60, preroll_ms=preroll_ms, max_stream_ms=100, consent_ms=30)
        self.preroll_ms = preroll_ms
        self.switch_is_muted = False
        self.soft_is_muted = True
        self.consent = False

    def do(self, name, event):
        gate = self.gate
        before, was_muted = gate.state, gate.muted
        sent = gate.sent_bytes
        event(gate)
        after = gate.state
        if name in ("switch to mute", "switch unknown"):
            self.switch_is_muted = True
        elif name == "switch off mute":
            self.switch_is_muted = False
        if after != STREAMING or before != STREAMING:
            self.consent = False
        if name == "acknowledge" and after == STREAMING:
            self.consent = True
        # 2: mute is real, in any state, at once, and nothing of a stream survives it
        if name in MUTES:
            assert gate.muted and after not in (IDLE, STREAMING), (name, before, after)
        if gate.muted:
            assert after not in (IDLE, STREAMING), (name, before, after)
        if self.switch_is_muted:
            assert gate.muted, (name, before)
        # 4: only a person (or the start-up with a state known to be unmuted) opens
        if before == MUTED and after != MUTED:
            assert name in ("unmute", "switch off mute") or after == ERROR, (name, after)
        if was_muted and not gate.muted:
            allowed = ("unmute", "switch off mute", "ready unmuted")
            assert name in allowed, (name, before)
        if name in BY_THE_NETWORK and before != STREAMING:
            assert after == before, (name, before, after)
        # 1: a stream starts by a wake word heard while idle, and by nothing else
        if after == STREAMING and before != STREAMING:
            assert name == "wake" and before == IDLE, (name, before)
        if after == IDLE and before != IDLE:
            assert name in OPENS_TO_IDLE, (name, before)
        # 9: a fault closes, and only `ready` leads out again
        if name == "fault":
            assert after == ERROR
        if before == ERROR and after != ERROR:
            assert name in ("ready muted", "ready unmuted", "ready unknown"), name
        # nothing but the preroll is kept outside a stream, and that only while idle
        if after != STREAMING:
            assert not any(gate._outbox.buffer), (name, before, after)
        if after != IDLE or not self.preroll_ms:
            assert not any(gate._preroll.buffer), (name, before, after)
        # the one exit
        assert gate.sent_bytes == sent or name == "wake"
        taken = gate.take(OUT)
        if taken:
            assert after == STREAMING and self.consent and not gate.muted, (name, before)
        assert gate.may_listen == (after in (IDLE, STREAMING))


def walk(path, preroll_ms):
    watched = Watched(preroll_ms)
    for i in path:
        watched.do(*EVENTS[i])
    return watched.gate.state


def sequences(length, preroll_ms, start=()):
    """Every sequence of `length` events after `start`; how many there were."""
    count = 0
    path = [0] * length
    n = len(EVENTS)
    while True:
        walk(list(start) + path, preroll_ms)
        count += 1
        at = length - 1
        while at >= 0 and path[at] == n - 1:
            path[at] = 0
            at -= 1
        if at < 0:
            return count
        path[at] += 1


NAMES = [name for name, _ in EVENTS]


def path_to(*names):
    return [NAMES.index(name) for name in names]


def test_every_sequence_from_every_state():
    """Each state is reached, then every sequence of three events follows."""
    starts = {
        NOT_READY: (),
        MUTED: ("ready muted",),
        IDLE: ("ready unmuted", "hear"),
        STREAMING: ("ready unmuted", "hear", "wake", "hear", "acknowledge"),
        ERROR: ("ready unmuted", "fault"),
    }
    total = 0
    for state, names in starts.items():
        assert walk(path_to(*names), 20) == state
        for preroll_ms in (0, 20):
            total += sequences(3, preroll_ms, path_to(*names))
    closing = path_to(
        "ready unmuted", "wake", "acknowledge", "hear", "hear", "hear", "close input"
    )
    total += sequences(3, 0, closing)
    assert total == 11 * len(EVENTS) ** 3
    print(total, "sequences")


def test_long_random_walks():
    seen = set()
    for seed in range(20):
        random.seed(seed)
        watched = Watched(20 if seed % 2 else 0)
        for _ in range(3000):
            name, event = EVENTS[random.getrandbits(16) % len(EVENTS)]
            if random.getrandbits(1):
                name, event = EVENTS[-1]
            watched.do(name, event)
            seen.add(watched.gate.state)
    assert len(seen) == 5, seen


def open_gate(**settings):
    gate = Gate(**settings)
    assert gate.ready(False) and gate.state == IDLE
    return gate


def fill(gate, numbers):
    for number in numbers:
        gate.hear(bytes([number]) * 320)


def drain(gate):
    taken = []
    while gate.take(OUT):
        taken.append(OUT[0])
    return taken


def test_a_stream_is_every_chunk_in_order():
    gate = open_gate(buffer_ms=50)
    assert gate.wake(1) and not gate.wake(2)
    fill(gate, (1, 2, 3))
    assert drain(gate) == []  # not before consent
    assert not gate.acknowledge(2) and gate.acknowledge(1) and not gate.acknowledge(1)
    assert drain(gate) == [1, 2, 3]
    for number in range(4, 40):
        fill(gate, (number,))
        assert drain(gate) == [number]
    fill(gate, (50, 51))
    assert gate.close_input(END_OF_SPEECH) and not gate.drained()
    fill(gate, (52,))  # after the end nothing is added
    assert drain(gate) == [50, 51] and gate.drained()
    assert gate.state == IDLE and gate.last_reason == END_OF_SPEECH
    assert gate.sent_bytes == 320 * (3 + 36 + 2)


def test_no_preroll_by_default_and_a_bounded_one_on_request():
    gate = open_gate()
    fill(gate, range(1, 10))
    assert gate.wake(1) and gate.acknowledge(1) and drain(gate) == []
    gate = open_gate(preroll_ms=30)
    fill(gate, range(1, 10))
    assert gate.wake(1) and gate.acknowledge(1) and drain(gate) == [7, 8, 9]
    for preroll_ms, fits in ((500, True), (510, False)):
        try:
            Gate(preroll_ms=preroll_ms)
            assert fits
        except ValueError:
            assert not fits


def test_late_audio_ends_the_stream_at_the_limit():
    gate = open_gate(buffer_ms=50)
    gate.wake(1)
    gate.acknowledge(1)
    fill(gate, range(5))
    assert gate.state == STREAMING and gate.waiting_chunks == 5
    fill(gate, (6,))
    assert gate.state == IDLE and gate.last_reason == LATE and gate.dropped_chunks == 6


def test_without_consent_the_stream_ends_at_the_limit():
    gate = open_gate(buffer_ms=100, consent_ms=30)
    gate.wake(1)
    fill(gate, range(3))
    assert gate.state == STREAMING
    fill(gate, (4,))
    assert gate.state == IDLE and gate.last_reason == NO_CONSENT


def test_the_cap_ends_a_stream_and_lets_out_what_was_heard():
    gate = open_gate(buffer_ms=100, max_stream_ms=50)
    gate.wake(1)
    gate.acknowledge(1)
    fill(gate, range(1, 5))
    assert not gate.is_closing
    fill(gate, (5,))
    assert gate.is_closing and gate.last_reason == CAP
    fill(gate, (6,))
    assert drain(gate) == [1, 2, 3, 4, 5] and gate.drained()


def test_a_closing_stream_that_cannot_leave_is_dropped():
    gate = open_gate(buffer_ms=50)
    gate.wake(1)
    gate.acknowledge(1)
    fill(gate, (1, 2))
    gate.close_input(END_OF_SPEECH)
    fill(gate, range(4))
    assert gate.state == STREAMING
    fill(gate, (1,))
    assert gate.state == IDLE and gate.last_reason == LATE and drain(gate) == []


def test_mute_in_mid_stream_stops_within_the_chunk():
    for mute in (lambda g: g.mute(), lambda g: g.switch(True)):
        gate = open_gate()
        gate.wake(1)
        gate.acknowledge(1)
        fill(gate, (1, 2, 3))
        assert gate.take(OUT) == 320
        mute(gate)
        assert gate.state == MUTED and gate.take(OUT) == 0 and gate.dropped_chunks == 2
        fill(gate, (4,))
        assert gate.take(OUT) == 0 and not any(gate._outbox.buffer)


def test_the_switch_wins_over_the_button_and_a_soft_mute_outlives_it():
    gate = open_gate()
    gate.switch(True)
    assert gate.state == MUTED and not gate.unmute() and gate.state == MUTED
    gate.switch(False)
    assert gate.state == IDLE
    gate.mute()
    gate.switch(True)
    gate.switch(False)
    assert gate.state == MUTED and gate.unmute() and gate.state == IDLE


def test_hearing_and_taking_allocate_nothing():
    import micropython

    gate = open_gate(preroll_ms=30)
    chunk = bytes(320)
    micropython.heap_lock()
    for _ in range(5):
        gate.hear(chunk)
    gate.wake(1)
    gate.acknowledge(1)
    taken = 0
    for _ in range(20):
        gate.hear(chunk)
        taken += gate.take(OUT)
    micropython.heap_unlock()
    assert taken == 20 * 320


def test_it_is_muted_before_anybody_said_otherwise():
    gate = Gate()
    assert gate.muted and gate.soft_muted and not gate.switch_muted and gate.state == NOT_READY
    gate.switch(False)
    assert gate.muted and gate.state == NOT_READY
    gate.switch(True)
    assert gate.switch_muted


def test_what_is_not_said_has_the_stated_limits():
    gate = open_gate()
    gate.wake(1)
    fill(gate, [1] * 100)
    assert gate.state == STREAMING
    fill(gate, [1])
    assert gate.state == IDLE and gate.last_reason == NO_CONSENT
    gate.wake(2)
    gate.acknowledge(2)
    fill(gate, [1] * 101)
    assert gate.state == IDLE and gate.last_reason == LATE
    gate.wake(3)
    gate.acknowledge(3)
    for _ in range(1500):
        assert not gate.is_closing
        fill(gate, [1])
        drain(gate)
    assert gate.is_closing and gate.last_reason == CAP
    for buffer_ms, fits in ((510, True), (500, False)):
        try:
            Gate(buffer_ms=buffer_ms, preroll_ms=500)
            assert fits
        except ValueError:
            assert not fits


def test_a_second_stream_begins_afresh():
    gate = open_gate(buffer_ms=50, max_stream_ms=50, consent_ms=30)
    for stream in (1, 2, 3):
        assert gate.wake(stream) and gate.sent_bytes == 0 and not gate.may_take
        fill(gate, (1, 2, 3))
        assert drain(gate) == [] and gate.acknowledge(stream) and drain(gate) == [1, 2, 3]
        fill(gate, (4,))
        assert not gate.is_closing and drain(gate) == [4]
        gate.close_input(END_OF_SPEECH)
        assert gate.drained() and gate.sent_bytes == 4 * 320


def test_what_was_dropped_is_nowhere():
    from satellite import gate as module

    for end in (lambda g: g.mute(), lambda g: g.abort(NETWORK), lambda g: g.fault()):
        gate = open_gate(buffer_ms=100, preroll_ms=30)
        gate.wake(1)
        gate.abort(LATE)
        fill(gate, (1, 2, 3))
        gate.wake(2)
        fill(gate, (4, 5))
        end(gate)
        for buffer in (module._SINK, gate._outbox.buffer, gate._preroll.buffer):
            assert not any(buffer)
        assert gate.last_reason != LATE
    assert gate.last_reason == module.FAULT
