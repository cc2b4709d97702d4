"""Microphone effects: their sizes, their order, and the same bytes for the same seed."""

import numpy as np
import pytest

from host_tools.audio.effects import Drop, Microphone, Noise, parse_drop, rms
from host_tools.errors import HostToolError

SOUND = (np.sin(np.arange(48000) / 7) * 8000).astype(np.int16)


def through(microphone, samples=SOUND, block=80000):
    blocks = [samples[i : i + block] for i in range(0, samples.size, block)]
    return np.concatenate(list(microphone.apply(blocks, rms(blocks))))


def test_no_effect_is_untouched():
    samples = np.array([-32768, 32767, 0, -1, 1], np.int16)
    assert np.array_equal(through(Microphone(), samples), samples)
    assert Microphone().describe() == ""


def test_gain_offset_and_clip_in_this_order():
    samples = np.array([1000, -1000, 20000, -20000, 0], np.int16)
    assert through(Microphone(gain_db=20 * np.log10(2)), samples).tolist() == [
        2000,
        -2000,
        32767,
        -32768,
        0,
    ]
    assert through(Microphone(dc=-5), samples).tolist() == [995, -1005, 19995, -20005, -5]
    got = through(Microphone(gain_db=20 * np.log10(2), dc=100, clip=2050), samples)
    assert got.tolist() == [2050, -1900, 2050, -2050, 100]


@pytest.mark.parametrize("colour", ["white", "pink"])
@pytest.mark.parametrize("snr_db", [20.0, 3.0])
def test_noise_has_the_level_asked_for(colour, snr_db):
    noisy = through(Microphone(noise_snr_db=snr_db, noise_colour=colour, seed=3))
    noise_rms = np.std(noisy.astype(float) - SOUND)
    assert abs(20 * np.log10(rms([SOUND]) / noise_rms) - snr_db) < 0.5


def test_pink_noise_falls_3_db_an_octave_and_white_does_not():
    for colour, want_db in (("white", 0.0), ("pink", -3.0)):
        values = Noise(colour, 5).next(1 << 18)
        power = np.abs(np.fft.rfft(values)) ** 2
        hz = np.fft.rfftfreq(values.size, 1 / 16000)
        levels = [
            10 * np.log10(power[(hz >= low) & (hz < low * 2)].mean())
            for low in (125, 250, 500, 1000, 2000)
        ]
        assert abs(np.diff(levels).mean() - want_db) < 0.4, (colour, levels)
        assert abs(np.square(values).mean() - 1) < 0.1, colour


@pytest.mark.parametrize("colour", ["white", "pink"])
def test_the_same_seed_is_the_same_bytes_however_it_is_cut(colour):
    microphone = Microphone(
        gain_db=3.5, noise_snr_db=10, noise_colour=colour, drops=(Drop(64, 1500),), seed=9
    )
    whole = through(microphone)
    assert whole.tobytes() == through(microphone, block=997).tobytes()
    other = Microphone(
        gain_db=3.5, noise_snr_db=10, noise_colour=colour, drops=(Drop(64, 1500),), seed=10
    )
    assert whole.tobytes() != through(other).tobytes()


def test_lost_buffers_are_gone():
    samples = np.arange(16000, dtype=np.int16)
    drops = (Drop(10, 100), Drop(20, 105), Drop(5000, 900))
    got = through(Microphone(drops=drops), samples, block=333)
    lost = set(range(1600, 1760)) | set(range(1680, 2000)) | set(range(14400, 16000))
    assert got.tolist() == [i for i in range(16000) if i not in lost]


def test_the_words_name_every_effect():
    microphone = Microphone(6, 12.5, "pink", -40, 9000, (Drop(64, 1500),), 7)
    assert microphone.describe() == (
        "pink noise at 12.5 dB SNR (seed 7), gain +6 dB, offset -40, clipped at 9000, "
        "64 ms lost at 1500 ms"
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"gain_db": 120.1},
        {"gain_db": float("nan")},
        {"noise_snr_db": -121.0},
        {"noise_colour": "brown"},
        {"dc": 32768},
        {"clip": 0},
        {"clip": 32768},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(HostToolError) as caught:
        Microphone(**settings)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "64", "@", "64@", "@5", "0@5", "-1@5", "1.5@2", "1@2@3"])
def test_a_drop_is_ms_at_ms(text):
    assert parse_drop("64@1500") == Drop(64, 1500)
    with pytest.raises(HostToolError, match="MS@MS"):
        parse_drop(text)


def test_noise_relative_to_silence_is_refused():
    with pytest.raises(HostToolError, match="digital silence"):
        through(Microphone(noise_snr_db=10), np.zeros(1600, np.int16))


def test_losses_are_where_the_remaining_audio_goes_on():
    drops = (Drop(20, 100), Drop(30, 40), Drop(50, 110))
    assert Microphone(drops=drops).losses() == [(640, 30), (1120, 20), (1120, 40)]
    samples = np.arange(16 * 200, dtype=np.int16)
    (left,) = [np.concatenate(list(Microphone(drops=drops).apply([samples], 0.0)))]
    assert left[639] == 639 and left[640] == 70 * 16 and left[1120] == 160 * 16
