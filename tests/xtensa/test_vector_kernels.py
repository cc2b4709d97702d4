"""The vector kernels in the interpreter: every alignment, random shapes, extremes, real plans.

Every load and store is checked against the buffers; what a kernel writes is compared with plain
arithmetic, and on whole models with the viper kernels in qemu.
"""

import random
import struct
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from firmware.wakeword import model_format as fmt
from host_tools.errors import HostToolError
from host_tools.models.build import convert_model
from host_tools.shared_firmware import FIRMWARE
from host_tools.xtensa import qemu_program
from host_tools.xtensa.kernels import VECTOR, VIPER, kernel_names, load_kernels
from host_tools.xtensa.machine import XtensaMachine
from host_tools.xtensa.vector_calls import interpret
from tests.generators.model_ranges import ops_of
from tests.generators.random_models import random_model

K = "wakeword.kernels."
FILLS = (
    lambda rng, n: rng.randbytes(n),
    lambda rng, n: b"\xff" * n,
    lambda rng, n: bytes(n),
    lambda rng, n: bytes(rng.choice((0, 255)) for _ in range(n)),
)
MANIFEST = {
    "type": "micro",
    "wake_word": "random",
    "version": 2,
    "micro": {"probability_cutoff": 0.9, "sliding_window_size": 5, "feature_step_size": 10},
}


@pytest.fixture(scope="module")
def vector_chip(qemu):
    with XtensaMachine() as machine:
        yield machine, load_kernels(machine, VIPER), load_kernels(machine, VECTOR)


def aligned(at, size):
    return -(-at // size) * size


def words(*values):
    return struct.pack(f"<{len(values)}I", *values)


def want_sums(x, w):
    """2**30 and the sums of stored inputs times weights, for [channels, n] of both."""
    w = np.frombuffer(b"".join(w), np.uint8).reshape(len(w), -1).astype(np.int64) - 128
    x = np.frombuffer(b"".join(x), np.uint8).reshape(len(x), -1).astype(np.int64)
    return list((x * w).sum(axis=1) + (1 << 30))


def rows(w):
    return b"".join(row.ljust(fmt.row_bytes(len(row)), b"\x80") for row in w)


def dot(rng, blocks, channels, start, short=0):
    """A dot of random content whose arena and file end where the format lets them, less `short`:
    (arena, model, where the sums go, what they must be).
    """
    n = 8 * blocks
    out, work = 16, aligned(16 + 4 * channels, 16)
    start += aligned(work + 16 * blocks + 8, 16)
    arena = bytearray(rng.randbytes(start + fmt.row_bytes(n) + fmt.PAST_INPUTS - short))
    arena[:4] = bytes(4)
    x = rng.choice(FILLS)(rng, n)
    arena[start : start + n] = x[: len(arena) - start]
    w = [rng.choice(FILLS)(rng, n) for _ in range(channels)]
    model = words(1, start, 0, 0, blocks, channels, out, 48, work).ljust(48, b"\0")
    model += rows(w) + bytes(fmt.PAST_WEIGHTS)
    return arena, model, out, want_sums([x] * channels, w)


def depthwise(rng, blocks, channels, start, pitch, short=0):
    """As `dot`."""
    n = 4 * blocks
    out = 16
    start += aligned(out + 4 * channels, 16)
    size = start + pitch * (channels - 1) + fmt.row_bytes(n) + fmt.PAST_INPUTS - short
    arena = bytearray(rng.randbytes(size))
    arena[:4] = bytes(4)
    for c in range(channels):
        at = start + c * pitch
        arena[at : at + n] = rng.choice(FILLS)(rng, n)[: size - at]
    x = [bytes(arena[start + c * pitch : start + c * pitch + n]) for c in range(channels)]
    w = [rng.choice(FILLS)(rng, n) for _ in range(channels)]
    model = words(2, start, 0, 0, pitch, blocks, channels, out, 48).ljust(48, b"\0") + rows(w)
    return arena, model, out, None if short else want_sums(x, w)


def run(vector_chip, kernel, arena, model):
    """The arena after a call; nothing else is written."""
    machine, _, vector = vector_chip
    machine.clear()
    arena_at, model_at = machine.alloc(bytes(arena)), machine.alloc(model)
    assert machine.call(vector[K + kernel], arena_at, model_at, 0) is None
    assert machine.read(model_at, len(model)) == model
    return machine.read(arena_at, len(arena))


@pytest.mark.parametrize("start", range(16))
def test_dot_at_every_alignment(vector_chip, start):
    rng = random.Random(start)
    for blocks in (*range(1, 11), 15, 16, 25, 120):
        channels = rng.choice((1, 2, 3, 17))
        arena, model, out, want = dot(rng, blocks, channels, start)
        got = run(vector_chip, "dot", arena, model)
        assert list(struct.unpack_from(f"<{channels}I", got, out)) == want, (blocks, channels)
        work, end = aligned(16 + 4 * channels, 16), aligned(16 + 4 * channels, 16) + 16 * blocks
        assert got[:out] == arena[:out] and got[end:] == arena[end:]
        assert got[out + 4 * channels : work] == arena[out + 4 * channels : work]


@pytest.mark.parametrize("start", range(16))
def test_depthwise_at_every_alignment(vector_chip, start):
    rng = random.Random(start)
    for blocks in (*range(1, 10), 12, 16):
        channels = rng.choice((1, 2, 3, 33))
        pitch = rng.choice((1, 4 * blocks, 4 * blocks + rng.randrange(1, 20)))
        arena, model, out, want = depthwise(rng, blocks, channels, start, pitch)
        got = run(vector_chip, "depthwise", arena, model)
        assert list(struct.unpack_from(f"<{channels}I", got, out)) == want, (blocks, channels)
        end = out + 4 * channels
        assert got[:out] == arena[:out] and got[end:] == arena[end:]


def test_an_arena_of_a_word_less_is_read_beyond(vector_chip):
    """The room that the format demands is all used, so no less would do, where the last inputs
    begin at a multiple of 16.
    """
    rng = random.Random(1)
    for kernel, case in (
        ("dot", dot(rng, 8, 3, 0, 4)),
        ("dot", dot(rng, 3, 3, 0, 4)),
        ("depthwise", depthwise(rng, 4, 3, 8, 20, 4)),
        ("depthwise", depthwise(rng, 7, 3, 8, 20, 4)),
    ):
        with pytest.raises(HostToolError, match="read outside its buffers"):
            run(vector_chip, kernel, *case[:2])


def test_a_file_of_a_word_less_is_read_beyond(vector_chip):
    rng = random.Random(1)
    arena, model, *_ = dot(rng, 8, 3, 0)
    with pytest.raises(HostToolError, match="read outside its buffers"):
        run(vector_chip, "dot", arena, model[:-16])


def test_plain_arguments_as_a_walker_gives_them(vector_chip):
    """With n_args 0 the three arguments are words."""
    machine, _, vector = vector_chip
    for kernel, case in (
        ("dot", dot(random.Random(2), 8, 5, 3)),
        ("depthwise", depthwise(random.Random(2), 5, 5, 3, 21)),
    ):
        arena, model, out, want = case
        machine.clear()
        arena_at, model_at = machine.alloc(bytes(arena)), machine.alloc(model)
        arguments = qemu_program.SHARED_BASE + qemu_program.ARGS
        machine.write(arguments, words(arena_at, model_at, 0))
        interpret(machine, vector[K + kernel], 0)
        got = machine.read(arena_at, len(arena))
        assert list(struct.unpack_from(f"<{len(want)}I", got, out)) == want


NAMES = {fmt.DOT: "dot", fmt.DEPTHWISE: "depthwise", fmt.REQUANTISE: "requantise"}
NAMES |= {fmt.PUSH: "push", fmt.LOOKUP: "lookup"}


@pytest.mark.parametrize("seed", range(8))
def test_random_models_give_what_viper_gives(vector_chip, seed):
    """Every op of every inference, as the planner lays them out, on noise and extremes."""
    machine, viper, vector = vector_chip
    rng = random.Random(seed)
    data = convert_model(random_model(seed)[0], MANIFEST).data
    header, ops = fmt.check(data)
    machine.clear()
    arena, model = machine.alloc(header.arena_bytes), machine.alloc(data)
    for i in range(header.fill_count):
        start, size, value = header.words(data, header.fills_at + i * fmt.FILL_BYTES, 3)
        machine.write(arena + start, bytes([value]) * size)
    compared = 0
    for turn in range(3 * header.stride):
        values = FILLS[turn % len(FILLS)](rng, fmt.FEATURES)
        machine.write(arena + header.input_at, values)
        count = header.op_count if (turn + 1) % header.stride == 0 else header.input_op_count
        for (kind, at), op in list(zip(ops, ops_of(data), strict=True))[:count]:
            before = machine.read(arena, header.arena_bytes)
            machine.call(viper[K + NAMES[kind]], arena, model, at)
            if kind in (fmt.DOT, fmt.DEPTHWISE):
                want = bytearray(machine.read(arena, header.arena_bytes))
                machine.write(arena, before)
                machine.call(vector[K + NAMES[kind]], arena, model, at)
                got = bytearray(machine.read(arena, header.arena_bytes))
                if kind == fmt.DOT:
                    work = slice(op[8], op[8] + 16 * op[4])
                    got[work] = want[work]
                assert got == want, (turn, kind, at)
                compared += 1
    assert compared >= 6


def test_the_vector_kernels_are_these_two():
    assert kernel_names(VECTOR) == [K + "dot", K + "depthwise"]


def test_they_are_not_for_another_chip(monkeypatch):
    """The module's own first lines: on a chip without the unit an instruction would stop it."""
    source = (FIRMWARE / "wakeword" / "kernels_vector_xtensa.py").read_text(encoding="utf-8")
    start = source[: source.index("@micropython.asm_xtensa")]
    micropython = ModuleType("micropython")
    micropython.const = lambda value: value
    monkeypatch.setitem(sys.modules, "micropython", micropython)

    def imported_on(machine):
        monkeypatch.setattr(sys, "implementation", machine)
        exec(start, {})

    for machine in ("Generic ESP32 module with ESP32", "Generic ESP32S2 module with ESP32S2"):
        with pytest.raises(ImportError):
            imported_on(SimpleNamespace(_machine=machine))
    with pytest.raises(ImportError):
        imported_on(SimpleNamespace())
    imported_on(SimpleNamespace(_machine="Generic ESP32S3 module with ESP32S3"))
