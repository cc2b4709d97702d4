"""The drivers' kernels' machine code against plain Python, and what they cost."""

import random
import struct

import pytest

from host_tools.xtensa.compile import compile_firmware
from host_tools.xtensa.kernels import FIRMWARE
from host_tools.xtensa.machine import XtensaMachine

DRIVERS = FIRMWARE / "drivers"
SAMPLES, BIAS = 160, 1 << 29
TESTED = {
    "pcm": {"convert", "clear_words", "is_within"},
    "pcm_xtensa": {"convert"},
    "i2s_speaker": {"copy_chunk"},
    "overruns": {"empty", "took"},
}
SATELLITE = FIRMWARE / "satellite"


def load(machine):
    """{file: {name: Function}} of every driver that has machine code."""
    modules = {path.stem: machine.load(compile_firmware(path)) for path in DRIVERS.glob("*.py")}
    return {name: functions for name, functions in modules.items() if functions}


def test_every_driver_kernel_has_a_test_here(machine):
    assert {name: set(functions) for name, functions in load(machine).items()} == TESTED


def reference(words, channel, shift, gain_q4, dc):
    """(samples, dc, low, high, clamped) by the formula that stands at the kernel."""
    out, clamped = [], 0
    chosen = [word >> shift for word in words[channel::2]]
    for v in chosen:
        y = v - (dc >> 9)
        dc += y
        scaled = y * gain_q4 >> 4
        sample = min(max(scaled, -32768), 32767)
        clamped += sample != scaled
        assert abs(dc) <= (1 << 28) + 512 and abs(y * gain_q4) < 1 << 29
        out.append(sample)
    return out, dc, min(chosen), max(chosen), clamped


def inputs():
    """Chunks of 320 signed words: noise of every loudness, rails, steps from rail to rail."""
    rng = random.Random(11)
    for bits in (31, 24, 16, 8):
        yield [rng.randrange(-(1 << bits), 1 << bits) for _ in range(2 * SAMPLES)]
    top, bottom = (1 << 31) - 1, -(1 << 31)
    for word in (top, bottom, 0, -1):
        yield [word] * (2 * SAMPLES)
    yield [top, bottom] * SAMPLES
    yield [top, top, bottom, bottom] * (SAMPLES // 2)


@pytest.mark.parametrize("module", ("pcm", "pcm_xtensa"))
@pytest.mark.parametrize("channel", (0, 1))
@pytest.mark.parametrize("shift, gain_q4", ((12, 255), (12, 1), (14, 16), (15, 17)))
def test_convert(machine, module, channel, shift, gain_q4):
    convert = load(machine)[module]["convert"]
    out_at = machine.alloc(2 * SAMPLES)
    state = (SAMPLES, channel, shift, gain_q4, BIAS, 0, 0, 0)
    p_at = machine.alloc(struct.pack("<8i", *state))
    dc = 0
    for words in inputs():
        raw_at = machine.alloc(struct.pack(f"<{2 * SAMPLES}i", *words))
        for _ in range(3):
            machine.call(convert, raw_at, out_at, p_at)
            want, dc, low, high, clamped = reference(words, channel, shift, gain_q4, dc)
            got = struct.unpack(f"<{SAMPLES}h", machine.read(out_at, 2 * SAMPLES))
            assert list(got) == want
            p = struct.unpack("<8i", machine.read(p_at, 32))
            assert p == (*state[:4], dc + BIAS, low + BIAS, high + BIAS, clamped)


@pytest.mark.parametrize("module, most", (("pcm", 20000), ("pcm_xtensa", 2800)))
def test_convert_costs_little(qemu, module, most):
    with XtensaMachine(count=True) as machine:
        convert = load(machine)[module]["convert"]
        rng = random.Random(3)
        words = [rng.randrange(-(1 << 27), 1 << 27) for _ in range(2 * SAMPLES)]
        raw_at = machine.alloc(struct.pack(f"<{2 * SAMPLES}i", *words))
        out_at = machine.alloc(2 * SAMPLES)
        p_at = machine.alloc(struct.pack("<8i", SAMPLES, 0, 14, 16, BIAS, 0, 0, 0))
        machine.call(convert, raw_at, out_at, p_at)
    ((name, instructions),) = machine.counts()
    assert name == "convert" and instructions < most, instructions


def test_within(machine):
    """Moved, within +-half, unclamped."""
    kernel = load(machine)["pcm"]["is_within"]
    half = 1 << 16
    for low in (-half - 1, -half, -5, 0, half - 1):
        for high in (-half, -5, 0, half - 1, half):
            for clamped in (0, 1):
                state = (SAMPLES, 0, 14, 16, BIAS, low + BIAS, high + BIAS, clamped)
                want = -half <= low != high < half and not clamped
                assert (
                    machine.call(kernel, machine.alloc(struct.pack("<8i", *state)), half) == want
                )


def test_the_ring_on_the_chip(machine):
    """Behind is the time since the ring was empty, less what was taken; overruns start afresh."""
    kernels = load(machine)["overruns"]
    at = machine.alloc(struct.pack("<5i", 240, 1 << 16, 0, 0, 0))
    rng = random.Random(2)
    now_ms = empty_ms = samples = overruns = worst = 0
    for _ in range(500):
        now_ms += rng.choice((1, 9, 10, 11, 60))
        if rng.random() < 0.1:
            empty_ms, samples = now_ms - rng.randrange(10), 0
            machine.call(kernels["empty"], at, empty_ms)
            continue
        behind = now_ms - empty_ms - samples // 16
        worst = max(worst, behind)
        samples += 160
        is_lost = behind >= 240
        if is_lost:
            overruns, empty_ms, samples = overruns + 1, now_ms - 240, 160
        assert machine.call(kernels["took"], at, 160, now_ms) == is_lost
        words = struct.unpack("<5i", machine.read(at, 20))
        assert words == (240, empty_ms + (1 << 16), samples, overruns, worst)
    assert overruns > 5


def test_copy(machine):
    data = random.Random(4).randbytes(320)
    source, target = machine.alloc(data), machine.alloc(320)
    machine.call(load(machine)["i2s_speaker"]["copy_chunk"], source, target)
    assert machine.read(target, 320) == data == machine.read(source, 320)


@pytest.mark.parametrize("module", ("end_of_speech.py", "end_of_speech_xtensa.py"))
def test_loudness(machine, module):
    """The satellite's kernel of the end of speech: its formula, in 24 bits."""
    kernel = machine.load(compile_firmware(SATELLITE / module))["loudness"]
    rng = random.Random(12)
    chunks = [[rng.randrange(-(1 << bits), 1 << bits) for _ in range(160)] for bits in (15, 8, 2)]
    chunks += [[0] * 160, [-32768] * 160, [32767, -32768] * 80]
    for samples in chunks:
        want = sum(abs(x) for x in samples)
        want += sum(abs(samples[i] - samples[i - 1]) for i in range(1, 160))
        got = machine.call(kernel, machine.alloc(struct.pack("<160h", *samples)))
        assert got == want < 1 << 24, (samples[:3], got, want)


@pytest.mark.parametrize(
    "module, most", (("end_of_speech.py", 8000), ("end_of_speech_xtensa.py", 1350))
)
def test_loudness_costs_little(qemu, module, most):
    with XtensaMachine(count=True) as machine:
        kernel = machine.load(compile_firmware(SATELLITE / module))["loudness"]
        machine.call(kernel, machine.alloc(struct.pack("<160h", *[-5, 7] * 80)))
    ((name, instructions),) = machine.counts()
    assert name == "loudness" and instructions < most, instructions


def test_the_sum_of_a_slice(machine):
    kernel = machine.load(compile_firmware(SATELLITE / "end_of_speech.py"))["slice_sum"]
    for data in (bytes(40), b"\xff" * 40, random.Random(3).randbytes(40)):
        assert machine.call(kernel, machine.alloc(data)) == sum(data)


def followed(words, heard, sixteenths):
    """One step by the formula that stands at the kernel."""
    loudness, loudest, change, floor, is_changing, steady = words
    loudness += (heard - loudness) >> (2 if heard > loudness else 4)
    loudest = loudness if loudness > loudest else loudest - (loudest >> 7)
    change += (sixteenths - change) >> (3 if sixteenths > change else 4)
    floor += (change - floor) >> (4 if change < floor else 9)
    floor = min(max(floor, 200 << 4), 1500 << 4)
    is_changing = change > floor + ((300 if is_changing else 500) << 4)
    steady = 0 if is_changing else min(steady + 1, 1 << 20)
    return [loudness, loudest, change, floor, int(is_changing), steady]


def test_following_the_sound(machine):
    kernel = machine.load(compile_firmware(SATELLITE / "end_of_speech.py"))["follow"]
    rng = random.Random(8)
    words = [0, 0, 9600, 9600, 0, (1 << 20) - 2]
    at = machine.alloc(struct.pack("<6i", *words))
    changing = 0
    for step in range(400):
        loud = step // 50 % 2
        heard = rng.randrange(15_700_000 if loud else 2000)
        sixteenths = rng.randrange(10200 if loud else 900) << 4
        machine.call(kernel, at, heard, sixteenths)
        words = followed(words, heard, sixteenths)
        assert list(struct.unpack("<6i", machine.read(at, 24))) == words, step
        changing += words[4]
    assert 100 < changing < 350
