"""What each instruction's word looks like: the few of the ESP32-S3 that its vector kernels use.

A pattern is the word as the manuals print it, highest bit first: bits, and fields such as `qu` of
3 bits (`qu[2:1]` is two of them).  BASE is from Cadence's Xtensa ISA manual, VECTOR from chapter
"Processor Instruction Extensions" of Espressif's ESP32-S3 technical reference manual.
`decode` reads a word, `text` writes it as an assembler would.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

from host_tools.errors import HostToolError

BASE = {
    "add": "1000 0000 r s t 0000",
    "sub": "1100 0000 r s t 0000",
    "or": "0010 0000 r s t 0000",
    "mull": "1000 0010 r s t 0000",
    "slli": "000 shift[4] 0001 r s shift[3:0] 0000",
    "srli": "0100 0001 r shift[3:0] t 0000",
    "l32i": "imm[7:0] 0010 s t 0010",
    "s32i": "imm[7:0] 0110 s t 0010",
    "addi": "imm[7:0] 1100 s t 0010",
    "l32r": "imm[15:0] t 0001",
    "beqz": "imm[11:0] s 0001 0110",
    "bnez": "imm[11:0] s 0101 0110",
    "bany": "imm[7:0] 1000 s t 0111",
    "j": "imm[17:0] 00 0110",
    "loopnez": "imm[7:0] 1001 s 0111 0110",
    "callx8": "0000 0000 0000 s 1110 0000",
    "entry": "imm[11:0] s 0011 0110",
    "l32i.n": "imm[3:0] s t 1000",
    "s32i.n": "imm[3:0] s t 1001",
    "add.n": "r s t 1010",
    "addi.n": "r s imm[3:0] 1011",
    "mov.n": "0000 s t 1101",
    "retw.n": "1111 0000 0001 1101",
    "nop.n": "1111 0000 0011 1101",
}
_IP = "imm[6:0] as 0100"  # an address that is moved on by 16 times a signed number
VECTOR = {
    "ee.ld.128.usar.ip": f"1 imm[7] qu[2:1] 0001 qu[0] {_IP}",
    "ee.vld.128.ip": f"1 imm[7] qu[2:1] 0011 qu[0] {_IP}",
    "ee.vst.128.ip": f"1 imm[7] qv[2:1] 1010 qv[0] {_IP}",
    "ee.vld.128.xp": "10 qu[2:1] 1101 qu[0] 010 ad as 0100",
    "ee.movi.32.q": "11 qu[2:1] 1101 qu[0] 011 sel[1:0] 10 as 0100",
    "ee.src.q": "11 qs1[2:1] 1100 qs1[0] qs0[2:0] 00110 qa[2:0] 0100",
    "ee.src.q.ld.ip": "111000 imm[7:6] imm[2] qs1[2:0] imm[5] qu[2:0] qs0[1:0] imm[4:3] 00 "
    "imm[1:0] as 111 qs0[2]",
    "ee.notq": "11 qa[2:1] 1101 qa[0] 1111111 qx[2:1] 0 qx[0] 0100",
    "ee.zero.accx": "0010 0101 0000 1000 0000 0100",
    "ee.vmulas.u8.accx": "000010100 qy[2] 0 qy[1:0] qx[2:0] 11000100",
    "ee.vmulas.u8.accx.ld.ip": "1111 imm[5:4] qu[2:1] qy[0] 000 qu[0] 110 qx[1:0] qy[2:1] "
    "imm[3:0] as 111 qx[2]",
    "rur.accx_0": "1110 0011 ar 0000 0000 0000",
}
#: Operands in an assembler's order.
_OPERANDS = {
    "ee.ld.128.usar.ip": "qu as imm",
    "ee.vld.128.ip": "qu as imm",
    "ee.vst.128.ip": "qv as imm",
    "ee.vld.128.xp": "qu as ad",
    "ee.movi.32.q": "qu as sel",
    "ee.src.q": "qa qs0 qs1",
    "ee.src.q.ld.ip": "qu as imm qs0 qs1",
    "ee.notq": "qa qx",
    "ee.zero.accx": "",
    "ee.vmulas.u8.accx": "qx qy",
    "ee.vmulas.u8.accx.ld.ip": "qu as imm qx qy",
    "rur.accx_0": "ar",
}
_ADDRESS_FIELDS = ("r", "s", "t", "as", "ad", "ar")  # 4 bits: a register a0 to a15


@dataclass(frozen=True)
class Instruction:
    """A decoded instruction: name, fields (unsigned, as they stand in the word), size in bytes."""

    name: str
    fields: dict[str, int]
    size: int

    def signed(self, name: str, bits: int) -> int:
        """Return a field as a two's complement number of that many bits."""
        value = self.fields[name]
        return value - (value >> bits - 1 << bits)


@dataclass
class _Form:
    """One instruction's pattern: the bits that are given, and where each field's bits lie."""

    name: str
    size: int
    mask: int = 0
    match: int = 0
    #: (field, its place in the word, the lowest of its bits that stands there, bits)
    parts: list[tuple[str, int, int, int]] = field(default_factory=list)


def _form(name: str, pattern: str) -> _Form:
    tokens = []  # (field or bits, its lowest bit, bits)
    for token in pattern.split():
        name_or_bits, _, span = token.rstrip("]").partition("[")
        if name_or_bits.strip("01") == "":
            tokens.append((name_or_bits, 0, len(name_or_bits)))
        elif not span:
            tokens.append((name_or_bits, 0, 4))
        else:
            high, _, lowest = span.partition(":")
            low = int(lowest or high)
            tokens.append((name_or_bits, low, int(high) - low + 1))
    at = sum(bits for _, _, bits in tokens)
    form = _Form(name, at // 8)
    for token, low, bits in tokens:
        at -= bits
        if token.strip("01") == "":
            form.mask |= (1 << bits) - 1 << at
            form.match |= int(token, 2) << at
        else:
            form.parts.append((token, at, low, bits))
    return form


_FORMS = [_form(name, pattern) for name, pattern in {**BASE, **VECTOR}.items()]


def size_of(first_byte: int) -> int:
    """Return the bytes of the instruction that begins with this byte: 2, 3 or 4."""
    return 4 if first_byte & 15 >= 14 else 2 if first_byte & 15 >= 8 else 3


@lru_cache(maxsize=4096)
def decode(word: bytes) -> Instruction:
    """Decode the instruction at the start of these bytes; HostToolError for any other."""
    size = size_of(word[0])
    value = int.from_bytes(word[:size], "little")
    for form in _FORMS:
        if form.size == size and value & form.mask == form.match:
            fields: dict[str, int] = {}
            for name, at, low, bits in form.parts:
                fields[name] = fields.get(name, 0) | (value >> at & (1 << bits) - 1) << low
            return Instruction(form.name, fields, size)
    raise HostToolError(f"no instruction that is known here: {value:0{2 * size}x}")


def encode(name: str, **fields: int) -> bytes:
    """Return the instruction's bytes; a field's higher bits are dropped."""
    form = next(form for form in _FORMS if form.name == name)
    value = form.match
    for part, at, low, bits in form.parts:
        value |= (fields[part] >> low & (1 << bits) - 1) << at
    return value.to_bytes(form.size, "little")


def text(instruction: Instruction) -> str:
    """Return a vector instruction as an assembler writes it: `ee.vld.128.ip q0, a6, 16`."""
    words = []
    for operand in _OPERANDS[instruction.name].split():
        if operand == "imm":
            bits = 6 if instruction.name.startswith("ee.vmulas") else 8
            words.append(str(16 * instruction.signed("imm", bits)))
        elif operand == "sel":
            words.append(str(instruction.fields["sel"]))
        else:
            kind = "a" if operand in _ADDRESS_FIELDS else "q"
            words.append(f"{kind}{instruction.fields[operand]}")
    return f"{instruction.name} {', '.join(words)}".strip()
