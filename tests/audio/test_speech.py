"""Speech for tests and demo: the same samples every time, clear refusals."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from host_tools.audio import speech
from host_tools.errors import HostToolError

PRINT_HASH = """
import hashlib
from host_tools.audio import speech
for text in {texts!r}:
    print(hashlib.sha256(speech.synthesise(text).tobytes()).hexdigest())
"""


def hashes_in_a_new_process(*texts):
    command = [sys.executable, "-c", PRINT_HASH.format(texts=texts)]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.split()


def test_same_words_are_the_same_samples_in_any_order_and_process():
    here = hashlib.sha256(speech.synthesise("okay naboo").tobytes()).hexdigest()
    first, other = hashes_in_a_new_process("okay naboo", "good morning")
    later, again = hashes_in_a_new_process("good morning", "okay naboo")
    assert first == again == here
    assert other == later != here


def test_speech_is_int16_at_16_khz_and_audible():
    samples = speech.synthesise("okay naboo")
    assert samples.dtype == np.int16 and samples.ndim == 1
    assert 0.6 < samples.size / 16000 < 1.6
    assert 3000 < np.abs(samples.astype(int)).max() <= 32767


def test_slower_is_longer_and_another_voice_is_another_sound():
    normal = speech.synthesise("what time is it")
    assert speech.synthesise("what time is it", words_per_minute=90).size > 1.2 * normal.size
    assert not np.array_equal(speech.synthesise("what time is it", voice="en-us+f3"), normal)
    assert not np.array_equal(speech.synthesise("what time is it", pitch=80), normal)


def test_silence_around_speech():
    word = np.array([5, -6, 7], np.int16)
    padded = speech.pad(word, before_s=0.5, after_s=0.25)
    assert padded.dtype == np.int16 and padded.size == 8000 + 3 + 4000
    assert padded[8000:8003].tolist() == [5, -6, 7] and not padded[:8000].any()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"text": ""}, "nothing to say"),
        ({"text": " \n"}, "nothing to say"),
        ({"text": "a\0b"}, "nothing to say"),
        ({"text": "a" * (speech.MAX_TEXT_BYTES + 1)}, "nothing to say"),
        ({"text": "a", "voice": "martian"}, "no voice named 'martian'"),
        ({"text": "a", "words_per_minute": 79}, "79 words per minute"),
        ({"text": "a", "words_per_minute": 451}, "451 words per minute"),
        ({"text": "a", "pitch": 100}, "pitch 100"),
        ({"text": "a", "pitch": -1}, "pitch -1"),
    ],
)
def test_bad_requests_are_refused(arguments, message):
    with pytest.raises(HostToolError) as caught:
        speech.synthesise(**arguments)
    assert message in caught.value.message and caught.value.hint


def test_lines_are_pronounced_alike_together_and_alone():
    lines = ["Alexa", "", "what time is it? It is nine", "hey\ncomputer", "Größe"]
    together = speech.pronounce(lines)
    assert together[:3] == ["ɐlˈɛksə", "", "wˌʌt tˈa^ɪm ɪz ɪt, ɪɾ ɪz nˈa^ɪn"]
    assert together[3] == "hˈe^ɪ kəmpjˈuːɾɚ"
    assert together == [speech.pronounce([line])[0] for line in lines]
    assert speech.pronounce([]) == []


def test_an_accent_says_it_its_own_way_and_a_missing_one_is_named():
    assert speech.pronounce(["computer"], "en-gb-x-rp") == ["kəmpjˈuːtɐ"]
    words, accents = ["computer", "earnest"], ["en-gb-scotland", "en-us", "en-gb-x-rp"]
    assert speech.pronounce_all(words, accents) == [speech.pronounce(words, a) for a in accents]
    with pytest.raises(HostToolError, match="no voice named 'xx'"):
        speech.pronounce(["computer"], "xx")
    with pytest.raises(HostToolError, match="zero character"):
        speech.pronounce(["a\0b"])
