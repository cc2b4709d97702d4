"""Runs the ESP32-S3's vector kernels an instruction at a time, and counts the instructions.

qemu-user has no CPU with the S3's vector unit.  This knows just the instructions of
`instruction_words`, and refuses every other.  Written from the manuals named there; a test holds
each instruction of the base set against qemu, and the rest against what Espressif's manual says.

The unit: registers q0 to q7 of 16 bytes (here integers, byte 0 the lowest), ACCX of 40 bits, and
SAR_BYTE of 4.  A load or store of 16 bytes takes the lowest 4 bits of its address for 0.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Protocol

from host_tools.errors import HostToolError
from host_tools.xtensa.instruction_words import Instruction, decode

WORD = 0xFFFFFFFF
Q_BYTES = 16
ACCX_MAX = (1 << 40) - 1  # it stays there: unsigned sums saturate
MAX_INSTRUCTIONS = 2_000_000  # of a call; more is a hang
_RETURN_REGISTER = 2
_CALL_REGISTERS = range(8, 16)  # what a callx8 may destroy


class Memory(Protocol):
    """The memory of code and of data; each may raise HostToolError for an address it refuses."""

    def fetch(self, address: int) -> bytes: ...
    def load(self, address: int, size: int) -> int: ...
    def store(self, address: int, size: int, value: int) -> None: ...


#: What a callx8 does: (address, a10, a11) -> a10.
Runtime = Callable[[int, int, int], int]


class Interpreter:
    """One call of a function: registers at its start are random but for those given.

    count: instructions that were executed.
    """

    def __init__(self, memory: Memory, runtime: Runtime, seed: int = 0) -> None:
        self._memory, self._runtime = memory, runtime
        self._random = random.Random(seed)
        self.a = [self._random.getrandbits(32) for _ in range(16)]
        self.q = [self._random.getrandbits(128) for _ in range(8)]
        self.accx = self._random.getrandbits(40)
        self.sar_byte = self._random.getrandbits(4)
        self.count = 0
        self._pc = self._next = 0
        self._loop_begin = self._loop_end = self._loop_count = 0

    def run(self, address: int) -> int:
        """Run from `address`, the start of a function, to its return; a2 then."""
        self._pc = address
        while True:
            instruction = decode(self._memory.fetch(self._pc))
            self._next = self._pc + instruction.size
            self.count += 1
            if self.count > MAX_INSTRUCTIONS:
                raise HostToolError(f"no return after {MAX_INSTRUCTIONS} instructions")
            if instruction.name == "retw.n":
                return self.a[_RETURN_REGISTER]
            sequential = self._next
            _EXECUTE[instruction.name](self, instruction)
            if self._next == sequential == self._loop_end and self._loop_count:
                self._loop_count -= 1
                self._next = self._loop_begin
            self._pc = self._next

    # --- the base set ---

    def _set(self, register: int, value: int) -> None:
        self.a[register] = value & WORD

    def _add(self, i: Instruction) -> None:
        self._set(i.fields["r"], self.a[i.fields["s"]] + self.a[i.fields["t"]])

    def _sub(self, i: Instruction) -> None:
        self._set(i.fields["r"], self.a[i.fields["s"]] - self.a[i.fields["t"]])

    def _or(self, i: Instruction) -> None:
        self._set(i.fields["r"], self.a[i.fields["s"]] | self.a[i.fields["t"]])

    def _mull(self, i: Instruction) -> None:
        self._set(i.fields["r"], self.a[i.fields["s"]] * self.a[i.fields["t"]])

    def _slli(self, i: Instruction) -> None:  # the field holds 32 less the shift
        self._set(i.fields["r"], self.a[i.fields["s"]] << 32 - i.fields["shift"])

    def _srli(self, i: Instruction) -> None:
        self._set(i.fields["r"], self.a[i.fields["t"]] >> i.fields["shift"])

    def _addi(self, i: Instruction) -> None:
        self._set(i.fields["t"], self.a[i.fields["s"]] + i.signed("imm", 8))

    def _addi_n(self, i: Instruction) -> None:  # 0 stands for -1
        self._set(i.fields["r"], self.a[i.fields["s"]] + (i.fields["imm"] or -1))

    def _mov_n(self, i: Instruction) -> None:
        self._set(i.fields["t"], self.a[i.fields["s"]])

    def _l32i(self, i: Instruction) -> None:
        at = self.a[i.fields["s"]] + 4 * i.fields["imm"] & WORD
        self._set(i.fields["t"], self._memory.load(at, 4))

    def _s32i(self, i: Instruction) -> None:
        at = self.a[i.fields["s"]] + 4 * i.fields["imm"] & WORD
        self._memory.store(at, 4, self.a[i.fields["t"]])

    def _l32r(self, i: Instruction) -> None:
        at = (self._pc + 3 & ~3) + 4 * (i.fields["imm"] - (1 << 16))
        self._set(i.fields["t"], self._memory.load(at & WORD, 4))

    def _beqz(self, i: Instruction) -> None:
        if not self.a[i.fields["s"]]:
            self._next = self._pc + 4 + i.signed("imm", 12)

    def _bnez(self, i: Instruction) -> None:
        if self.a[i.fields["s"]]:
            self._next = self._pc + 4 + i.signed("imm", 12)

    def _bany(self, i: Instruction) -> None:
        if self.a[i.fields["s"]] & self.a[i.fields["t"]]:
            self._next = self._pc + 4 + i.signed("imm", 8)

    def _j(self, i: Instruction) -> None:
        self._next = self._pc + 4 + i.signed("imm", 18)

    def _loopnez(self, i: Instruction) -> None:
        self._loop_begin, self._loop_end = self._next, self._pc + 4 + i.fields["imm"]
        count = self.a[i.fields["s"]]
        self._loop_count = count - 1 & WORD
        if not count:
            self._loop_count = 0
            self._next = self._loop_end

    def _callx8(self, i: Instruction) -> None:
        result = self._runtime(self.a[i.fields["s"]], self.a[10], self.a[11])
        for register in _CALL_REGISTERS:
            self.a[register] = self._random.getrandbits(32)
        self._set(10, result)

    def _entry(self, i: Instruction) -> None:
        self._set(i.fields["s"], self.a[i.fields["s"]] - 8 * i.fields["imm"])

    def _nop_n(self, _: Instruction) -> None:
        pass

    # --- the vector unit ---

    def _load_q(self, i: Instruction, step: int) -> None:
        at = i.fields["as"]
        value = self._memory.load(self.a[at] & ~15, Q_BYTES)
        self._set(at, self.a[at] + step)
        self.q[i.fields["qu"]] = value

    def _vld_128_ip(self, i: Instruction) -> None:
        self._load_q(i, 16 * i.signed("imm", 8))

    def _vld_128_xp(self, i: Instruction) -> None:
        self._load_q(i, self.a[i.fields["ad"]])

    def _ld_128_usar_ip(self, i: Instruction) -> None:
        self.sar_byte = self.a[i.fields["as"]] & 15
        self._vld_128_ip(i)

    def _vst_128_ip(self, i: Instruction) -> None:
        at = i.fields["as"]
        self._memory.store(self.a[at] & ~15, Q_BYTES, self.q[i.fields["qv"]])
        self._set(at, self.a[at] + 16 * i.signed("imm", 8))

    def _movi_32_q(self, i: Instruction) -> None:
        at = 32 * i.fields["sel"]
        old = self.q[i.fields["qu"]]
        self.q[i.fields["qu"]] = old & ~(WORD << at) | self.a[i.fields["as"]] << at

    def _shifted(self, i: Instruction) -> int:
        both = self.q[i.fields["qs1"]] << 128 | self.q[i.fields["qs0"]]
        return both >> 8 * self.sar_byte & (1 << 128) - 1

    def _src_q(self, i: Instruction) -> None:
        self.q[i.fields["qa"]] = self._shifted(i)

    def _src_q_ld_ip(self, i: Instruction) -> None:
        if i.fields["qu"] == i.fields["qs0"]:
            raise HostToolError("ee.src.q.ld.ip writes one register twice")
        shifted = self._shifted(i)
        self._vld_128_ip(i)
        self.q[i.fields["qs0"]] = shifted

    def _notq(self, i: Instruction) -> None:
        self.q[i.fields["qa"]] = ~self.q[i.fields["qx"]] & (1 << 128) - 1

    def _zero_accx(self, _: Instruction) -> None:
        self.accx = 0

    def _vmulas_u8_accx(self, i: Instruction) -> None:
        x, y = (self.q[i.fields[f]].to_bytes(Q_BYTES, "little") for f in ("qx", "qy"))
        total = self.accx + sum(a * b for a, b in zip(x, y, strict=True))
        self.accx = min(total, ACCX_MAX)

    def _vmulas_u8_accx_ld_ip(self, i: Instruction) -> None:
        self._vmulas_u8_accx(i)
        self._load_q(i, 16 * i.signed("imm", 6))

    def _rur_accx_0(self, i: Instruction) -> None:
        self._set(i.fields["ar"], self.accx)


_EXECUTE: dict[str, Callable[[Interpreter, Instruction], None]] = {
    "add": Interpreter._add,
    "add.n": Interpreter._add,
    "sub": Interpreter._sub,
    "or": Interpreter._or,
    "mull": Interpreter._mull,
    "slli": Interpreter._slli,
    "srli": Interpreter._srli,
    "addi": Interpreter._addi,
    "addi.n": Interpreter._addi_n,
    "mov.n": Interpreter._mov_n,
    "l32i": Interpreter._l32i,
    "l32i.n": Interpreter._l32i,
    "s32i": Interpreter._s32i,
    "s32i.n": Interpreter._s32i,
    "l32r": Interpreter._l32r,
    "beqz": Interpreter._beqz,
    "bnez": Interpreter._bnez,
    "bany": Interpreter._bany,
    "j": Interpreter._j,
    "loopnez": Interpreter._loopnez,
    "callx8": Interpreter._callx8,
    "entry": Interpreter._entry,
    "nop.n": Interpreter._nop_n,
    "ee.ld.128.usar.ip": Interpreter._ld_128_usar_ip,
    "ee.vld.128.ip": Interpreter._vld_128_ip,
    "ee.vst.128.ip": Interpreter._vst_128_ip,
    "ee.vld.128.xp": Interpreter._vld_128_xp,
    "ee.movi.32.q": Interpreter._movi_32_q,
    "ee.src.q": Interpreter._src_q,
    "ee.src.q.ld.ip": Interpreter._src_q_ld_ip,
    "ee.notq": Interpreter._notq,
    "ee.zero.accx": Interpreter._zero_accx,
    "ee.vmulas.u8.accx": Interpreter._vmulas_u8_accx,
    "ee.vmulas.u8.accx.ld.ip": Interpreter._vmulas_u8_accx_ld_ip,
    "rur.accx_0": Interpreter._rur_accx_0,
}
