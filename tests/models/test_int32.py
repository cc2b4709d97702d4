"""The front end's kernels at the ends of their ranges: no intermediate leaves int32.

The kernels' own source runs with every integer watched (viper.py), and gives what plain integers
give; the tests on Xtensa code compare results only.
"""

from __future__ import annotations

import random
import runpy
import struct

import pytest

from host_tools.shared_firmware import FIRMWARE
from tests.generators.viper import Memory, load_kernels
from tests.xtensa import frontend_oracles as stages

TABLES = runpy.run_path(str(FIRMWARE / "wakeword" / "frontend" / "tables.py"))
MAX_ENERGY = 2 * 32767**2
SAMPLES = {
    "lowest": lambda rng, n: [-32768] * n,
    "highest": lambda rng, n: [32767] * n,
    "rails": lambda rng, n: [rng.choice((-32768, 32767)) for _ in range(n)],
    "square": lambda rng, n: [(-32768, 32767)[i // 37 % 2] for i in range(n)],
    "alternating": lambda rng, n: [(-32768, 32767)[i % 2] for i in range(n)],
    "noise": lambda rng, n: [rng.randrange(-32768, 32768) for _ in range(n)],
    "one bit": lambda rng, n: [rng.randrange(-1, 2) for _ in range(n)],
}


def pack(form, values):
    return bytearray(struct.pack(f"<{len(values)}{form}", *values))


def unpack(form, data):
    return list(struct.unpack(f"<{len(data) // struct.calcsize(form)}{form}", data))


def run(kernel, *arguments):
    """Call a kernel with buffers (written in place) and ints."""
    memory = Memory()
    values = [a if isinstance(a, int) else memory.place(a) for a in arguments]
    return load_kernels(memory, "wakeword.frontend.kernels")[kernel](*values)


@pytest.mark.parametrize("fill", SAMPLES)
def test_window_fft_and_energies(fill):
    rng = random.Random(fill)
    history, chunk = SAMPLES[fill](rng, 320), SAMPLES[fill](rng, 160)
    windowed = bytearray(1024)
    old = pack("h", history)
    shift = run("window", old, bytes(pack("h", chunk)), TABLES["WINDOW"], windowed)
    want, want_shift = stages.window(history + chunk)
    assert (shift, unpack("h", windowed)) == (want_shift, want + [0] * 32)
    assert unpack("h", old) == history[160:] + chunk
    spectrum = bytearray(1024)
    run("fft", spectrum, bytes(windowed), TABLES["TWIDDLES"], int(shift))
    transformed = stages.fft(want + [0] * 32, want_shift)
    assert unpack("h", spectrum) == [v for pair in transformed for v in pair]
    energy = bytearray(988)
    memory = Memory()
    at = memory.place(bytes(spectrum))
    tables = memory.place(TABLES["SUPER_TWIDDLES"]), memory.place(energy)
    load_kernels(memory, "wakeword.frontend.kernels")["energies"](at, at, *tables)
    assert unpack("I", energy) == stages.energies(transformed)


@pytest.mark.parametrize("position", (100, 101, 260, 261, 420, 421))
def test_the_shift_for_a_lone_peak_at_a_power_of_two(position):
    """One sample a time in each of the kernel's six places: +-2**k and its neighbours."""
    for peak in (-4096, -4095, -4097, 4095, 4096, -1, 1, -2):
        sample = next(x for x in range(-32768, 32768) if x * stages.HANN[position] >> 12 == peak)
        samples = [0] * 480
        samples[position] = sample
        want, shift = stages.window(samples)
        windowed = bytearray(1024)
        history, chunk = pack("h", samples[:320]), bytes(pack("h", samples[320:]))
        assert run("window", history, chunk, TABLES["WINDOW"], windowed) == shift, peak
        assert unpack("h", windowed)[:480] == want


@pytest.mark.parametrize("lowest", (238, 239, 240, 241))
def test_a_windowed_minus_32768_is_no_peak_wherever_the_others_are(lowest):
    """Only the window's four middle samples, where it is 1, can give -32768."""
    for position in (40, 60, 200, 239, 240, 242, 300, 420, 430):
        for sample in (0, 3, -9000, 9000, 32767, -32767):
            samples = [0] * 480
            samples[position] = sample
            samples[lowest] = -32768
            want, shift = stages.window(samples)
            windowed = bytearray(1024)
            history, chunk = pack("h", samples[:320]), bytes(pack("h", samples[320:]))
            assert run("window", history, chunk, TABLES["WINDOW"], windowed) == shift
            assert unpack("h", windowed)[:480] == want, (position, sample)


@pytest.mark.parametrize("fill", SAMPLES)
def test_fft_of_any_samples_and_energies_of_any_spectrum(fill):
    rng = random.Random(fill)
    samples = SAMPLES[fill](rng, 512)
    spectrum, energy = bytearray(1024), bytearray(988)
    run("fft", spectrum, bytes(pack("h", samples)), TABLES["TWIDDLES"], 0)
    assert unpack("h", spectrum) == [v for pair in stages.fft(samples, 0) for v in pair]
    memory = Memory()
    at = memory.place(bytes(pack("h", samples)))
    tables = memory.place(TABLES["SUPER_TWIDDLES"]), memory.place(energy)
    load_kernels(memory, "wakeword.frontend.kernels")["energies"](at, at, *tables)
    want = stages.energies(list(zip(samples[0::2], samples[1::2], strict=True)))
    assert unpack("I", energy) == want and max(want) <= MAX_ENERGY


def energy_cases():
    rng = random.Random(2)
    yield [MAX_ENERGY] * 247
    yield [0] * 247
    yield [MAX_ENERGY * (i % 2) for i in range(247)]
    yield [rng.randrange(MAX_ENERGY - 9, MAX_ENERGY + 1) for _ in range(247)]
    yield [0xFFFF + (MAX_ENERGY & ~0xFFFF) - 0x10000] * 247  # all ones in the low limbs
    yield [0xFFFF] * 247
    for bits in range(1, 31, 4):
        yield [rng.randrange(1 << bits) for _ in range(247)]


def test_filter_bank():
    for energy in energy_cases():
        for shift in (0, 7):
            channels = bytearray(320)
            table = TABLES["FILTER_BANK"]
            run("filter_bank", bytes(pack("I", energy)), table, channels, shift)
            assert unpack("I", channels)[40:] == stages.filter_bank(energy, shift)


def test_compress():
    rng = random.Random(3)
    ends = (0, 1, 2, 3, 4, 0xFFFF, 0x10000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1)
    loudest = (1 << 24) - 1
    pairs = [(e, s) for e in ends for s in (0, 1, 2, 127, 128, 8191, 8192, loudest)]
    for bit in range(24):
        pairs += [(rng.getrandbits(32), (1 << bit) + near) for near in (-1, 0, 1)]
    pairs += [(rng.getrandbits(rng.randrange(33)), rng.getrandbits(24)) for _ in range(200)]
    pairs += [(0, 0)] * (-len(pairs) % 40)
    for start in range(0, len(pairs), 40):
        estimates, signals = (list(v) for v in zip(*pairs[start : start + 40], strict=True))
        channels, features, out = pack("I", estimates + signals), bytearray(80), bytearray(40)
        run("compress", channels, TABLES["GAINS"], features, out)
        new, want, want_out = stages.compress(estimates, signals)
        assert unpack("H", features) == want
        assert list(out) == want_out
        assert unpack("I", channels)[:40] == new
