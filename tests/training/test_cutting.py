"""A clip begins and ends with the speech, at one level; what is no speech gives none."""

import numpy as np
import pytest

from host_tools.training import clips, cutting


def tone(seconds, level=0.3):
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(16000 * seconds)) / 16000)).astype(
        "f4"
    )


def padded(*parts):
    return np.concatenate([np.zeros(8000, "f4"), *parts, np.zeros(12000, "f4")])


@pytest.mark.parametrize("level", [0.01, 0.3, 3.0])
def test_the_silence_is_cut_off_to_ten_milliseconds(level):
    samples = cutting.cut(padded(tone(0.5, level)), clips.WORD)
    assert samples.dtype == np.int16
    assert 0 <= len(samples) - 8000 <= 2 * 160
    assert np.abs(samples[-160:]).max() > 0.5 * np.abs(samples).max() or len(samples) > 8000
    assert np.abs(samples).max() == round(0.6 * 32767)


def test_a_pause_within_stays_and_a_faint_hum_around_does_not():
    sound = padded(tone(0.3), np.zeros(4000, "f4"), tone(0.3)) + 1e-4
    assert 0.85 <= len(cutting.cut(sound, clips.WORD)) / 16000 <= 0.87


@pytest.mark.parametrize(
    "sound",
    [
        np.zeros(16000, "f4"),
        np.zeros(0, "f4"),
        tone(0.5, 0.001),
        padded(tone(0.05)),
        tone(3.1),
        np.full(16000, np.nan, "f4"),
    ],
    ids=["silence", "nothing", "faint", "too short", "too long", "not a number"],
)
def test_what_is_no_word_gives_none(sound):
    assert cutting.cut(sound, clips.WORD) is None


def test_talk_may_last_longer_than_a_word():
    assert cutting.cut(tone(3.1), clips.TALK) is not None
    assert cutting.cut(tone(20.1), clips.TALK) is None
