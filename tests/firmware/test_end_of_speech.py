"""The end of speech on made-up slices: what counts as speech, when it ends, the limits."""

import micropython
from satellite.end_of_speech import EndOfSpeech

QUIET = bytes([15] * 40)
LOUD = bytes([70] * 40)
LOWER = bytes([30] * 40)
FULL = bytes([255] * 40)
SILENT = bytes(40)


def fed(endpoint, *parts):
    """After which slice `update` was first True, counting from 1; 0 for never."""
    count = 0
    for slice_, number in parts:
        for _ in range(number):
            count += 1
            if endpoint.update(slice_):
                return count
    return 0


def test_quiet_after_speech_ends_it():
    for quiet_ms in (300, 800, 3000):
        at = fed(EndOfSpeech(quiet_ms), (QUIET, 30), (LOUD, 100), (QUIET, 400))
        assert 130 + quiet_ms // 10 <= at <= 130 + quiet_ms // 10 + 45, (quiet_ms, at)


def test_a_pause_does_not_end_it():
    endpoint = EndOfSpeech()
    assert fed(endpoint, (LOUD, 100), (QUIET, 70), (LOUD, 20), (QUIET, 70), (LOUD, 20)) == 0
    assert endpoint.heard_speech


def test_without_speech_it_waits_and_then_ends():
    for slice_ in (QUIET, SILENT):
        endpoint = EndOfSpeech()
        assert fed(endpoint, (slice_, 1000)) == 500
        assert not endpoint.heard_speech
    assert fed(EndOfSpeech(wait_ms=800), (QUIET, 1000)) == 80


def test_the_end_of_the_wake_word_is_no_speech():
    endpoint = EndOfSpeech()
    assert fed(endpoint, (LOUD, 15), (QUIET, 300)) == 0
    assert not endpoint.heard_speech
    assert fed(endpoint, (LOUD, 60), (QUIET, 120)) > 0 and endpoint.heard_speech


def test_a_click_is_no_speech():
    endpoint = EndOfSpeech()
    assert fed(endpoint, (QUIET, 50), (FULL, 1), (QUIET, 100), (LOUD, 3), (QUIET, 100)) == 0
    assert not endpoint.heard_speech


def test_others_in_the_background_do_not_hold_it_open():
    endpoint = EndOfSpeech()
    for _ in range(6):
        assert fed(endpoint, (QUIET, 10), (LOUD, 20)) == 0
    at = fed(endpoint, (bytes([40] * 40), 300))
    assert endpoint.is_loud and 100 <= at <= 140, at


def test_steady_sound_becomes_the_floor():
    endpoint = EndOfSpeech()
    assert fed(endpoint, (LOWER, 1200)) == 0 or endpoint.heard_speech
    assert not endpoint.is_loud


def test_reset_begins_a_stream():
    endpoint = EndOfSpeech()
    assert fed(endpoint, (LOUD, 50), (QUIET, 500)) > 0
    endpoint.reset()
    assert not endpoint.heard_speech and not endpoint.is_loud
    assert fed(endpoint, (QUIET, 1000)) == 500


def test_the_limits_of_its_arguments():
    EndOfSpeech(300, 300)
    EndOfSpeech(3000, 3000)
    for arguments in ((299,), (3001,), (800, 790), (800, 5000, -1), (800, 5000, 0, -1)):
        try:
            EndOfSpeech(*arguments)
            raise RuntimeError(arguments)
        except ValueError:
            pass


def test_it_allocates_nothing_and_stays_a_small_integer():
    endpoint = EndOfSpeech()
    slices = (FULL, SILENT, LOUD, QUIET)
    micropython.heap_lock()
    try:
        for slice_ in slices:
            for _ in range(500):
                endpoint.update(slice_)
                assert -(1 << 23) < endpoint._level < 1 << 23
        endpoint.reset()
    finally:
        micropython.heap_unlock()
