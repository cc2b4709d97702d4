"""Find out from an audio file's container whether it was cut short.

libsndfile reads a file that was cut as if it were whole.  The containers know better: most hold
the length of their audio, and Ogg marks its last page.  Only headers are read here, and nothing
in them is trusted: every walk ends with the file.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

# What is written to a pipe cannot know its length; tools then write one of the largest sizes.
_UNKNOWN_BYTES = 0x7FFF_F000
_MAX_CHUNKS = 100_000
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_W64_HEADER_BYTES = 24
_OGG_FIRST, _OGG_LAST = 2, 4  # flags of a page


def shortfall(path: Path) -> str:
    """Return what is missing, as text; "" for a whole file or a container that cannot tell."""
    size = path.stat().st_size
    with path.open("rb") as file:
        check = _CHECKS.get(file.read(4))
        return check(file, size) if check is not None else ""


def length_field(path: Path) -> int:
    """Return where a WAV has a length of 0 although audio follows; 0 when that is not so.

    A recorder that was killed leaves such a file: it would have filled in the length at its end.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return 0
        for name, at, length in _chunks(file, 12, size, "<"):
            if name == b"data":
                follows = at < size and not _are_chunks(file, at, size)
                return at - 4 if length == 0 and follows else 0
    return 0


def _missing(promised: int, there: int) -> str:
    return f"{there} of {promised} bytes of audio are there" if there < promised else ""


def _chunks(file: BinaryIO, at: int, size: int, order: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, start of the content, length) of RIFF or IFF chunks."""
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        header = file.read(8)
        if len(header) < 8 or at > size:
            return
        name, length = struct.unpack(order + "4sI", header)
        yield name, at + 8, length
        at += 8 + length + (length & 1)


def _are_chunks(file: BinaryIO, at: int, size: int) -> bool:
    """Return whether chunks with readable names fill the file from `at` on."""
    end = at
    for name, start, length in _chunks(file, at, size, "<"):
        if not (name.isascii() and name.decode("ascii").isprintable()):
            return False
        end = start + length
    return end in (size, size - 1)


def _riff(file: BinaryIO, size: int, order: str = "<") -> str:
    for name, at, length in _chunks(file, 12, size, order):
        if name == b"data":
            return _missing(length, size - at) if length < _UNKNOWN_BYTES else ""
    return ""


def _rifx(file: BinaryIO, size: int) -> str:
    return _riff(file, size, ">")


def _rf64(file: BinaryIO, size: int) -> str:
    promised = None
    for name, at, length in _chunks(file, 12, size, "<"):
        if name == b"ds64":
            file.seek(at + 8)
            field = file.read(8)
            promised = struct.unpack("<Q", field)[0] if len(field) == 8 else None
        if name == b"data":
            if length != 0xFFFFFFFF:
                promised = length
            return _missing(promised, size - at) if promised is not None else ""
    return ""


def _w64(file: BinaryIO, size: int) -> str:
    at = 40
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        header = file.read(_W64_HEADER_BYTES)
        if len(header) < _W64_HEADER_BYTES:
            return ""
        length = struct.unpack("<Q", header[16:])[0]  # the header's own bytes are counted
        if header[:16] == _W64_DATA:
            start = at + _W64_HEADER_BYTES
            return _missing(max(length - _W64_HEADER_BYTES, 0), size - start)
        at += -(-max(length, _W64_HEADER_BYTES) // 8) * 8
        if at > size:
            return ""
    return ""


def _aiff(file: BinaryIO, size: int) -> str:
    for name, at, length in _chunks(file, 12, size, ">"):
        if name == b"SSND":
            return _missing(max(length - 8, 0), max(size - at - 8, 0))
    return ""


def _au(file: BinaryIO, size: int, order: str = ">") -> str:
    fields = file.read(8)
    if len(fields) < 8:
        return ""
    start, length = struct.unpack(order + "II", fields)
    return _missing(length, max(size - start, 0)) if length < _UNKNOWN_BYTES else ""


def _au_little(file: BinaryIO, size: int) -> str:
    return _au(file, size, "<")


def _caf(file: BinaryIO, size: int) -> str:
    at = 8
    for _ in range(_MAX_CHUNKS):
        file.seek(at)
        header = file.read(12)
        if len(header) < 12:
            return ""
        name, length = struct.unpack(">4sq", header)
        if name == b"data":  # its first four bytes count edits
            return _missing(length - 4, max(size - at - 16, 0)) if length >= 4 else ""
        if length < 0 or at > size:
            return ""
        at += 12 + length
    return ""


def _ogg(file: BinaryIO, size: int) -> str:
    """Every stream that begins must have a page that ends it, and every page its whole body."""
    started, ended = set(), set()
    at = 0
    while at < size:
        file.seek(at)
        header = file.read(27)
        if len(header) < 27 or header[:4] != b"OggS":
            break
        table = file.read(header[26])
        at += 27 + len(table) + sum(table)
        if len(table) < header[26] or at > size:
            return "the last Ogg page is incomplete"
        serial = header[14:18]
        if header[5] & _OGG_FIRST:
            started.add(serial)
        if header[5] & _OGG_LAST:
            ended.add(serial)
    return "the last Ogg page is missing" if started - ended else ""


_CHECKS: dict[bytes, Callable[[BinaryIO, int], str]] = {
    b"RIFF": _riff,
    b"RIFX": _rifx,
    b"RF64": _rf64,
    b"BW64": _rf64,
    b"riff": _w64,
    b"FORM": _aiff,
    b".snd": _au,
    b"dns.": _au_little,
    b"caff": _caf,
    b"OggS": _ogg,
}
#: First bytes of the formats that are read; a file that has them and cannot be read is damaged.
MAGICS = (*_CHECKS, b"fLaC", b"ID3")
