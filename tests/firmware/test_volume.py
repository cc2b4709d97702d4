"""The speaker's volume: the kernel's formula, bit for bit, and the curve of the percentages."""

from array import array

import micropython
from satellite.volume import UNITY_Q15, gain_of, scale

SAMPLES = (-32768, -32767, -1, 0, 1, 2, 3, 16383, 16384, 32766, 32767)


def refuses(call, *arguments):
    try:
        call(*arguments)
    except ValueError:
        return True
    return False


def test_scaling_equals_its_formula_for_every_length():
    values = [SAMPLES[i * 7 % len(SAMPLES)] + i % 5 * (i % 3 - 1) for i in range(160)]
    values = [min(max(v, -32768), 32767) for v in values]
    for gain in (0, 1, 2, 3277, 16384, 20972, 32767, 32768):
        for count in (0, 1, 2, 3, 4, 5, 159, 160):
            chunk = array("h", values)
            scale(chunk, 2 * count, gain)
            want = [(v * gain + 16384) >> 15 for v in values[:count]] + values[count:]
            assert list(chunk) == want, (gain, count)


def test_unity_changes_nothing_and_zero_leaves_nothing():
    chunk = array("h", SAMPLES)
    scale(chunk, 2 * len(SAMPLES), UNITY_Q15)
    assert tuple(chunk) == SAMPLES
    scale(chunk, 2 * len(SAMPLES), 0)
    assert not any(chunk)


def test_the_curve_rises_from_silence_to_unity():
    gains = [gain_of(percent) for percent in range(101)]
    assert gains[0] == 0 and gains[100] == UNITY_Q15
    assert gains[50] == UNITY_Q15 // 4 and gains[10] == 328 and gains[1] == 3
    assert all(low < high for low, high in zip(gains, gains[1:]))
    assert refuses(gain_of, -1) and refuses(gain_of, 101)


def test_it_allocates_nothing():
    chunk = bytearray(b"\x34\x12" * 160)
    micropython.heap_lock()
    scale(chunk, 320, 11796)
    micropython.heap_unlock()
    assert chunk[0] | chunk[1] << 8 == (0x1234 * 11796 + 16384) >> 15
