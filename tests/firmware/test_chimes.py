"""The chimes: as long as their table, loud enough, without a click, and without allocation."""

from array import array

import micropython
from satellite.chimes import KINDS, NOTES, PEAK, Chime, length_ms


def played(kind):
    """All samples of a chime."""
    chime = Chime()
    chime.start(kind)
    chunk = array("h", bytes(320))
    samples = []
    while True:
        count = chime.fill(chunk)
        if not count:
            return samples
        assert count == 320
        samples.extend(chunk)


def crossings(samples):
    """How often the sign changes: twice the frequency."""
    signs = [v > 0 for v in samples if v]
    return sum(a != b for a, b in zip(signs, signs[1:]))


def test_each_kind_has_the_length_and_the_notes_of_its_table():
    assert set(KINDS) == {"timer", "error"}
    for kind in KINDS:
        samples = played(kind)
        assert len(samples) == 16 * length_ms(kind), kind
        at = 0
        for hz, ms in NOTES[kind]:
            note = samples[at : at + 16 * ms]
            at += 16 * ms
            assert ms % 10 == 0 and ms >= 20
            if hz == 0:
                assert not any(note)
            else:
                assert abs(crossings(note) - 2 * hz * ms / 1000) <= 3, (kind, hz)
                assert PEAK * 7 // 8 < max(note) <= PEAK and -PEAK <= min(note)


def test_a_note_begins_and_ends_at_nothing():
    """No step between two samples is larger than the steepest of its wave: 8 peaks a period."""
    for kind in KINDS:
        samples = [0] + played(kind) + [0]
        steepest = max(abs(b - a) for a, b in zip(samples, samples[1:]))
        hz = max(hz for hz, _ in NOTES[kind])
        assert steepest <= PEAK * 8 * hz // 16000 + 1, (kind, steepest)
        at = 1
        for _, ms in NOTES[kind]:
            at += 16 * ms
            assert abs(samples[at - 1]) < PEAK // 50, (kind, samples[at - 1])


def test_it_ends_and_can_be_ended_and_begun_again():
    chime = Chime()
    chunk = array("h", bytes(320))
    assert chime.fill(chunk) == 0, "nothing was started"
    chime.start("error")
    first = [chime.fill(chunk) and list(chunk) for _ in range(3)]
    chime.stop()
    assert chime.fill(chunk) == 0
    chime.start("error")
    assert [chime.fill(chunk) and list(chunk) for _ in range(3)] == first
    try:
        chime.start("doorbell")
        raise AssertionError("an unknown kind was taken")
    except ValueError:
        pass


def test_it_allocates_nothing():
    chime = Chime()
    chunk = bytearray(320)
    micropython.heap_lock()
    chime.start("timer")
    chunks = 0
    while chime.fill(chunk):
        chunks += 1
    micropython.heap_unlock()
    assert chunks == length_ms("timer") // 10
