"""What a MicroPython image for the chip is, read with esptool's own image tools.

An ESP32-S3 image as micropython.org gives it is the flash from address 0: boot loader, partition
table at 0x8000, application.  Place: `earnest flash` refuses what does not fit before anything is
erased.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import struct
from dataclasses import dataclass

from esptool.bin_image import LoadFirmwareImage

from host_tools.board.definition import Board
from host_tools.errors import HostToolError

MAX_IMAGE_BYTES = 16 << 20
IMAGE_MAGIC = 0xE9
CHIP_IDS = {0: "esp32", 2: "esp32s2", 5: "esp32c3", 9: "esp32s3", 12: "esp32c2", 13: "esp32c6"}
TABLE_AT = 0x8000
TABLE_BYTES = 0xC00
_ENTRY = struct.Struct("<HBBII16sI")  # magic, type, sub-type, address, size, label, flags
_ENTRY_MAGIC = 0x50AA
_TABLE_MD5 = b"\xeb\xeb" + b"\xff" * 14  # and then the MD5 of all entries before it
_APPLICATION = 0
_DESCRIPTION = struct.Struct("<IIII32s32s")  # magic, 3 words, version, project's name
_DESCRIPTION_MAGIC = 0xABCD5432
_BANNER = re.compile(rb"MicroPython (v\d+\.\d+[-.\w]{0,40}) on \d{4}-\d\d-\d\d")
PROJECT = "micropython"


@dataclass(frozen=True)
class ChipImage:
    """chip: esp32s3; flash_bytes: the end of its last partition; version, project: as built."""

    chip: str
    flash_bytes: int
    version: str
    project: str
    has_octal_psram: bool


def read_image(data: bytes) -> ChipImage:
    """Take an image apart; HostToolError says what it is not."""
    if len(data) > MAX_IMAGE_BYTES:
        raise _not_one(f"{len(data)} bytes are too many")
    chip = _chip(data, "the boot loader")
    _check(chip, data[:TABLE_AT], "the boot loader")
    entries = _partitions(data)
    applications = [entry for entry in entries if entry[0] == _APPLICATION]
    if not applications:
        raise _not_one("its partition table has no application")
    _, at, _ = applications[0]
    if at >= len(data):
        raise _not_one("it ends before its application")
    application = data[at:]
    if _chip(application, "the application") != chip:
        raise _not_one("boot loader and application are for different chips")
    first_segment = _check(chip, application, "the application")
    version = project = ""
    if len(first_segment) >= _DESCRIPTION.size:
        magic, _, _, _, raw_version, raw_project = _DESCRIPTION.unpack_from(first_segment)
        if magic == _DESCRIPTION_MAGIC:
            version, project = _text(raw_version), _text(raw_project)
    if not project and (banner := _BANNER.search(application)):
        # Official builds leave the description empty; the prompt's first line says what it is.
        version, project = banner[1].decode(), PROJECT
    end = max(at + size for _, at, size in entries)
    return ChipImage(chip, end, version, project, b"Octal-SPIRAM" in application)


def require_fit(image: ChipImage, board: Board) -> list[str]:
    """HostToolError when the image is not for the board; else warnings."""
    hint = f"take the one that its page names: {board.micropython.page}"
    if image.chip != board.chip:
        raise HostToolError(f"the image is for {image.chip}, the board has {board.chip}", hint)
    if image.flash_bytes > board.flash_mb << 20:
        raise HostToolError(
            f"the image is for {image.flash_bytes >> 20} MB of flash, "
            f"the board has {board.flash_mb} MB",
            hint,
        )
    if image.project != PROJECT:
        name = image.project or "a program without a name"
        raise HostToolError(f"the image is not MicroPython but {name}", hint)
    warnings = []
    found = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", image.version)
    least = tuple(map(int, board.micropython.min_version.split(".")))
    if found is None:
        warnings.append(f"the image's version is {image.version!r}, which cannot be compared")
    elif tuple(int(part or 0) for part in found.groups()) < least:
        raise HostToolError(
            f"the image is MicroPython {image.version}, "
            f"at least {board.micropython.min_version} is needed",
            hint,
        )
    is_octal = board.psram.mode == "octal"
    if is_octal != image.has_octal_psram:
        want = "octal PSRAM" if is_octal else "no octal PSRAM"
        warnings.append(f"the board has {want}, the image seems to be made for another: {hint}")
    return warnings


def _chip(data: bytes, part: str) -> str:
    """The chip that an image's header names."""
    if len(data) < 24 or data[0] != IMAGE_MAGIC:
        raise _not_one(f"{part} does not begin as one")
    number = int.from_bytes(data[12:14], "little")
    return CHIP_IDS.get(number, f"chip number {number}")


def _check(chip: str, data: bytes, part: str) -> bytes:
    """Compare checksum and SHA-256 as esptool computes them; the first segment's bytes."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            image = LoadFirmwareImage(chip, data)
        checksum = image.calculate_checksum()
    except TypeError as error:  # of esptool, which takes the checksum's byte to be there
        raise _not_one(f"{part} ends before its checksum") from error
    except (RuntimeError, KeyError, struct.error, IndexError) as error:
        why = " ".join(map(str, error.args))
        raise _not_one(f"{part} cannot be read: {why}") from error
    if image.checksum != checksum:
        raise _not_one(f"{part} is damaged: its checksum is wrong")
    if image.append_digest and image.stored_digest != image.calc_digest:
        raise _not_one(f"{part} is damaged: its SHA-256 is wrong")
    segments = sorted(image.segments, key=lambda segment: segment.file_offs)
    return segments[0].data if segments else b""


def _partitions(data: bytes) -> list[tuple[int, int, int]]:
    """(type, address, bytes) of each partition."""
    found = []
    table = data[TABLE_AT : TABLE_AT + TABLE_BYTES]
    for at in range(0, len(table) - _ENTRY.size + 1, _ENTRY.size):
        magic, kind, _, address, size, _, _ = _ENTRY.unpack_from(table, at)
        if magic != _ENTRY_MAGIC:
            break
        found.append((kind, address, size))
    if not found:
        raise _not_one("it has no partition table at 0x8000")
    entries, rest = table[: len(found) * _ENTRY.size], table[len(found) * _ENTRY.size :]
    if rest.startswith(_TABLE_MD5) and rest[16:32] != hashlib.md5(entries).digest():
        raise _not_one("its partition table is damaged: its MD5 is wrong")
    return found


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("ascii", "replace")


def _not_one(why: str) -> HostToolError:
    return HostToolError(
        f"not a complete MicroPython image for the chip: {why}",
        "take the .bin of the board's page at micropython.org, not .uf2, .elf or .app-bin",
    )
