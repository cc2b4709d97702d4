"""Recordings of the household: which are learned from, where the word is, what is refused."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is missing: make setup-train")

from host_tools.audio import files as audio
from host_tools.errors import HostToolError
from host_tools.training import household

RATE = 16000


def recording(number, *, silence_s=0.8, noise=30.0):
    """A "word" of 0.6 s with a short stop in it, in a quiet room, after a click."""
    rng = np.random.default_rng(number)
    word = rng.normal(0, 4000, int(0.6 * RATE)) * np.hanning(int(0.6 * RATE)).clip(0.2)
    word[4000:6000] = 0
    samples = rng.normal(0, noise, int((0.6 + 2 * silence_s) * RATE))
    at = int(silence_s * RATE)
    samples[at : at + len(word)] += word
    samples[800:816] += 8000  # a click
    return samples.clip(-32768, 32767).astype(np.int16), at + len(word)


def folder_of(path, numbers, name="{}.wav"):
    path.mkdir(exist_ok=True, parents=True)
    for number in numbers:
        audio.write(path / name.format(number), recording(number)[0])
    return path


def heard(path):
    """The samples of a recording."""
    return np.concatenate(list(audio.open_audio(str(path)).blocks())).tobytes()


def test_nine_recordings_are_enough_and_eight_are_not(tmp_path):
    found = household.read(folder_of(tmp_path / "nine", range(9)))
    assert (found.count, len(found.learned), len(found.measured), found.unclear) == (9, 6, 3, 0)
    assert str(found) == ("of 9 recordings of your household, 6 were learned from, 3 are measured")
    folder_of(tmp_path / "eight", range(8))
    with pytest.raises(HostToolError, match="needs 9 different recordings, .*eight has 8"):
        household.read(tmp_path / "eight")
    folder_of(tmp_path / "eight", range(8), "again {}.wav")  # the same ones by another name
    with pytest.raises(HostToolError, match="has 8"):
        household.read(tmp_path / "eight")


def test_a_recording_is_divided_by_what_is_heard_in_it(tmp_path):
    first = household.read(folder_of(tmp_path / "a", range(12)))
    turned = tmp_path / "b"
    folder_of(turned / "deeper", range(6), "z{}.wav")
    folder_of(turned, range(11, 5, -1), "a {}.wav")
    second = household.read(turned)
    assert first.as_json() == second.as_json() and len(first.measured) == 4
    measured = [{each.samples.tobytes() for each in found.measured} for found in (first, second)]
    assert measured[0] == measured[1] == {heard(each.path) for each in first.measured}
    assert {word.tobytes() for word in first.learned} == {
        word.tobytes() for word in second.learned
    }
    words = [household.word_in(each.samples) for each in first.measured]
    assert not {w.tobytes() for w in words} & {w.tobytes() for w in first.learned}


@pytest.mark.parametrize("noise", [2.0, 30.0, 200.0])
def test_the_word_is_cut_at_its_end(noise):
    for number in range(4):
        samples, end = recording(number, noise=noise)
        word = household.word_in(samples)
        whole = np.correlate(samples.astype(float), word[-2000:].astype(float), "valid")
        found_end = int(np.abs(whole).argmax()) + 2000
        assert abs(found_end - end) < 0.08 * RATE, (found_end, end)
        assert 0.4 * RATE < len(word) < 0.7 * RATE, "the click, or only a part"


def test_half_of_a_word_is_not_taken_for_it_and_an_offset_changes_nothing():
    samples, end = recording(3)
    word = household.word_in(samples)
    assert len(household.word_in(samples + np.int16(2000))) == pytest.approx(len(word), abs=480)
    for pause_s, is_clear in ((0.2, True), (0.5, False)):
        said = samples[: end + 1600]
        pause = np.zeros(max(0, int(pause_s * RATE) - 1600), np.int16)
        twice = np.concatenate([said, pause, samples[end - int(0.6 * RATE) :]])
        found = household.word_in(twice)
        assert (found is not None) == is_clear, pause_s
        assert found is None or len(found) > 1.2 * RATE


def test_recordings_without_a_clear_word_are_counted_and_too_many_refused(tmp_path):
    folder_of(tmp_path, range(9))
    found = household.read(tmp_path)
    flat = np.random.default_rng(0).normal(0, 3000, RATE).astype(np.int16)
    assert household.word_in(flat) is None and household.word_in(flat[:100]) is None
    assert household.word_in(np.zeros(RATE, np.int16)) is None
    assert household.word_in(np.tile(recording(1)[0], 10)) is None, "not one word"
    (path,) = [
        path
        for path in sorted(tmp_path.iterdir())
        if household.word_in(np.frombuffer(heard(path), np.int16)).tobytes()
        == found.learned[0].tobytes()
    ]
    for number in range(20):  # until the hash is again one of those to be learned from
        audio.write(path, np.random.default_rng(number).normal(0, 3000, RATE).astype(np.int16))
        try:
            household.read(tmp_path)
        except HostToolError as error:
            assert "stands out in only 5 of 6 recordings" in str(error)
            assert f"not in {path.name}" in str(error)
            break
    else:
        raise AssertionError("a recording without a word was learned from")
    more = household.read(folder_of(tmp_path, range(20, 26)))
    assert more.count == 15 and len(more.measured) == 5
    assert (more.unclear == 1) == ("in 1 the word does not stand out" in str(more))
