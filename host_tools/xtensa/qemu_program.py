"""The program that qemu-xtensa runs: maps the shared memory, then calls functions on request.

For: machine.py. A few dozen Xtensa instructions in an ELF image, assembled here by hand, since no
Xtensa compiler is packaged. The program maps file descriptor `fd` at SHARED_BASE, writes one byte
to say so, then for ever: reads one byte, makes the call that the control block describes, writes
one byte. Everything else (code, tables, buffers, arguments, results) lies in the shared memory.

Calls into MicroPython's runtime go through the fun table (py/nativeglue.h). The image has a stub
for each of its entries: two conversions that a kernel needs, and traps that leave the number of
the entry in the control block and end the process.
"""

from __future__ import annotations

import struct

IMAGE_BASE = 0x10000
SHARED_BASE = 0x20000000
FUN_TABLE_ENTRIES = 96
NATIVE_FROM_OBJ, NATIVE_TO_OBJ, ARG_CHECK_NUM_SIG = 3, 4, 44
# Byte offsets of the control block's words, at SHARED_BASE.
CODE, FUN_OBJ, N_ARGS, ARGS_AT, RESULT, RESULT_TYPE, TRAP, SCRATCH = range(0, 32, 4)
ARGS = 64  # where the arguments themselves are put
#: An object here is its value plus this, so that one which is not converted gives itself away.
OBJECT_OFFSET = 64
NO_TRAP = 0xFFFFFFFF
EXIT_TRAP, EXIT_NO_MEMORY = 3, 4
_HEADER = 0x100
_READ, _WRITE, _MMAP2, _EXIT = 12, 13, 80, 118
_PROT_RWX, _MAP_SHARED_FIXED = 7, 0x11


class _Assembler:
    """Emits the monitor's instructions; a literal is placed before the code that uses it."""

    def __init__(self) -> None:
        self.image = bytearray(_HEADER)
        self.literals: dict[int, int] = {}

    @property
    def here(self) -> int:
        return IMAGE_BASE + len(self.image)

    def align(self) -> None:
        self.image += bytes(-len(self.image) % 4)

    def literal(self, value: int) -> None:
        self.literals[value] = self.here
        self.image += struct.pack("<I", value)

    def word(self, value: int) -> None:
        self.image += struct.pack("<I", value)[:3]

    def l32r(self, reg: int, value: int) -> None:
        offset = self.literals[value] - (self.here + 3 & ~3)
        self.word((offset >> 2 & 0xFFFF) << 8 | reg << 4 | 1)

    def movi(self, reg: int, value: int) -> None:
        assert -2048 <= value < 2048
        self.word((value & 0xFF) << 16 | 0xA000 | (value >> 8 & 15) << 8 | reg << 4 | 2)

    def addi(self, reg: int, source: int, value: int) -> None:
        self.word((value & 0xFF) << 16 | 0xC000 | source << 8 | reg << 4 | 2)

    def l32i(self, reg: int, base: int, offset: int) -> None:
        self.word(offset // 4 << 16 | 0x2000 | base << 8 | reg << 4 | 2)

    def s32i(self, reg: int, base: int, offset: int) -> None:
        self.word(offset // 4 << 16 | 0x6000 | base << 8 | reg << 4 | 2)

    def jump(self, target: int) -> None:
        self.word((target - self.here - 4 & 0x3FFFF) << 6 | 6)

    def entry(self) -> None:
        self.align()
        self.word(0x004136)  # entry a1, 32

    def retw(self) -> None:
        self.word(0x000090)

    def callx8(self, reg: int) -> None:
        self.word(reg << 8 | 0xE0)

    def skip_if_positive(self, reg: int, n_bytes: int) -> None:
        """Skip the next n_bytes when reg >= 1 (bgei reg, 1)."""
        self.word(n_bytes - 1 << 16 | 0x1000 | reg << 8 | 0xE6)

    def skip_if_equal(self, a: int, b: int, n_bytes: int) -> None:
        """Skip the next n_bytes when the two registers are equal (beq)."""
        self.word(n_bytes - 1 << 16 | 0x1000 | a << 8 | b << 4 | 7)

    def syscall(self, number: int, *registers: tuple[int, int]) -> None:
        for reg, value in registers:
            if value in self.literals:
                self.l32r(reg, value)
            else:
                self.movi(reg, value)
        self.movi(2, number)
        self.word(0x005000)

    def exit(self, status: int) -> None:
        self.syscall(_EXIT, (6, status))


def build(fd: int, shared_size: int) -> tuple[bytes, list[int], int]:
    """Return (ELF file, the fun table's entries as addresses, address of the calling block).

    fd: the descriptor that the process inherits; shared_size: bytes to map at SHARED_BASE.
    """
    asm = _Assembler()
    scratch = SHARED_BASE + SCRATCH
    for value in (SHARED_BASE, shared_size, scratch):
        asm.literal(value)

    asm.entry()
    from_obj = asm.here - 3  # (object, type) -> value; leaves nothing in the caller's a11 to a15
    asm.addi(2, 2, -OBJECT_OFFSET)
    for register in range(3, 8):
        asm.movi(register, -1)
    asm.retw()
    asm.entry()
    to_obj = asm.here - 3  # (value, type) -> value, and the type + 1 is left for the host
    asm.l32r(4, SHARED_BASE)
    asm.addi(3, 3, 1)
    asm.s32i(3, 4, RESULT_TYPE)
    asm.retw()

    asm.align()
    trap = asm.here  # a2 = index
    asm.l32r(3, SHARED_BASE)
    asm.s32i(2, 3, TRAP)
    asm.exit(EXIT_TRAP)
    table = []
    for index in range(FUN_TABLE_ENTRIES):
        asm.entry()
        table.append(asm.here - 3)
        asm.movi(2, index)
        asm.jump(trap)
    table[NATIVE_FROM_OBJ], table[NATIVE_TO_OBJ] = from_obj, to_obj

    asm.align()
    start = asm.here
    asm.syscall(
        _MMAP2,
        (6, SHARED_BASE),
        (3, shared_size),
        (4, _PROT_RWX),
        (5, _MAP_SHARED_FIXED),
        (8, fd),
        (9, 0),
    )
    asm.l32r(3, SHARED_BASE)
    asm.skip_if_equal(2, 3, 9)
    asm.exit(EXIT_NO_MEMORY)
    loop = asm.here
    asm.syscall(_WRITE, (6, 1), (3, scratch), (4, 1))
    asm.syscall(_READ, (6, 0), (3, scratch), (4, 1))
    asm.skip_if_positive(2, 9)
    asm.exit(0)
    call = asm.here
    asm.l32r(15, SHARED_BASE)
    asm.l32i(8, 15, CODE)
    asm.l32i(10, 15, FUN_OBJ)
    asm.l32i(11, 15, N_ARGS)
    asm.movi(12, 0)
    asm.l32i(13, 15, ARGS_AT)
    asm.callx8(8)
    asm.l32r(15, SHARED_BASE)
    asm.s32i(10, 15, RESULT)
    asm.jump(loop)

    image = asm.image
    elf = b"\x7fELF\x01\x01\x01" + bytes(9)
    elf += struct.pack("<HHIIIIIHHHHHH", 2, 94, 1, start, 52, 0, 0x300, 52, 32, 1, 0, 0, 0)
    elf += struct.pack("<8I", 1, 0, IMAGE_BASE, IMAGE_BASE, len(image), len(image), 7, 0x1000)
    image[: len(elf)] = elf
    return bytes(image), table, call
