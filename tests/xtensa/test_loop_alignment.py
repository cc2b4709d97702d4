"""The first instruction of a zero-overhead loop must not cross a 4-byte word.

The LX7 (Xtensa ISA, LOOP: "the first instruction of the loop body must be fetched in one access")
is strict about it and qemu is not, so running the code does not show a mistake; reading it does.
"""

import struct

from host_tools.shared_firmware import FIRMWARE
from host_tools.xtensa import instruction_words
from host_tools.xtensa.compile import compile_firmware
from host_tools.xtensa.function_names import machine_code
from host_tools.xtensa.kernels import compiled_firmware
from host_tools.xtensa.mpy import from_bytes

_LOOPS = (0x8, 0x9, 0xA)  # LOOP, LOOPNEZ, LOOPGTZ: upper half of the second byte


def size_of(code, at):
    """Bytes of the instruction: 2 for the short forms, 4 for some of the vector unit, else 3."""
    return instruction_words.size_of(code[at])


def instructions(code):
    """Yield the position of each instruction, the constants that mpy-cross puts first skipped."""
    at = 0
    if code[0] & 0x3F == 6:  # j over the constants
        offset = struct.unpack("<I", code[:3] + b"\0")[0] >> 6
        at = 4 + offset - (offset >> 17 << 18)
    while at < len(code):
        yield at
        at += size_of(code, at)


def crossing_loops(code):
    """(positions of loops, positions of those whose first instruction crosses a word)."""
    loops = [at for at in instructions(code) if code[at] == 0x76 and code[at + 1] >> 4 in _LOOPS]
    bodies = [at + 3 for at in loops]
    return loops, [b for b in bodies if b % 4 + size_of(code, b) > 4]


def test_the_check_finds_a_crossing_loop(tmp_path):
    path = tmp_path / "loops.py"
    seen = set()
    for nops in range(4):
        source = "@micropython.asm_xtensa\ndef f(a2, a3, a4, a5):\n"
        source += "    l32i(a6, a5, 0)\n" + "    nop_n()\n" * nops
        source += "    data(3, 0x009676 | 5 << 16)\n    l8ui(a7, a2, 0)\n    addi(a2, a2, 1)\n"
        path.write_text(source)
        code = machine_code(from_bytes(compile_firmware(path)))["f"].data
        loops, found = crossing_loops(code)
        assert len(loops) == 1, nops
        body = loops[0] + 3
        assert bool(found) == (body % 4 > 1), (nops, body)
        seen.add(bool(found))
    assert seen == {False, True}


def test_no_kernel_has_a_loop_whose_first_instruction_crosses_a_word():
    others = [*(FIRMWARE / "drivers").glob("*.py"), *(FIRMWARE / "satellite").glob("*_xtensa.py")]
    compiled = {path.stem: compile_firmware(path) for path in others}
    for module, data in (*compiled_firmware().items(), *compiled.items()):
        for name, code in machine_code(from_bytes(data)).items():
            _, found = crossing_loops(code.data)
            assert not found, (module, name, found)
