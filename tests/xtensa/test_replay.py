"""Recording in MicroPython and replay on the Xtensa machine: what is equal, what is not."""

import struct

import pytest

from host_tools.errors import HostToolError
from host_tools.xtensa.call_trace import Trace
from host_tools.xtensa.compile import compile_firmware
from host_tools.xtensa.record import record
from host_tools.xtensa.replay import Replay

KERNELS = """
import micropython

@micropython.viper
def add(x: ptr8, n: int):
    i = 0
    while i < n:
        x[i] = x[i] + 1
        i += 1

@micropython.viper
def total(x: ptr16, n: int) -> int:
    s = 0
    while n:
        n -= 1
        s += x[n]
    return s

@micropython.viper
def wide(x: ptr32) -> int:
    return x[0] >> 1

@micropython.viper
def is_zero(x: ptr8) -> bool:
    return x[0] == 0
"""
PACKAGE = """
import array
from .kernels import add, is_zero, total

def go():
    words = array.array("H", range(64))
    whole = bytearray(40)
    view = memoryview(whole)
    for i in range(20):
        add(view[i : i + 8], 3)
        whole[39] = i
        total(words, len(words))
        words[i] = 1000 * i
        total(memoryview(words)[8:], 3)
        total(b"abcd" * 4, -4 + 8)
        add(whole, 40)
        is_zero(view[39 - i :])
    return bytes(whole)
"""
SCRIPT = "import sys\nfrom sample import go\nprint(go())\n"


@pytest.fixture
def sample(native_emitter, tmp_path):
    """A folder with a package of kernels and a script that uses them."""
    package = tmp_path / "sample"
    package.mkdir()
    (package / "__init__.py").write_text(PACKAGE)
    (package / "kernels.py").write_text(KERNELS)
    (tmp_path / "script.py").write_text(SCRIPT)
    return tmp_path


def recorded(sample, names="add,total,wide,is_zero"):
    kernels = f"sample.kernels={names}"
    return record(kernels, sample / "script.py", folders=(sample,))


def loaded(machine, sample, source=KERNELS):
    path = sample / "kernels.py"
    path.write_text(source)
    functions = machine.load(compile_firmware(path))
    return {f"sample.kernels.{name}": function for name, function in functions.items()}


def test_a_recording_holds_all_calls_and_replays_without_a_difference(sample, machine):
    trace = recorded(sample)
    report = Replay(machine, loaded(machine, sample), trace).run()
    assert (report.different, report.first) == (0, None)
    prefix = "sample.kernels."
    want = {prefix + "add": 40, prefix + "total": 60, prefix + "is_zero": 20}
    assert report.calls_of == want
    assert report.calls == 120
    calls = list(trace)
    assert {type(call.result) for call in calls} == {type(None), int, bool}
    assert calls[0].before[0].content == bytes(8) and calls[0].after[0].content == b"\1\1\1"


def test_a_wrong_byte_is_named_and_counted_where_it_is_made(sample, machine):
    trace = recorded(sample)
    wrong = KERNELS.replace("x[i] = x[i] + 1", "x[i] = x[i] + (2 if x[i] == 5 else 1)")
    report = Replay(machine, loaded(machine, sample, wrong), trace).run()
    expected = [5 in before for before in adds_inputs(trace)]
    assert sum(expected) > 0
    assert report.first.startswith(f"sample.kernels.add, call {index_of_add(trace, expected)}, ")
    # Each wrong byte is made once: memory is set right after each call.
    assert report.different == sum(before.count(5) for before in adds_inputs(trace))


def adds_inputs(trace):
    """The bytes that each call of `add` increments, from an interpretation in plain Python."""
    memory = {}
    inputs = []
    for call in trace:
        for change in call.before:
            memory.update({change.address + i: b for i, b in enumerate(change.content)})
        if call.kernel.endswith(".add"):
            start, n = call.arguments[0].address, call.arguments[1]
            inputs.append([memory[start + i] for i in range(n)])
        for change in call.after:
            memory.update({change.address + i: b for i, b in enumerate(change.content)})
    return inputs


def index_of_add(trace, wrong):
    adds = [i for i, call in enumerate(trace) if call.kernel.endswith(".add")]
    return adds[wrong.index(True)]


def test_a_wrong_result_is_named(sample, machine):
    trace = recorded(sample)
    wrong = KERNELS.replace("s += x[n]", "s += x[n] & 0x1FFF")
    report = Replay(machine, loaded(machine, sample, wrong), trace).run()
    assert "sample.kernels.total, call " in report.first and "returned " in report.first
    assert 0 < report.different < 60


def test_arithmetic_that_needs_64_bits_is_found(sample, machine):
    """What a test on the host alone cannot see: the chip's int has 32 bits, its ptr32 a sign."""
    (sample / "script.py").write_text(
        "from sample.kernels import wide\nwide(b'\\xff\\xff\\xff\\xff')\n"
    )
    report = Replay(machine, loaded(machine, sample), recorded(sample)).run()
    assert report.different == 1
    assert "returned -1, want 2147483647" in report.first


def test_what_python_writes_does_not_paper_over_a_kernel(sample, machine):
    """A kernel that does nothing is caught in its own call, not repaired by the recording."""
    trace = recorded(sample)
    lazy = KERNELS.replace("x[i] = x[i] + 1", "pass")
    report = Replay(machine, loaded(machine, sample, lazy), trace).run()
    assert report.first.startswith("sample.kernels.add, call 0, argument 0, byte 0: got 0, want 1")
    assert report.different == sum(len(before) for before in adds_inputs(trace))


ENDS = """
import micropython

@micropython.viper
def ends(x: ptr8, n: int):
    x[0] = x[0] + 1
    x[n - 1] = x[n - 1] + 1

@micropython.viper
def middle(x: ptr8, i: int) -> int:
    return x[i]
"""


@pytest.mark.parametrize("reads, different", ((1, 0), (5, 1)))
def test_a_workspace_may_hold_anything_until_somebody_reads_it(sample, machine, reads, different):
    """Bytes 4..7 are the workspace, between two bytes that the kernel does write."""
    (sample / "sample" / "kernels.py").write_text(ENDS)
    (sample / "sample" / "__init__.py").write_text("")
    (sample / "script.py").write_text(
        "from sample.kernels import ends, middle\n"
        "x = bytearray(12)\n"
        "for i in range(3):\n"
        "    ends(x, 12)\n"
        "    x[1] += 1\n"
        "    x[10] += 1\n"
        f"middle(x, {reads})\n"
    )
    trace = recorded(sample, "ends,middle")
    untidy = ENDS.replace("    x[0] =", "    x[5] = 99\n    x[0] =")
    kernels = loaded(machine, sample, untidy)
    workspaces = {"sample.kernels.ends": lambda call, read: (call.arguments[0].address + 4, 4)}
    report = Replay(machine, kernels, trace, workspaces).run()
    assert report.different == different, report.first
    assert Replay(machine, kernels, trace).run().different == 3


def test_limit_and_missing_kernels(sample, machine):
    trace = recorded(sample)
    functions = loaded(machine, sample)
    assert Replay(machine, functions, trace).run(limit=7).calls == 7
    del functions["sample.kernels.total"]
    with pytest.raises(HostToolError, match="sample.kernels.total was recorded but is not"):
        Replay(machine, functions, trace).run()


def test_a_failing_script_and_a_damaged_recording_are_errors(sample, tmp_path):
    with pytest.raises(HostToolError, match="script.py failed in MicroPython"):
        (sample / "script.py").write_text("from sample import nothing_there\n")
        recorded(sample)
    good = struct.pack("<cH1s", b"N", 1, b"k") + struct.pack("<cHBcq", b"C", 0, 1, b"i", 5)
    for size in range(1, len(good)):
        if size == 4:
            continue  # the name alone is a recording of no calls
        path = tmp_path / "calls"
        path.write_bytes(good[:size])
        with pytest.raises(HostToolError, match="damaged"):
            list(Trace(path))
    path.write_bytes(good + b"n")
    (call,) = Trace(path)
    assert (call.kernel, call.arguments, call.result) == ("k", (5,), None)
