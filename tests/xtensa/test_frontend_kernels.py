"""The front end's machine code, stage by stage, against plain integers; extremes and random."""

import random
import runpy
import struct

import numpy as np
import pytest

from host_tools.micropython import FIRMWARE
from host_tools.models import reference as oracle
from host_tools.xtensa.kernels import kernel_modules
from tests.xtensa import frontend_oracles as stages

K = "wakeword.frontend.kernels."
TESTED = {"window", "fft", "energies", "filter_bank", "compress"}
TABLES = runpy.run_path(str(FIRMWARE / "wakeword" / "frontend" / "tables.py"))
MAX_ENERGY = 2 * 32767**2
SAMPLES = {
    "lowest": lambda rng, n: [-32768] * n,
    "highest": lambda rng, n: [32767] * n,
    "silence": lambda rng, n: [0] * n,
    "rails": lambda rng, n: [rng.choice((-32768, 32767)) for _ in range(n)],
    "impulses": lambda rng, n: [-32768 if i % 97 == 40 else 5 for i in range(n)],
    "quiet": lambda rng, n: [rng.randrange(-3, 4) for _ in range(n)],
    "noise": lambda rng, n: [rng.randrange(-32768, 32768) for _ in range(n)],
    "speech-like": lambda rng, n: [int(rng.gauss(0, 2000)) for _ in range(n)],
}


def test_every_frontend_kernel_has_a_test_here():
    assert set(kernel_modules()) == {"wakeword.kernels", "wakeword.frontend.kernels"}
    assert set(kernel_modules()["wakeword.frontend.kernels"]) == TESTED


def pack(form, values):
    return struct.pack(f"<{len(values)}{form}", *values)


def unpack(form, data):
    return list(struct.unpack(f"<{len(data) // struct.calcsize(form)}{form}", data))


def test_the_oracle_is_pymicro_features():
    rng = random.Random(1)
    samples = [v for fill in SAMPLES.values() for v in fill(rng, 640)]
    estimates, got = [0] * 40, []
    for start in range(0, len(samples) - 479, 160):
        windowed, shift = stages.window(samples[start : start + 480])
        energy = stages.energies(stages.fft(windowed + [0] * 32, shift))
        signals = stages.filter_bank(energy, shift)
        estimates, features, _ = stages.compress(estimates, signals)
        got.append(features)
    want = oracle.features(np.array(samples, np.int16))
    assert np.array_equal(np.array(got), want[: len(got)]) and len(got) == len(want)


@pytest.mark.parametrize("chunk_fill", SAMPLES)
@pytest.mark.parametrize("history_fill", SAMPLES)
def test_window(chip, history_fill, chunk_fill):
    rng = random.Random(history_fill + chunk_fill)
    check_window(chip, SAMPLES[history_fill](rng, 320), SAMPLES[chunk_fill](rng, 160))


@pytest.mark.parametrize("bits", range(16))
def test_window_does_not_take_the_lowest_sample_for_a_peak(chip, bits):
    """Where the window is 1, -32768 stays, and the other samples alone set the shift."""
    rng = random.Random(bits)
    samples = [rng.randrange(-(1 << bits) + 1, 1 << bits) for _ in range(480)]
    for middle in ((-32768, -32768), (-32768, (1 << bits) - 1), (-32768, 1 - (1 << bits))):
        samples[239:241] = middle
        check_window(chip, samples[:320], samples[320:])


def check_window(chip, history, chunk):
    machine = chip.machine
    history_at = machine.alloc(pack("h", history))
    windowed_at = machine.alloc(bytes(1024))
    table_at = machine.alloc(TABLES["WINDOW"])
    chunk_at = machine.alloc(pack("h", chunk))
    got = chip(K + "window", history_at, chunk_at, table_at, windowed_at)
    want, shift = stages.window(history + chunk)
    assert got == shift
    assert unpack("h", machine.read(windowed_at, 1024)) == want + [0] * 32
    assert unpack("h", machine.read(history_at, 640)) == history[160:] + chunk
    assert unpack("h", machine.read(chunk_at, 320)) == chunk


@pytest.mark.parametrize("fill", SAMPLES)
@pytest.mark.parametrize("shift", (0, 1, 7, 15))
def test_fft(chip, fill, shift):
    """Every windowed sample v has |v << shift| <= 32768, and none is -32768 if it is shifted."""
    rng, machine = random.Random(fill), chip.machine
    windowed = [v >> shift for v in SAMPLES[fill](rng, 480)] + [0] * 32
    windowed_at, spectrum_at = machine.alloc(pack("h", windowed)), machine.alloc(1024)
    table_at = machine.alloc(TABLES["TWIDDLES"])
    assert chip(K + "fft", spectrum_at, windowed_at, table_at, shift) is None
    want = [v for pair in stages.fft(windowed, shift) for v in pair]
    assert unpack("h", machine.read(spectrum_at, 1024)) == want
    assert unpack("h", machine.read(windowed_at, 1024)) == windowed


@pytest.mark.parametrize("fill", SAMPLES)
def test_energies(chip, fill):
    rng, machine = random.Random(fill), chip.machine
    for _ in range(4):
        spectrum = SAMPLES[fill](rng, 512)
        spectrum_at = machine.alloc(pack("h", spectrum))
        energy_at, table_at = machine.alloc(988), machine.alloc(TABLES["SUPER_TWIDDLES"])
        assert chip(K + "energies", spectrum_at, spectrum_at, table_at, energy_at) is None
        want = stages.energies(list(zip(spectrum[0::2], spectrum[1::2], strict=True)))
        assert unpack("I", machine.read(energy_at, 988)) == want
        assert max(want) <= MAX_ENERGY


def energy_cases():
    """Lists of 247 energies: none, all at the most, single bins, every size, near squares."""
    rng = random.Random(2)
    cases = [[0] * 247, [MAX_ENERGY] * 247, [1] * 247]
    cases += [
        [MAX_ENERGY * (i % 2) for i in range(247)],
        [MAX_ENERGY * (i % 7 == 3) for i in range(247)],
    ]
    cases += [[rng.randrange(1 << size) for _ in range(247)] for size in range(1, 31, 2)]
    cases += [[rng.randrange(1 << rng.randrange(31)) for _ in range(247)] for _ in range(10)]
    cases += [[rng.randrange(MAX_ENERGY - 1000, MAX_ENERGY + 1) for _ in range(247)]]
    for odd in (0, 1):  # sums just below 2**32, where the root saturates instead of rounding up
        for which in (0, 1):
            case = []
            for band, pairs in enumerate(stages.BANDS):
                weight = max(pairs[0][which], 3)
                most = ((1 << 32) - 1) // weight if band % 2 == odd else 0
                case += [min(most, MAX_ENERGY)] + [0] * (len(pairs) - 1)
            cases.append(case + [0] * (247 - len(case)))
    cases += [[rng.randrange(2000) ** 2 for _ in range(247)] for _ in range(5)]
    return cases


@pytest.mark.parametrize("shift", (0, 3, 15))
def test_filter_bank(chip, shift):
    machine = chip.machine
    table_at = machine.alloc(TABLES["FILTER_BANK"])
    estimates = list(range(40))
    for energy in energy_cases():
        energy_at = machine.alloc(pack("I", energy))
        channels_at = machine.alloc(pack("I", estimates) + bytes(160))
        assert chip(K + "filter_bank", energy_at, table_at, channels_at, shift) is None
        got = unpack("I", machine.read(channels_at, 320))
        assert got[40:] == stages.filter_bank(energy, shift), energy[:8]
        assert got[:40] == estimates


def channel_cases():
    """Lists of 40 (estimate, signal): both at their ends, around every power of two, random."""
    rng = random.Random(3)
    top, most = (1 << 32) - 1, (1 << 24) - 1
    pairs = [(e, s) for e in (0, 1, 2, 3, top, top - 1, 1 << 31) for s in (0, 1, most, most >> 1)]
    for bit in range(1, 32):
        for near in (-1, 0, 1):
            pairs.append(((1 << bit) + near, rng.randrange(1 << 24)))
            pairs.append((rng.randrange(1 << 32), ((1 << bit % 24) + near) & most))
    for _ in range(2000):
        pairs.append(
            (rng.randrange(1 << rng.randrange(1, 33)), rng.randrange(1 << rng.randrange(1, 25)))
        )
    while len(pairs) % 40:
        pairs.append((0, 0))
    rng.shuffle(pairs)
    return [pairs[i : i + 40] for i in range(0, len(pairs), 40)]


def test_compress(chip):
    machine = chip.machine
    table_at = machine.alloc(TABLES["GAINS"])
    for pairs in channel_cases():
        estimates, signals = (list(values) for values in zip(*pairs, strict=True))
        channels_at = machine.alloc(pack("I", estimates + signals))
        features_at, out_at = machine.alloc(80), machine.alloc(40)
        assert chip(K + "compress", channels_at, table_at, features_at, out_at) is None
        new, features, out = stages.compress(estimates, signals)
        assert unpack("H", machine.read(features_at, 80)) == features, pairs
        assert list(machine.read(out_at, 40)) == out
        assert unpack("I", machine.read(channels_at, 160)) == new
