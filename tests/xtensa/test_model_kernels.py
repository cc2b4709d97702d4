"""The model kernels' machine code against plain Python, on random and on extreme values.

Each test lays out an arena and a model buffer by the words that docs/model-format.md names, runs
the kernel on the Xtensa machine, and compares the whole arena, so a stray store is seen too.
"""

import random
import struct

import pytest

from firmware.wakeword import model_format
from host_tools.xtensa.kernels import VIPER, kernel_modules
from tests.xtensa import model_oracles as oracle

K = "wakeword.kernels."
ONE30 = 1 << 30
FILLS = {
    "zeros": lambda rng, n: bytes(n),  # int8 -128
    "ones": lambda rng, n: b"\xff" * n,  # int8 127
    "middle": lambda rng, n: b"\x80" * n,  # int8 0
    "alternating": lambda rng, n: bytes(i % 2 * 255 for i in range(n)),
    "random": lambda rng, n: rng.randbytes(n),
}
TESTED = {"dot", "depthwise", "requantise", "push", "lookup", "load"}


def test_every_model_kernel_has_a_test_here():
    assert set(kernel_modules()["wakeword.kernels"]) == TESTED


def run(chip, kernel, arena, model, at=0):
    """Call kernel(arena, model, at); return the arena afterwards, model unchanged."""
    machine = chip.machine
    arena_at, model_at = machine.alloc(arena), machine.alloc(model)
    assert chip(K + kernel, arena_at, model_at, at) is None
    assert machine.read(model_at, len(model)) == bytes(model)
    return machine.read(arena_at, len(arena))


def words(*values):
    return struct.pack(f"<{len(values)}I", *values)


def aligned(at, size):
    return -(-at // size) * size


def rows_of_weights(w):
    """Each channel's weights, padded to whole rows."""
    return b"".join(row.ljust(model_format.row_bytes(len(row)), b"\x80") for row in w)


@pytest.mark.parametrize("w_fill", FILLS)
@pytest.mark.parametrize("x_fill", FILLS)
def test_dot(each_chip, x_fill, w_fill):
    rng = random.Random(x_fill + w_fill)
    for blocks, channels, position, step in ((1, 1, 0, 0), (5, 3, 2, 8), (30, 4, 1, 40)):
        n = 8 * blocks
        x = FILLS[x_fill](rng, n)
        w = [FILLS[w_fill](rng, n) for _ in range(channels)]
        start = 8
        out = aligned(start + position * step + model_format.row_bytes(n) + 16, 4)
        workspace = aligned(out + 4 * channels, 16)
        after = workspace + 16 * blocks
        arena = bytearray(rng.randbytes(after + 8))
        arena[0:4] = words(position)
        arena[start + position * step : start + position * step + n] = x
        at = 12  # the weights 36 bytes on, at a multiple of 16
        op = words(1, start, 0, step, blocks, channels, out, at + 36, workspace)
        model = bytes(at) + op + rows_of_weights(w) + bytes(32)
        want = bytearray(arena)
        sums = oracle.accumulators([x] * channels, w)
        want[out : out + 4 * channels] = words(*(s + ONE30 for s in sums))
        got = bytearray(run(each_chip, "dot", arena, model, at))
        if each_chip.variant != VIPER:
            got[workspace:after] = want[workspace:after]
        assert got == want


@pytest.mark.parametrize("w_fill", FILLS)
@pytest.mark.parametrize("x_fill", FILLS)
def test_depthwise(each_chip, x_fill, w_fill):
    rng = random.Random(x_fill + w_fill)
    for blocks, channels, position, step, slack in (
        (1, 1, 0, 0, 0),
        (6, 5, 3, 1, 2),
        (2, 9, 1, 1, 7),
    ):
        n = 4 * blocks
        rows = [FILLS[x_fill](rng, n) for _ in range(channels)]
        w = [FILLS[w_fill](rng, n) for _ in range(channels)]
        pitch, start = n + slack, 4
        out = aligned(start + position * step + pitch * channels + 32, 4)
        arena = bytearray(rng.randbytes(out + 4 * channels + 8))
        arena[0:4] = words(position)
        for c, row in enumerate(rows):
            first = start + position * step + c * pitch
            arena[first : first + n] = row
        op = words(2, start, 0, step, pitch, blocks, channels, out, 48) + bytes(12)
        want = bytearray(arena)
        sums = oracle.accumulators(rows, w)
        want[out : out + 4 * channels] = words(*(s + ONE30 for s in sums))
        assert run(each_chip, "depthwise", arena, op + rows_of_weights(w)) == want


def requantise_cases():
    """(acc, bias, multiplier, left, right): extremes of every field, ties, and random ones."""
    cases = []
    for total in (0, 1, -1, ONE30 - 1, 1 - ONE30, 12345678, -12345678):
        for multiplier in (ONE30, ONE30 + 1, 2 * ONE30 - 1, 0x5A827999):
            for right in (0, 1, 7, 8, 30):
                cases.append((total - 5, 5, multiplier, 0, right))
    for acc, bias in (
        (ONE30 - 1, 1 - ONE30),
        (1 - ONE30, ONE30 - 1),
        (0, ONE30 - 1),
        (0, 1 - ONE30),
    ):
        cases.append((acc, bias, 2 * ONE30 - 1, 0, 8))
    for tie in range(-9, 10):  # multiplier 2**30 halves: odd sums are ties of the first rounding
        cases += [(tie, 0, ONE30, 0, 0), (tie * 2, 0, ONE30, 0, 1), (tie * 8 + 4, 0, ONE30, 0, 3)]
    cases += [(a, b, ONE30 + 77, 30, 0) for a, b in ((0, 0), (7, -7))]
    cases += [(1, 0, 2 * ONE30 - 1, 29, 30), (-1, 0, 2 * ONE30 - 1, 29, 30), (3, 4, ONE30, 20, 21)]
    rng = random.Random(3)
    for _ in range(400):
        size = rng.randrange(4, 30)
        total = rng.randrange(-(1 << size), 1 << size)
        left = rng.randrange(0, 30 - size) if size < 30 and rng.random() < 0.3 else 0
        bias = rng.randrange(-(1 << size), 1 << size) >> 1
        multiplier = rng.randrange(ONE30, 2 * ONE30)
        cases.append((total - bias, bias, multiplier, left, rng.randrange(0, 16)))
    return cases


@pytest.mark.parametrize(
    "zero, low, high, pitch", ((128, 0, 255, 1), (0, 3, 250, 3), (255, 255, 255, 2))
)
def test_requantise(chip, zero, low, high, pitch):
    cases = [
        c for c in requantise_cases() if abs(c[0]) < ONE30 and abs((c[0] + c[1]) << c[3]) < ONE30
    ]
    assert len(cases) > 400
    n = len(cases)
    acc_at, out = 4, 4 + 4 * n
    arena = bytearray(random.Random(5).randbytes(out + pitch * n + 5))
    table = b""
    for i, (acc, bias, multiplier, left, right) in enumerate(cases):
        arena[acc_at + 4 * i : acc_at + 4 * i + 4] = words(acc + ONE30)
        table += words(bias + ONE30, multiplier - ONE30, left << 8 | right)
    model = words(3, acc_at, out, pitch, n, zero, low, high, 36) + table
    want = bytearray(arena)
    for i, (acc, bias, multiplier, left, right) in enumerate(cases):
        value = oracle.requantise(acc + bias, multiplier, left, right, zero, low, high)
        want[out + pitch * i] = value
    got = run(chip, "requantise", arena, model)
    wrong = [(cases[i], got[out + pitch * i], want[out + pitch * i]) for i in range(n)]
    wrong = [w for w in wrong if w[1] != w[2]]
    assert not wrong, wrong[:3]
    assert got == want


@pytest.mark.parametrize(
    "rows, row_bytes, channels, pitch", ((1, 8, 8, 1), (5, 1, 3, 16), (7, 4, 4, 1))
)
def test_push_walks_round_the_ring(chip, rows, row_bytes, channels, pitch):
    rng = random.Random(7)
    base = 64
    size = base + 2 * rows * row_bytes + pitch * channels
    arena, position = bytearray(rng.randbytes(size)), 0
    arena[0:4] = words(0)
    for turn in range(2 * rows + 1):
        arena[8 : 8 + channels] = rng.randbytes(channels)
        for advance in (0, 1):
            op = words(4, 8, channels, base, 0, rows, row_bytes, pitch, advance)
            want = bytearray(arena)
            for copy in (0, rows):
                for c in range(channels):
                    want[base + (position + copy) * row_bytes + c * pitch] = arena[8 + c]
            position = (position + advance) % rows
            want[0:4] = words(position)
            arena = bytearray(run(chip, "push", arena, op))
            assert arena == want, (turn, advance)


@pytest.mark.parametrize("count", (1, 3, 256))
def test_lookup(chip, count):
    rng = random.Random(9)
    x, table = bytes(i * 255 // max(count - 1, 1) for i in range(count)), rng.randbytes(256)
    arena = bytearray(rng.randbytes(2 * count + 9))
    arena[4 : 4 + count] = x
    out = 4 + count
    want = bytearray(arena)
    want[out : out + count] = bytes(table[v] for v in x)
    assert run(chip, "lookup", arena, words(5, 4, count, out, 20) + table) == want


@pytest.mark.parametrize("fill", FILLS)
def test_load(chip, fill):
    rng = random.Random(11)
    values, arena = FILLS[fill](rng, 40), bytearray(rng.randbytes(64))
    want = bytearray(arena)
    want[12:52] = values
    assert run(chip, "load", arena, values, 12) == want
