"""MicroPython images for a chip, made with esptool's own image tools."""

import hashlib
import random
import struct

from esptool.bin_image import ELFSection, ESP32FirmwareImage, ESP32S3FirmwareImage

DROM = {ESP32S3FirmwareImage: 0x3C000020, ESP32FirmwareImage: 0x3F400020}
RAM = {ESP32S3FirmwareImage: 0x40378000, ESP32FirmwareImage: 0x40080000}


def one_image(tmp_path, chip, segments):
    """An image as esptool writes it."""
    image = chip()
    image.chip_id = chip.ROM_LOADER.IMAGE_CHIP_ID
    image.entrypoint = RAM[chip]
    image.segments = [ELFSection(b".part", at, data, 0) for at, data in segments]
    path = tmp_path / "part.bin"
    image.save(str(path))
    return path.read_bytes()


def micropython(
    tmp_path,
    chip=ESP32S3FirmwareImage,
    application_chip=None,
    version=b"v1.28.0",
    project=b"micropython",
    flash_mb=8,
    words=b"Generic ESP32S3 module with Octal-SPIRAM",
    code_bytes=32,
):
    """A whole flash image: boot loader, partition table, application."""
    boot = one_image(tmp_path, chip, [(RAM[chip], b"boot" * 16)])
    table = b""
    for kind, address, size, label in (
        (1, 0x9000, 0x6000, b"nvs"),
        (0, 0x10000, 0x1F0000, b"factory"),
        (1, 0x200000, (flash_mb << 20) - 0x200000, b"vfs"),
    ):
        table += struct.pack("<HBBII16sI", 0x50AA, kind, 0, address, size, label, 0)
    table += b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(table).digest()
    description = struct.pack("<IIII32s32s", 0xABCD5432, 0, 0, 0, version, project)
    chip = application_chip or chip
    drom = (description + words).ljust(256, b"\0")
    code = random.Random(1).randbytes(code_bytes)  # code does not compress well either
    application = one_image(tmp_path, chip, [(DROM[chip], drom), (RAM[chip], code)])
    return boot.ljust(0x8000, b"\xff") + table.ljust(0x8000, b"\xff") + application
