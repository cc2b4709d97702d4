"""Reads and writes .mpy version 6 files: header, names, constants and the tree of code blocks.

machine.py runs the machine code in such a file, compile.py rewrites it. The layout is that of
MicroPython's py/persistentcode.c (mp_raw_code_load), which is what a board reads;
`to_bytes(from_bytes(data)) == data` holds for every file that is accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from host_tools.errors import HostToolError

VERSION, SUB_VERSION = 6, 3
ARCH_NONE, ARCH_XTENSAWIN = 0, 10
KIND_BYTECODE, KIND_NATIVE, KIND_VIPER, KIND_ASM = range(4)
OBJ_FUN_TABLE, OBJ_ELLIPSIS, OBJ_STR, OBJ_BYTES, OBJ_TUPLE = 0, 4, 5, 6, 10
MAX_DEPTH = 32  # of nested functions, and of nested tuples
_FLAGS_LINKED = 0x70  # relocations, rodata, bss: made by mpy_ld.py, never by mpy-cross
_HINT = "make the file with: mpy-cross -march=xtensawin"


@dataclass
class Code:
    """One code block: `data` is bytecode or machine code; `extra` the varints that follow it."""

    kind: int
    data: bytes
    extra: list[int]
    children: list[Code] = field(default_factory=list)
    has_children: bool = False


@dataclass
class Constant:
    """One constant as stored: its type byte and all the bytes after it."""

    kind: int
    raw: bytes


@dataclass
class Mpy:
    """A whole file. `names[i]` is None where only the number of a built-in string is stored."""

    header: bytes
    names: list[str | None]
    name_bytes: list[bytes]
    constants: list[Constant]
    root: Code

    @property
    def arch(self) -> int:
        """Native architecture: ARCH_NONE or ARCH_XTENSAWIN."""
        return self.header[2] >> 2 & 0x2F


def walk(code: Code) -> Iterator[Code]:
    """Yield the code block and everything below it, in the order of the file."""
    yield code
    for child in code.children:
        yield from walk(child)


class _Reader:
    """A cursor over the file that refuses to run past its end."""

    def __init__(self, data: bytes) -> None:
        self.data, self.pos = data, 0

    def take(self, size: int) -> bytes:
        if size > len(self.data) - self.pos:
            raise HostToolError(
                f".mpy file is truncated: {size} bytes wanted at {self.pos} of {len(self.data)}",
                _HINT,
            )
        self.pos += size
        return self.data[self.pos - size : self.pos]

    def varint(self) -> int:
        start, value = self.pos, 0
        while True:
            byte = self.take(1)[0]
            value = value << 7 | byte & 0x7F
            if not byte & 0x80:
                return value
            if self.pos - start == 5:
                raise HostToolError(f".mpy file is damaged: number at {start} is too long", _HINT)

    def name(self) -> tuple[str | None, bytes]:
        start = self.pos
        length = self.varint()
        if length & 1:
            return None, self.data[start : self.pos]
        text = self.take((length >> 1) + 1)[:-1]
        return text.decode("utf-8", "replace"), self.data[start : self.pos]

    def constant(self, depth: int = 0) -> Constant:
        kind, start = self.take(1)[0], self.pos
        if kind > OBJ_TUPLE or depth > MAX_DEPTH:
            raise HostToolError(f".mpy file is damaged: constant of type {kind} at {start}", _HINT)
        if kind > OBJ_ELLIPSIS:
            length = self.varint()
            if kind == OBJ_TUPLE:
                for _ in range(length):
                    self.constant(depth + 1)
            else:
                self.take(length + (kind in (OBJ_STR, OBJ_BYTES)))  # those end with a zero byte
        return Constant(kind, self.data[start : self.pos])

    def code(self, depth: int = 0) -> Code:
        if depth > MAX_DEPTH:
            raise HostToolError(".mpy file is damaged: functions nested too deep", _HINT)
        start, kind_len = self.pos, self.varint()
        kind, has_children = kind_len & 3, bool(kind_len & 4)
        data = self.take(kind_len >> 3)
        extra = [self.varint() for _ in range((0, 1, 1, 3)[kind])]
        if kind == KIND_VIPER and extra[0] & _FLAGS_LINKED:
            raise HostToolError(f".mpy code at {start} needs linking (relocations, data)", _HINT)
        children = [self.code(depth + 1) for _ in range(self.varint())] if has_children else []
        return Code(kind, data, extra, children, has_children)


def from_bytes(data: bytes) -> Mpy:
    """Parse a .mpy file for xtensawin (or without machine code); HostToolError for any other."""
    reader = _Reader(bytes(data))
    header = reader.take(4)
    if header[:1] != b"M":
        raise HostToolError("not a .mpy file: it does not begin with 'M'", _HINT)
    if header[1] != VERSION:
        raise HostToolError(f".mpy version {header[1]}, this tool reads {VERSION}", _HINT)
    arch, sub_version = header[2] >> 2 & 0x2F, header[2] & 3
    if arch not in (ARCH_NONE, ARCH_XTENSAWIN) or header[2] & 0x40:
        raise HostToolError(f".mpy is for architecture {arch}, not {ARCH_XTENSAWIN}", _HINT)
    if arch and sub_version != SUB_VERSION:
        raise HostToolError(
            f".mpy has native version {sub_version}, this tool reads {SUB_VERSION}", _HINT
        )
    n_names, n_constants = reader.varint(), reader.varint()
    named = [reader.name() for _ in range(n_names)]
    constants = [reader.constant() for _ in range(n_constants)]
    root = reader.code()
    if reader.pos != len(reader.data):
        raise HostToolError(f".mpy file has {len(data) - reader.pos} bytes after its end", _HINT)
    if root.kind != KIND_BYTECODE:
        raise HostToolError(f".mpy module body is of kind {root.kind}, not bytecode", _HINT)
    return Mpy(header, [n[0] for n in named], [n[1] for n in named], constants, root)


def varint(value: int) -> bytes:
    """Encode a number as .mpy files do: 7 bits a byte, most significant first."""
    groups = [value & 0x7F]
    while value := value >> 7:
        groups.append(value & 0x7F | 0x80)
    return bytes(reversed(groups))


def _code_bytes(code: Code) -> bytes:
    out = varint(len(code.data) << 3 | code.has_children << 2 | code.kind) + code.data
    out += b"".join(map(varint, code.extra))
    if code.has_children:
        out += varint(len(code.children)) + b"".join(map(_code_bytes, code.children))
    return out


def to_bytes(mpy: Mpy) -> bytes:
    """Return the file again, with whatever was changed in `mpy`."""
    return b"".join(
        (
            mpy.header,
            varint(len(mpy.name_bytes)) + varint(len(mpy.constants)),
            *mpy.name_bytes,
            *(bytes([constant.kind]) + constant.raw for constant in mpy.constants),
            _code_bytes(mpy.root),
        )
    )
