"""Audio files of every kind reach the firmware as 16 kHz int16, or are refused."""

import struct

import numpy as np
import pytest
import soundfile
from scipy.signal import resample_poly

from host_tools.audio import files as audio
from host_tools.errors import HostToolError


def noise(samples, sigma=3000, seed=1):
    values = np.random.default_rng(seed).standard_normal(samples) * sigma
    return values.clip(-32768, 32767).astype(np.int16)


def tone(rate_hz, seconds=1.0, hz=440, level=0.5):
    return level * np.sin(2 * np.pi * hz * np.arange(round(rate_hz * seconds)) / rate_hz)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.aiff"])
def test_16_khz_mono_int16_passes_bit_for_bit(tmp_path, name):
    samples = noise(200_001, sigma=20000)
    samples[:3] = -32768, 32767, -1
    soundfile.write(tmp_path / name, samples, 16000, subtype="PCM_16")
    file = audio.open_audio(tmp_path / name)
    assert np.array_equal(audio.read(tmp_path / name), samples)
    assert file.notes == () and file.samples == samples.size
    assert [block.size for block in file.blocks()] == [80000, 80000, 40001]


@pytest.mark.parametrize("rate_hz", [4000, 8000, 11025, 16001, 22050, 44100, 48000, 96000])
def test_any_rate_in_blocks_equals_resampling_all_at_once(tmp_path, rate_hz):
    samples = noise(rate_hz * 12 + 17)
    soundfile.write(tmp_path / "a.wav", samples, rate_hz)
    file = audio.open_audio(tmp_path / "a.wav")
    common = np.gcd(rate_hz, 16000)
    want = resample_poly(samples / 32768, 16000 // common, rate_hz // common)
    want = np.clip(np.rint(want * 32768), -32768, 32767)
    got = audio.read(tmp_path / "a.wav")
    assert np.array_equal(got, want) and got.size == file.samples
    assert file.notes == (f"resampled from {rate_hz} Hz to 16000 Hz",)


def test_48_khz_stereo_keeps_its_tone_and_says_what_was_done(tmp_path):
    left = tone(48000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, np.zeros_like(left)], 1), 48000)
    got = audio.read(tmp_path / "a.wav") / 32768
    assert got.size == 16000
    assert np.abs(got - tone(16000, level=0.25))[200:-200].max() < 0.001
    notes = audio.open_audio(tmp_path / "a.wav").notes
    assert notes == ("mixed 2 channels down to one", "resampled from 48000 Hz to 16000 Hz")


@pytest.mark.parametrize(
    "subtype, tolerance",
    [("PCM_U8", 256), ("PCM_24", 0.51), ("PCM_32", 0.51), ("FLOAT", 0.51), ("ULAW", 700)],
)
def test_other_sample_formats_become_int16(tmp_path, subtype, tolerance):
    wave = tone(16000)
    soundfile.write(tmp_path / "a.wav", wave, 16000, subtype=subtype)
    assert np.abs(audio.read(tmp_path / "a.wav") - wave * 32768).max() <= tolerance
    (note,) = audio.open_audio(tmp_path / "a.wav").notes
    assert note.endswith("to 16 bit"), note


def test_float_beyond_full_scale_clips_and_does_not_wrap(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([1.5, -1.5, 1.0, 0.0]), 16000, subtype="FLOAT")
    assert audio.read(tmp_path / "a.wav").tolist() == [32767, -32768, 32767, 0]


def test_a_wav_written_to_a_pipe_is_read_to_its_end(tmp_path):
    samples = noise(1600)
    audio.write(tmp_path / "a.wav", samples)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[4:8] = data[40:44] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(data)
    assert np.array_equal(audio.read(tmp_path / "a.wav"), samples)


def whole_wav(tmp_path, rate_hz=16000, samples=16000):
    path = tmp_path / "whole.wav"
    soundfile.write(path, noise(samples), rate_hz)
    return path.read_bytes()


def wav_with_rate(tmp_path, rate_hz):
    data = bytearray(whole_wav(tmp_path))
    data[24:28] = struct.pack("<I", rate_hz)
    return bytes(data)


def float_wav(tmp_path, values):
    path = tmp_path / "float.wav"
    soundfile.write(path, np.array(values), 16000, subtype="FLOAT")
    return path.read_bytes()


def flac(tmp_path):
    path = tmp_path / "whole.flac"
    soundfile.write(path, noise(160_000), 16000)
    return path.read_bytes()


DAMAGED_FLAC_AT = slice(100_000, 100_400)
BAD_FILES = {
    "empty": (lambda tmp: b"", "the file is empty"),
    "text": (lambda tmp: b"this is no sound\n" * 50, "not readable as audio"),
    "zeros": (lambda tmp: bytes(5000), "not readable as audio"),
    "header cut": (lambda tmp: whole_wav(tmp)[:30], "damaged"),
    "audio cut": (lambda tmp: whole_wav(tmp)[:-2], "cut short, 31998 of 32000 bytes"),
    "no samples": (lambda tmp: whole_wav(tmp, samples=0), "no samples"),
    "rate 3999": (lambda tmp: wav_with_rate(tmp, 3999), "3999 Hz is out of range"),
    "rate 384001": (lambda tmp: wav_with_rate(tmp, 384001), "384001 Hz is out of range"),
    "rate huge": (lambda tmp: wav_with_rate(tmp, 2_000_000_000), "out of range"),
    "not a number": (lambda tmp: float_wav(tmp, [0.0, np.nan]), "not numbers"),
    "infinite": (lambda tmp: float_wav(tmp, [0.0, -np.inf]), "not numbers"),
    "flac cut": (lambda tmp: flac(tmp)[:70_000], "damaged|cut short"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files_are_refused(tmp_path, name):
    make, message = BAD_FILES[name]
    path = tmp_path / "bad.wav"
    path.write_bytes(make(tmp_path))
    with pytest.raises(HostToolError, match=message) as caught:
        audio.read(path)
    assert str(path) in caught.value.message and caught.value.hint


def test_damage_inside_a_flac_is_refused(tmp_path):
    data = bytearray(flac(tmp_path))
    data[DAMAGED_FLAC_AT] = bytes(400)
    (tmp_path / "bad.flac").write_bytes(data)
    with pytest.raises(HostToolError, match="damaged|cut short"):
        audio.read(tmp_path / "bad.flac")


def test_audio_that_ends_before_its_header_says_is_refused(tmp_path):
    soundfile.write(tmp_path / "a.mp3", noise(160_000), 16000)
    data = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "a.mp3").write_bytes(data[: len(data) // 2])
    with pytest.raises(HostToolError, match=r"cut short or damaged, \d\.\d+ of 10.00 s"):
        audio.read(tmp_path / "a.mp3")


def test_limits_hold_at_the_limit_and_one_past_it(tmp_path, monkeypatch):
    for rate_hz in (audio.MIN_RATE_HZ, audio.MAX_RATE_HZ):
        (tmp_path / "a.wav").write_bytes(wav_with_rate(tmp_path, rate_hz))
        assert audio.open_audio(tmp_path / "a.wav").rate_hz == rate_hz
    monkeypatch.setattr(audio, "MAX_DURATION_S", 1)
    (tmp_path / "a.wav").write_bytes(whole_wav(tmp_path, samples=16000))
    assert audio.open_audio(tmp_path / "a.wav").samples == 16000
    (tmp_path / "a.wav").write_bytes(whole_wav(tmp_path, samples=16001))
    with pytest.raises(HostToolError, match="too long"):
        audio.open_audio(tmp_path / "a.wav")
    for channels, is_read in ((audio.MAX_CHANNELS, True), (audio.MAX_CHANNELS + 1, False)):
        soundfile.write(tmp_path / "many.wav", np.zeros((9, channels)), 16000)
        if is_read:
            assert audio.open_audio(tmp_path / "many.wav").channels == channels
        else:
            with pytest.raises(HostToolError, match="65 channels"):
                audio.open_audio(tmp_path / "many.wav")


def test_missing_files_and_folders_are_named(tmp_path):
    with pytest.raises(HostToolError, match="no such file"):
        audio.open_audio(tmp_path / "none.wav")
    with pytest.raises(HostToolError, match="not a file"):
        audio.open_audio(tmp_path)
