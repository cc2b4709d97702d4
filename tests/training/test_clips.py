"""A clip comes back from its file as it was, in any player too; a damaged file is named."""

import wave

import numpy as np
import pytest

from host_tools.errors import HostToolError
from host_tools.training import clips
from host_tools.training.clips import Clip


def clip(length=1000, text="hey “Ernest”", seed=0):
    samples = np.random.default_rng(seed).integers(-32768, 32768, length).astype(np.int16)
    return Clip(
        samples, clips.WORD, text, "heɪɝnɪst", "kokoro", "af_sky:0.5+am_puck:0.5", 1.1, True
    )


@pytest.mark.parametrize("length, text", [(0, "hey"), (1, "heyy"), (999, "hey “Ernest”")])
def test_a_clip_comes_back_as_it_was(tmp_path, length, text):
    wanted = clip(length, text)
    clips.save(tmp_path, 7, wanted)
    (got,) = clips.load(tmp_path)
    assert np.array_equal(got.samples, wanted.samples) and got.samples.dtype == np.int16
    told = [name for name in vars(wanted) if name != "samples"]
    assert [getattr(got, name) for name in told] == [getattr(wanted, name) for name in told]


def test_a_player_can_play_it_and_the_same_clip_is_the_same_file(tmp_path):
    clips.save(tmp_path, 0, clip(321))
    clips.save(tmp_path, 1, clip(321))
    with wave.open(str(clips.path_of(tmp_path, 0))) as played:
        assert (played.getframerate(), played.getnchannels(), played.getnframes()) == (
            16000,
            1,
            321,
        )
        assert played.readframes(321) == clip(321).samples.tobytes()
    assert clips.path_of(tmp_path, 0).read_bytes() == clips.path_of(tmp_path, 1).read_bytes()


def test_clips_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 100000, 0):
        clips.save(tmp_path, number, clip(text=str(number)))
    assert [each.text for each in clips.load(tmp_path)] == ["0", "2", "10", "100000"]


@pytest.mark.parametrize("cut", [0, 11, 40, 200, -1, -2])
def test_a_damaged_file_is_named(tmp_path, cut):
    clips.save(tmp_path, 3, clip())
    path = clips.path_of(tmp_path, 3)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(HostToolError, match="000003.wav is not a clip of the training"):
        clips.load(tmp_path)


def test_somebody_elses_wav_is_refused(tmp_path):
    with wave.open(str(tmp_path / "000000.wav"), "wb") as other:
        other.setparams((1, 2, 16000, 0, "NONE", ""))
        other.writeframes(b"\0\0" * 100)
    with pytest.raises(HostToolError, match="not a clip of the training"):
        clips.load(tmp_path)
