"""The gate: what each event does, its limits, and what it leaves behind.

test_gate_promises.py holds the promises on every transition.
"""

from satellite.gate import (
    CAP,
    END_OF_SPEECH,
    IDLE,
    LATE,
    MUTED,
    NETWORK,
    NO_CONSENT,
    NO_SPEECH,
    NOT_READY,
    STREAMING,
    Gate,
)

CHUNK = bytearray(b"\xa5" * 320)
OUT = bytearray(320)


def open_gate(hold_ms=10, **settings):
    gate = Gate(hold_ms=hold_ms, **settings)
    assert gate.ready(False) and gate.state == IDLE
    return gate


def wake(gate, stream_id):
    """Hear the wake word, and at once somebody who speaks."""
    return gate.wake(stream_id) and gate.speech()


def fill(gate, numbers):
    for number in numbers:
        gate.hear(bytes([number]) * 320)


def drain(gate):
    taken = []
    while gate.take(OUT):
        taken.append(OUT[0])
    return taken


def test_a_stream_is_every_chunk_in_order():
    gate = open_gate(buffer_ms=40)
    assert wake(gate, 1) and not gate.wake(2) and not gate.speech()
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
    assert wake(gate, 1) and gate.acknowledge(1) and drain(gate) == []
    gate = open_gate(preroll_ms=30)
    fill(gate, range(1, 10))
    assert wake(gate, 1) and gate.acknowledge(1) and drain(gate) == [7, 8, 9]
    for preroll_ms, fits in ((500, True), (510, False)):
        try:
            Gate(preroll_ms=preroll_ms)
            assert fits
        except ValueError:
            assert not fits


def test_nothing_leaves_before_somebody_speaks():
    gate = open_gate(hold_ms=30, no_speech_ms=60)
    assert gate.wake(1) and gate.is_held
    assert not gate.acknowledge(1) and not gate.close_input(END_OF_SPEECH)
    fill(gate, range(1, 6))
    assert drain(gate) == [] and gate.waiting_chunks == 3
    assert gate.speech() and not gate.speech() and not gate.is_held
    assert gate.acknowledge(1)
    fill(gate, (6,))
    assert drain(gate) == [3, 4, 5, 6]  # the newest 30 ms before the speech, and what follows


def test_a_stream_without_speech_ends_having_sent_nothing():
    gate = open_gate(hold_ms=30, no_speech_ms=60)
    gate.wake(1)
    fill(gate, range(1, 7))
    assert gate.state == STREAMING
    fill(gate, (7,))
    assert gate.state == IDLE and gate.last_reason == NO_SPEECH
    assert gate.sent_bytes == 0 and gate.dropped_chunks == 0 and not any(gate._outbox.buffer)
    gate.wake(2)
    fill(gate, range(1, 7))
    assert gate.speech() and gate.state == STREAMING  # the limit is of each stream


def test_what_is_held_is_more_by_the_preroll():
    gate = open_gate(hold_ms=30, preroll_ms=20)
    fill(gate, range(1, 10))
    gate.wake(1)
    fill(gate, (10, 11))
    gate.speech()
    gate.acknowledge(1)
    assert drain(gate) == [8, 9, 10, 11]
    gate.abort(NETWORK)
    fill(gate, range(1, 10))
    gate.wake(1)
    fill(gate, range(10, 20))
    gate.speech()
    gate.acknowledge(1)
    assert drain(gate) == [15, 16, 17, 18, 19]


def test_the_cap_counts_what_was_held():
    gate = open_gate(hold_ms=30, max_stream_ms=50)
    gate.wake(1)
    fill(gate, range(20))
    gate.speech()
    gate.acknowledge(1)
    fill(gate, (20,))
    assert not gate.is_closing
    fill(gate, (21,))
    assert gate.is_closing and gate.last_reason == CAP
    assert drain(gate) == [17, 18, 19, 20, 21]


def test_the_limits_of_the_hold():
    for hold_ms, no_speech_ms, fits in (
        (10, 10, True),
        (500, 500, True),
        (0, 100, False),
        (510, 1000, False),
        (300, 290, False),
    ):
        try:
            Gate(hold_ms=hold_ms, no_speech_ms=no_speech_ms)
            assert fits
        except ValueError:
            assert not fits


def test_late_audio_ends_the_stream_at_the_limit():
    gate = open_gate(buffer_ms=40)
    wake(gate, 1)
    gate.acknowledge(1)
    fill(gate, range(5))
    assert gate.state == STREAMING and gate.waiting_chunks == 5
    fill(gate, (6,))
    assert gate.state == IDLE and gate.last_reason == LATE and gate.dropped_chunks == 6


def test_without_consent_the_stream_ends_at_the_limit():
    gate = open_gate(buffer_ms=90, consent_ms=30)
    wake(gate, 1)
    fill(gate, range(3))
    assert gate.state == STREAMING
    fill(gate, (4,))
    assert gate.state == IDLE and gate.last_reason == NO_CONSENT


def test_the_cap_ends_a_stream_and_lets_out_what_was_heard():
    gate = open_gate(buffer_ms=90, max_stream_ms=50)
    wake(gate, 1)
    gate.acknowledge(1)
    fill(gate, range(1, 5))
    assert not gate.is_closing
    fill(gate, (5,))
    assert gate.is_closing and gate.last_reason == CAP
    fill(gate, (6,))
    assert drain(gate) == [1, 2, 3, 4, 5] and gate.drained()


def test_a_closing_stream_that_cannot_leave_is_dropped():
    gate = open_gate(buffer_ms=40)
    wake(gate, 1)
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
        wake(gate, 1)
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
    wake(gate, 1)
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
    wake(gate, 1)
    fill(gate, [1] * 100)
    assert gate.state == STREAMING
    fill(gate, [1])
    assert gate.state == IDLE and gate.last_reason == NO_CONSENT
    wake(gate, 2)
    gate.acknowledge(2)
    fill(gate, [1] * 102)  # 1000 ms, and what was held
    assert gate.state == IDLE and gate.last_reason == LATE
    wake(gate, 3)
    gate.acknowledge(3)
    for _ in range(1500):
        assert not gate.is_closing
        fill(gate, [1])
        drain(gate)
    assert gate.is_closing and gate.last_reason == CAP
    for buffer_ms, fits in ((10, True), (0, False)):
        try:
            Gate(buffer_ms=buffer_ms, preroll_ms=500)
            assert fits
        except ValueError:
            assert not fits


def test_a_second_stream_begins_afresh():
    gate = open_gate(buffer_ms=40, max_stream_ms=50, consent_ms=30)
    for stream in (1, 2, 3):
        assert wake(gate, stream) and gate.sent_bytes == 0 and not gate.may_take
        fill(gate, (1, 2, 3))
        assert drain(gate) == [] and gate.acknowledge(stream) and drain(gate) == [1, 2, 3]
        fill(gate, (4,))
        assert not gate.is_closing and drain(gate) == [4]
        gate.close_input(END_OF_SPEECH)
        assert gate.drained() and gate.sent_bytes == 4 * 320


def test_what_was_dropped_is_nowhere():
    from satellite import gate as module

    for end in (lambda g: g.mute(), lambda g: g.abort(NETWORK), lambda g: g.fault()):
        gate = open_gate(buffer_ms=90, preroll_ms=30)
        wake(gate, 1)
        gate.abort(LATE)
        fill(gate, (1, 2, 3))
        wake(gate, 2)
        fill(gate, (4, 5))
        end(gate)
        for buffer in (gate._outbox.buffer, gate._preroll.buffer):
            assert not any(buffer)
        assert gate.last_reason != LATE
    assert gate.last_reason == module.FAULT
