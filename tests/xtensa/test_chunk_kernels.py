"""The kernels that copy, move and clear chunks: every byte, none beside, and what they cost."""

import random

import pytest

from host_tools.xtensa.compile import compile_firmware
from host_tools.xtensa.kernels import FIRMWARE
from host_tools.xtensa.machine import XtensaMachine

SATELLITE, DRIVERS = FIRMWARE / "satellite", FIRMWARE / "drivers"
CHUNK = random.Random(4).randbytes(320)
MOST = {"copy_chunk": 400, "move_chunk": 800, "clear_chunk": 300}


def load(machine):
    return machine.load(compile_firmware(SATELLITE / "chunk_words.py"))


def test_every_chunk_kernel_has_a_test_here(machine):
    assert set(load(machine)) == set(MOST)


def test_copy(machine):
    target, source = machine.alloc(320), machine.alloc(CHUNK)
    assert machine.call(load(machine)["copy_chunk"], target, source) is None
    assert machine.read(target, 320) == machine.read(source, 320) == CHUNK


@pytest.mark.parametrize("misalign", (0, 1, 2, 3, 4, 14))
def test_move(machine, misalign):
    target, source = machine.alloc(320, misalign), machine.alloc(CHUNK)
    assert machine.call(load(machine)["move_chunk"], target, source) is None
    assert machine.read(target, 320) == CHUNK
    assert machine.read(source, 320) == bytes(320)


def test_clear(machine):
    target = machine.alloc(CHUNK)
    assert machine.call(load(machine)["clear_chunk"], target) is None
    assert machine.read(target, 320) == bytes(320)


def test_the_drivers_clear(machine):
    kernel = machine.load(compile_firmware(DRIVERS / "pcm.py"))["clear_words"]
    for count in (0, 8, 80, 320):
        buffer = machine.alloc(random.Random(5).randbytes(4 * count))
        assert machine.call(kernel, buffer, count) is None
        assert machine.read(buffer, 4 * count) == bytes(4 * count)


def test_what_they_cost(qemu, figure):
    with XtensaMachine(count=True) as machine:
        kernels = load(machine)
        a, b = machine.alloc(CHUNK), machine.alloc(320)
        for name in ("copy_chunk", "move_chunk"):
            machine.call(kernels[name], b, a)
        machine.call(kernels["clear_chunk"], b)
    for name, instructions in machine.counts():
        figure(f"{name}: {instructions} instructions")
        assert instructions < MOST[name], (name, instructions)
