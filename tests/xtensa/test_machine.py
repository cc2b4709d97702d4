"""The Xtensa machine: values in and out, faults found, instructions counted."""

import pytest

from host_tools.errors import HostToolError
from host_tools.xtensa.compile import compile_firmware
from host_tools.xtensa.machine import GUARD_BYTES, XtensaMachine

KERNELS = """
@micropython.viper
def add(a: int, b: int) -> int:
    return a + b

@micropython.viper
def as_uint(a: int) -> uint:
    return uint(a)

@micropython.viper
def is_small(a: int) -> bool:
    return a < 10

@micropython.viper
def nothing(x: ptr8, i: int):
    x[i] = 7

@micropython.viper
def total(x: ptr8, n: int) -> int:
    s = 0
    while n:
        s += x[0]
        x = ptr8(int(x) + 1)
        n -= 1
    return s

@micropython.viper
def halves(x: ptr16, y: ptr32) -> int:
    y[0] = x[1]
    return y[1]

@micropython.viper
def uses_global(a: int) -> int:
    return int(something) + a

@micropython.viper
def divides(a: int, b: int) -> int:
    return a // b

@micropython.viper
def hangs():
    while True:
        pass
"""


@pytest.fixture(scope="module")
def mpy_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("kernels") / "kernels.py"
    path.write_text(KERNELS)
    return compile_firmware(path)


def test_values(machine, mpy_file):
    f = machine.load(mpy_file)
    assert machine.call(f["add"], 2, -5) == -3
    assert machine.call(f["add"], 0x7FFFFFFF, 1) == -0x80000000
    assert machine.call(f["as_uint"], -1) == 0xFFFFFFFF
    assert machine.call(f["is_small"], 3) is True
    assert machine.call(f["is_small"], 30) is False
    buffer = machine.alloc(b"\x01\x02\xff\x80")
    assert buffer % 16 == 0
    assert machine.call(f["total"], buffer, 4) == 0x182
    assert machine.call(f["nothing"], buffer, 3) is None
    assert machine.read(buffer, 4) == b"\x01\x02\xff\x07"
    words = machine.alloc(b"\0\0\0\0\xfe\xff\xff\xff")
    assert machine.call(f["halves"], buffer, words) == -2  # ptr32 is signed on the chip
    assert machine.read(words, 4) == b"\xff\x07\0\0"
    machine.write(words + 4, b"\x05\0\0\0")
    assert machine.call(f["halves"], buffer, words) == 5


def test_buffers_keep_their_distance_and_alignment(machine):
    a, b = machine.alloc(5), machine.alloc(b"abc", misalign=6)
    assert b >= a + 5 + GUARD_BYTES and b % 16 == 6
    assert machine.read(a, 5) == bytes(5)
    machine.clear()
    assert machine.alloc(1) == a
    with pytest.raises(HostToolError, match="memory for data is full"):
        machine.alloc(1 << 24)


@pytest.mark.parametrize("index", (-GUARD_BYTES, -1, 4, 4 + GUARD_BYTES - 1))
def test_a_store_outside_a_buffer_is_found(machine, mpy_file, index):
    f = machine.load(mpy_file)
    machine.alloc(16)
    buffer = machine.alloc(4)
    machine.alloc(16)
    with pytest.raises(HostToolError, match=f"nothing wrote outside.*byte {index} of 4"):
        machine.call(f["nothing"], buffer, index)


def test_calls_of_the_runtime_are_named(qemu, mpy_file):
    for name, message in (
        ("uses_global", r"uses_global.*the module.s globals \(fun table entry 5\)"),
        ("divides", r"divides.*division // \(fun table entry 46\)"),
        ("add", "add was called with a wrong number of arguments"),
    ):
        with XtensaMachine() as machine:
            arguments = (1, 2) if name == "divides" else (1,)
            with pytest.raises(HostToolError, match=message):
                machine.call(machine.load(mpy_file)[name], *arguments)
            with pytest.raises(HostToolError, match="has ended"):
                machine.call(machine.load(mpy_file)["as_uint"], 1)


def test_wild_pointers_hangs_and_wide_arguments_are_errors(qemu, mpy_file):
    with XtensaMachine() as machine:
        f = machine.load(mpy_file)
        with pytest.raises(HostToolError, match="does not fit 32 bits"):
            machine.call(f["add"], 1 << 32, 0)
        with pytest.raises(HostToolError, match="total ended qemu-xtensa"):
            machine.call(f["total"], 0x7000_0000, 1)
    with XtensaMachine(timeout_s=0.3) as machine:
        with pytest.raises(HostToolError, match="hangs did not return"):
            machine.call(machine.load(mpy_file)["hangs"])


def test_counts_are_exact_and_repeatable(qemu, mpy_file):
    seen = []
    for single_step in (False, False, True):
        with XtensaMachine(count=True, single_step=single_step) as machine:
            f = machine.load(mpy_file)
            buffer = machine.alloc(bytes(100))
            for n in (0, 1, 2, 50, 0, 2):
                machine.call(f["total"], buffer, n)
            machine.call(f["add"], 1, 2)
            seen.append(machine.counts())
    assert seen[0] == seen[1] == seen[2]
    assert [name for name, _ in seen[0]] == ["total"] * 6 + ["add"]
    n0, n1, n2, n50, *again, _add = [count for _, count in seen[0]]
    assert again == [n0, n2]
    assert n2 - n1 == n1 - n0 and n50 - n0 == 50 * (n1 - n0)
    assert 5 <= n1 - n0 <= 20


def test_missing_qemu_says_how_to_install_it(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HostToolError) as caught:
        XtensaMachine()
    assert caught.value.hint == "apt-get install qemu-user" and caught.value.exit_code == 2
