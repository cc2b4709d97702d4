"""Reads a recording of kernel calls, made by record_calls.py in MicroPython.

Little-endian; a sequence of
    N  u16 length, name                     the next kernel's full name (numbered from 0)
    C  u16 kernel, u8 number of arguments   a call; then for each argument
         i  i64                             an integer
         b  u64 address, u32 size, change   a buffer; what Python wrote since last seen
       n | t | f | i i64                    the result: None, True, False, an integer
       change for each buffer               what the kernel wrote to it
    change: u32 first byte, u32 count, the bytes
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from host_tools.errors import HostToolError


@dataclass(frozen=True)
class Change:
    """`content` was written at `address`, an address of the recording process."""

    address: int
    content: bytes


@dataclass(frozen=True)
class Buffer:
    """A buffer argument: a range of the recording process's memory."""

    address: int
    size: int


@dataclass(frozen=True)
class Call:
    """One call of a kernel; `before` is what Python wrote first, `after` what the kernel wrote."""

    kernel: str
    arguments: tuple[int | Buffer, ...]
    before: tuple[Change, ...]
    result: int | bool | None
    after: tuple[Change, ...]


class Trace:
    """A recording in memory; iterating it yields its calls."""

    def __init__(self, path: Path | str) -> None:
        self._data = Path(path).read_bytes()

    def _take(self, form: str) -> tuple[int, ...]:
        values = struct.unpack_from(form, self._data, self._pos)
        self._pos += struct.calcsize(form)
        return values

    def _bytes(self, size: int) -> bytes:
        content = self._data[self._pos : self._pos + size]
        if len(content) < size:
            raise struct.error("bytes are missing")
        self._pos += size
        return content

    def _change(self, buffer: Buffer) -> Change:
        first, count = self._take("<2I")
        return Change(buffer.address + first, self._bytes(count))

    def _call(self, names: list[str]) -> Call:
        kernel, n_arguments = self._take("<HB")
        arguments: list[int | Buffer] = []
        before: list[Change] = []
        for _ in range(n_arguments):
            if self._bytes(1) == b"i":
                arguments.append(self._take("<q")[0])
            else:
                buffer = Buffer(*self._take("<QI"))
                arguments.append(buffer)
                before.append(self._change(buffer))
        tag = self._bytes(1)
        result = self._take("<q")[0] if tag == b"i" else {b"n": None, b"t": True, b"f": False}[tag]
        after = [self._change(a) for a in arguments if isinstance(a, Buffer)]
        return Call(names[kernel], tuple(arguments), tuple(before), result, tuple(after))

    def __iter__(self) -> Iterator[Call]:
        self._pos, names = 0, []
        try:
            while self._pos < len(self._data):
                if self._bytes(1) == b"N":
                    names.append(self._bytes(self._take("<H")[0]).decode())
                else:
                    yield self._call(names)
        except (struct.error, IndexError, KeyError, UnicodeError) as error:
            raise HostToolError(
                f"recording of kernel calls is damaged at byte {self._pos}",
                "record it again; was MicroPython ended early?",
            ) from error
