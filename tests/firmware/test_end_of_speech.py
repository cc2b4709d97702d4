"""The end of speech on made-up slices and chunks: what counts as speech, when it ends, limits."""

import struct

import micropython
from satellite.end_of_speech import EndOfSpeech, loudness


def square(amplitude):
    """A chunk of 500 Hz."""
    return struct.pack("<160h", *[amplitude if i // 16 % 2 else -amplitude for i in range(160)])


#: (slice, chunk): changing or steady, at a loudness.
SPEECH = (bytes([70] * 40), square(6000))
FAR_SPEECH = (bytes([70] * 40), square(1060))  # 15 dB below
FAINT_SPEECH = (bytes([70] * 40), square(600))  # 20 dB below
HUM = (bytes([15] * 40), square(5000))  # loud, and steady
QUIET = (bytes([15] * 40), square(3))
FULL = (bytes([255] * 40), square(32767))
SILENT = (bytes(40), bytes(320))
#: The wake word, and the second in which its loudness fades.
WAKE_WORD = ((QUIET, 100), (SPEECH, 60))
FADED = (QUIET, 15)


def feed(end_of_speech, *parts):
    """After which step `update` was first True, counting from 1; 0 for never."""
    steps = 0
    for (features, chunk), count in parts:
        for _ in range(count):
            steps += 1
            if end_of_speech.update(features, chunk):
                return steps
    return 0


def woken(*arguments):
    """One that has just heard its wake word."""
    end_of_speech = EndOfSpeech(*arguments)
    assert feed(end_of_speech, *WAKE_WORD, FADED) == 0
    end_of_speech.begin()
    return end_of_speech


def test_loudness_is_its_formula():
    chunks = [[0] * 160, [1] * 160, [-32768] * 160, [32767, -32768] * 80, [-32768, 32767] * 80]
    chunks.append([(i * 7919 + i * i * 31) % 65536 - 32768 for i in range(160)])
    chunks.append([0x4000] + [0] * 159)
    for samples in chunks:
        got = loudness(struct.pack("<160h", *samples))
        want = sum(abs(x) for x in samples)
        want += sum(abs(samples[i] - samples[i - 1]) for i in range(1, 160))
        assert got == want < 1 << 24, (samples[:4], got, want)


def test_nothing_ends_before_somebody_speaks():
    for sound in (QUIET, SILENT, HUM, FAINT_SPEECH):
        end_of_speech = woken()
        assert feed(end_of_speech, (QUIET, 30), (sound, 1000)) == 0
        assert not end_of_speech.heard_speech, sound


def test_speech_is_found_at_once():
    for pause in (0, 5, 50, 200):
        end_of_speech = woken()
        feed(end_of_speech, (QUIET, pause), (SPEECH, 16))
        assert end_of_speech.heard_speech, pause
    end_of_speech = woken()
    feed(end_of_speech, (QUIET, 50), (SPEECH, 5))
    assert not end_of_speech.heard_speech


def test_quiet_after_speech_ends_it():
    for quiet_ms in (300, 800, 3000):
        at = feed(woken(quiet_ms), (QUIET, 30), (SPEECH, 100), (QUIET, 400))
        assert 130 + quiet_ms // 10 <= at <= 130 + quiet_ms // 10 + 35, (quiet_ms, at)


def test_a_pause_does_not_end_it():
    end_of_speech = woken()
    parts = (SPEECH, 100), (QUIET, 70), (SPEECH, 20), (QUIET, 70), (SPEECH, 20)
    assert feed(end_of_speech, *parts) == 0 and end_of_speech.heard_speech


def test_a_quiet_last_word_is_waited_for():
    quieter = (bytes([70] * 40), square(3000))  # 6 dB below
    at = feed(woken(), (SPEECH, 100), (QUIET, 70), (quieter, 30), (QUIET, 400))
    assert at >= 200 + 80, at


def test_talk_far_below_does_not_hold_it_open():
    for other in (FAR_SPEECH, FAINT_SPEECH):
        end_of_speech = woken()
        at = feed(end_of_speech, (FAINT_SPEECH, 30), (SPEECH, 100), (other, 1400))
        assert end_of_speech.heard_speech and 130 + 80 <= at <= 130 + 150, (other, at)


def test_a_peak_in_a_lull_does_not_begin_it_anew():
    end_of_speech = woken()
    peaks = ((FAR_SPEECH, 90), (SPEECH, 1)) * 5
    at = feed(end_of_speech, (SPEECH, 100), *peaks)
    assert 100 + 115 <= at <= 100 + 260, at


def test_steady_sound_ends_it():
    at = feed(woken(), (SPEECH, 100), (HUM, 400))
    assert 100 + 80 <= at <= 100 + 150, at


def test_the_end_of_the_wake_word_is_no_speech():
    end_of_speech = EndOfSpeech()
    feed(end_of_speech, *WAKE_WORD)
    feed(end_of_speech, (QUIET, 9))  # a detection comes 90 ms after the word, or later
    end_of_speech.begin()
    assert feed(end_of_speech, (QUIET, 300)) == 0 and not end_of_speech.heard_speech


def test_a_click_is_no_speech():
    end_of_speech = woken()
    feed(end_of_speech, (QUIET, 50), (SPEECH, 1), (QUIET, 100), (SPEECH, 2), (QUIET, 100))
    assert not end_of_speech.heard_speech


def test_each_stream_begins_anew_and_the_speaker_is_forgotten():
    end_of_speech = woken()
    assert feed(end_of_speech, (SPEECH, 50), (QUIET, 500)) > 0
    end_of_speech.begin()
    assert not end_of_speech.heard_speech
    assert feed(end_of_speech, (QUIET, 1000)) == 0
    # Who speaks low is heard, when nobody has spoken louder of late.
    feed(end_of_speech, (FAR_SPEECH, 60))
    end_of_speech.begin()
    feed(end_of_speech, (QUIET, 20), (FAR_SPEECH, 20))
    assert end_of_speech.heard_speech
    end_of_speech = woken()
    end_of_speech.reset()  # the microphone was off
    feed(end_of_speech, (QUIET, 20), (FAR_SPEECH, 20))
    assert end_of_speech.heard_speech


def test_the_limits_of_its_arguments():
    EndOfSpeech(300)
    EndOfSpeech(3000, 0, 0)
    for arguments in ((299,), (3001,), (800, -1), (800, 60, -1)):
        try:
            EndOfSpeech(*arguments)
            raise RuntimeError(arguments)
        except ValueError:
            pass


def test_it_allocates_nothing_and_stays_a_small_integer():
    end_of_speech = EndOfSpeech()
    sounds = (FULL, SILENT, SPEECH, QUIET, HUM)
    micropython.heap_lock()
    try:
        for _ in range(2):
            for features, chunk in sounds:
                for _ in range(300):
                    end_of_speech.update(features, chunk)
                    assert 0 <= end_of_speech._words[0] < 1 << 24
                    assert 0 <= end_of_speech._words[2] < 1 << 20
            end_of_speech.begin()
        end_of_speech.reset()
    finally:
        micropython.heap_unlock()
