"""The speaker's kernels' machine code against their formulas, and what they cost."""

import struct

import numpy as np
import pytest

from host_tools.xtensa import speaker_cost
from host_tools.xtensa.compile import compile_firmware
from host_tools.xtensa.kernels import FIRMWARE

SATELLITE = FIRMWARE / "satellite"
EXTREMES = np.array([-32768, -32767, -1, 0, 1, 2, 16384, 32766, 32767], np.int16)


@pytest.mark.parametrize("gain_q15", (0, 1, 3, 11796, 16384, 32767, 32768))
def test_volume(machine, gain_q15):
    scale = machine.load(compile_firmware(SATELLITE / "volume.py"))["scale"]
    rng = np.random.default_rng(gain_q15)
    noise = rng.integers(-32768, 32768, 160, dtype=np.int16)
    for samples in (noise, np.resize(EXTREMES, 160)):
        for count in (0, 1, 3, 4, 157, 160):
            at = machine.alloc(samples.tobytes())
            machine.call(scale, at, 2 * count, gain_q15)
            want = samples.copy()
            want[:count] = speaker_cost.scaled(samples[:count], gain_q15)
            got = np.frombuffer(machine.read(at, 320), np.int16)
            assert np.array_equal(got, want), (gain_q15, count)
    if gain_q15 == 32768:
        assert np.array_equal(want, samples), "unity changes no sample"


@pytest.mark.parametrize(
    "words",
    (
        (0, 0, 0, 0, 0),
        (0, 3604, 0, (1 << 28) // 160, 0),
        (65535, 32767, 1 << 28, 0, (1 << 28) // 160),
        (0x4000, 0, 1 << 28, 0, 0),
        (0xC000, 0, 1 << 28, 0, 0),
    ),
)
def test_tone(machine, words):
    kernel = machine.load(compile_firmware(SATELLITE / "chimes.py"))["tone"]
    chunk, p = machine.alloc(320), machine.alloc(struct.pack("<5i", *words))
    for _ in range(2):
        machine.call(kernel, chunk, p)
        want, words = speaker_cost.tone(words)
        assert np.array_equal(np.frombuffer(machine.read(chunk, 320), np.int16), want)
        assert struct.unpack("<5i", machine.read(p, 20)) == words
        assert np.abs(want).max() <= 16384
        if words[2] + 160 * (words[3] - words[4]) not in range((1 << 28) + 1):
            break  # the caller changes the slope before the level leaves its range


def test_what_they_cost(qemu, figure):
    for name, count in speaker_cost.instructions_per_chunk().items():
        figure(f"{name}: {count:,} instructions per chunk")
        assert count < 20000


def test_a_wrong_kernel_has_no_figure(qemu, monkeypatch):
    monkeypatch.setattr(speaker_cost, "scaled", lambda samples, gain_q15: samples)
    with pytest.raises(speaker_cost.HostToolError):
        speaker_cost.instructions_per_chunk()
