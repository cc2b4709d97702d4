"""The front end's machine code where rounding tips over: exact halves, squares, neighbours.

Random data hardly ever meets these; a constant or a comparison that is wrong by one shows here.
"""

import random
import runpy
import struct

from host_tools.micropython import FIRMWARE
from tests.xtensa import frontend_oracles as stages

K = "wakeword.frontend.kernels."
TABLES = runpy.run_path(str(FIRMWARE / "wakeword" / "frontend" / "tables.py"))
# Here round(v * 8191 / 2**15) or round(v * 16383 / 2**15) is at or beside an exact half.
TIES = (16384, -16384, 8191, -24577, -8192, 24576, 32767, -32768, 0)


def pack(form, values):
    return struct.pack(f"<{len(values)}{form}", *values)


def unpack(form, data):
    return list(struct.unpack(f"<{len(data) // struct.calcsize(form)}{form}", data))


def test_fft(chip):
    """Sums of four scaled samples out of these are often +-16384 between the stages."""
    rng, machine = random.Random(30), chip.machine
    windowed_at, spectrum_at = machine.alloc(1024), machine.alloc(1024)
    table_at = machine.alloc(TABLES["TWIDDLES"])
    for choice in ((32767, 32767, 8, 0, -32767, -8), TIES, (32767, -32768)):
        for _ in range(8):
            windowed = rng.choices(choice, k=480) + [0] * 32
            machine.write(windowed_at, pack("h", windowed))
            chip(K + "fft", spectrum_at, windowed_at, table_at, 0)
            want = [v for pair in stages.fft(windowed, 0) for v in pair]
            assert unpack("h", machine.read(spectrum_at, 1024)) == want


def test_energies(chip):
    rng, machine = random.Random(31), chip.machine
    spectrum_at, energy_at = machine.alloc(1024), machine.alloc(988)
    table_at = machine.alloc(TABLES["SUPER_TWIDDLES"])
    for _ in range(20):
        spectrum = rng.choices(TIES, k=512)
        machine.write(spectrum_at, pack("h", spectrum))
        chip(K + "energies", spectrum_at, spectrum_at, table_at, energy_at)
        want = stages.energies(list(zip(spectrum[0::2], spectrum[1::2], strict=True)))
        assert unpack("I", machine.read(energy_at, 988)) == want


def signals_of(chip, buffers, energy):
    energy_at, table_at, channels_at = buffers
    chip.machine.write(energy_at, pack("I", energy))
    chip(K + "filter_bank", energy_at, table_at, channels_at, 0)
    return unpack("I", chip.machine.read(channels_at + 160, 160))


def energies_that_sum_to(total):
    """Energies whose sum in channel 0 is exactly `total`, or None where there are none."""
    first, third = stages.BANDS[0][0][1], stages.BANDS[1][1][0]  # of bins 5 and 7
    bin_7 = total * pow(third, -1, first) % first
    bin_5, rest = divmod(total - bin_7 * third, first)
    assert rest == 0
    return [bin_5, 0, bin_7] + [0] * 244 if 0 <= bin_5 < 1 << 31 else None


def test_roots_around_squares_and_half_squares(chip):
    rng, machine = random.Random(32), chip.machine
    buffers = machine.alloc(988), machine.alloc(TABLES["FILTER_BANK"]), machine.alloc(320)
    roots = [32767, 32768, 46340, 46341, 65534, 65535, 65536, 131071, 131072]
    roots += [rng.randrange(1 << bits, 2 << bits) for bits in range(10, 21) for _ in range(12)]
    for root in roots:
        square = root * root
        totals = (square - 1, square, square + root, square + root + 1, square + 2 * root)
        for total in totals:
            case = energies_that_sum_to(total)
            want = root + (total - square > root and root != 0xFFFF)
            if total < square:
                want = root - (root - 1 == 0xFFFF)
            if case:
                got = signals_of(chip, buffers, case)
                assert got[0] == want == stages.filter_bank(case, 0)[0], (root, total)


def test_roots_of_every_size(chip):
    rng, machine = random.Random(33), chip.machine
    buffers = machine.alloc(988), machine.alloc(TABLES["FILTER_BANK"]), machine.alloc(320)
    for bits in range(1, 32):
        for _ in range(6):
            case = [rng.randrange(1 << bits - 1, 1 << bits) for _ in range(247)]
            case = [min(e, 2 * 32767**2) for e in case]
            assert signals_of(chip, buffers, case) == stages.filter_bank(case, 0), bits


def test_estimates_that_fall_by_whole_units_and_a_little(chip):
    """distance * smoothing modulo 2**14 is 0, 1, 2, -1, -2: the floor of a negative product."""
    rng, machine = random.Random(34), chip.machine
    table_at, channels_at = machine.alloc(TABLES["GAINS"]), machine.alloc(320)
    features_at, out_at = machine.alloc(80), machine.alloc(40)
    for rest in (0, 1, 2, -1, -2):
        for sign in (1, -1):
            signals = [rng.randrange(1 << 21) for _ in range(40)]
            estimates = []
            for c, signal in enumerate(signals):
                inverse = pow((409, 983)[c & 1], -1, 1 << 14)
                distance = rest * inverse % (1 << 14) + (rng.randrange(1 << 6) << 14)
                estimates.append(max(0, min((signal << 10) + sign * distance, (1 << 32) - 1)))
            machine.write(channels_at, pack("I", estimates + signals))
            chip(K + "compress", channels_at, table_at, features_at, out_at)
            new, features, out = stages.compress(estimates, signals)
            assert unpack("I", machine.read(channels_at, 160)) == new, (rest, sign)
            assert unpack("H", machine.read(features_at, 80)) == features
            assert list(machine.read(out_at, 40)) == out
