"""An ESP32-S3 in its boot loader on the end of a serial line, for Espressif's real esptool.

`Chip` speaks the protocol of the chip's ROM and, once esptool has put its stub into RAM, the
stub's: SLIP packets in, SLIP packets out, a flash behind them whose bits can only be cleared until
they are erased.

The ROM's half is written from the source of esptool 5.6.0 (commands as in loader.py, ESPLoader;
registers as in targets/esp32s3.py; error numbers as in util.py): what esptool misunderstands of
the real ROM, it therefore does too.  The stub's half follows the stub's own source, which is
another program: src/command_handler.c of https://github.com/espressif/esp-flasher-stub (1.1.0).
`chip_lines.py` has the serial line that leads here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import struct
import threading
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import esptool
from esptool.loader import ESPLoader
from esptool.targets import ESP32S3ROM as S3

NAMES = {number: name for name, number in ESPLoader.ESP_CMDS.items()}
FIRST_OF_THE_STUB = 0xD0
STUB = json.loads(
    (Path(esptool.__file__).parent / "targets/stub_flasher/2/esp32s3.json").read_text()
)
SYNC_VALUE = 0x20120707  # any but 0, which is the stub's
SECTOR_BYTES = ESPLoader.FLASH_SECTOR_SIZE
OLD = 0x5A  # every byte of the flash before: what its owner had there

# Status bytes: the ROM's, then the stub's.
INVALID_MESSAGE, BAD_CHECKSUM = b"\x01\x05", b"\x01\x07"
BAD_LENGTH, STUB_BAD_CHECKSUM, NOT_IN_FLASH_MODE = b"\xc0\x00", b"\xc1\x00", b"\xc6\x00"
INFLATE_ERROR = b"\xc7\x00"

# The flash behind the SPI registers: command bytes, and what it answers.
READ_ID, READ_SFDP = 0x9F, 0x5A
MAKER = 0xC8
SFDP = int.from_bytes(b"SFDP", "little")


class RefusedError(Exception):
    """A command that the chip answers with these two status bytes."""


class Flash:
    """NOR flash: erasing sets bits, programming clears them.  weak_at: a bit there is lost."""

    def __init__(self, size_bytes: int, weak_at: int | None = None) -> None:
        self.content = bytearray([OLD]) * size_bytes
        self._weak_at = weak_at

    def erase(self, at: int, end: int) -> None:
        self.content[at:end] = b"\xff" * (end - at)

    def program(self, at: int, data: bytes) -> None:
        old = int.from_bytes(self.content[at : at + len(data)], "little")
        new = old & int.from_bytes(data, "little")
        self.content[at : at + len(data)] = new.to_bytes(len(data), "little")
        if self._weak_at is not None and at <= self._weak_at < at + len(data):
            self.content[self._weak_at] ^= 1


@dataclass
class Writing:
    """A write that has begun: the next byte's address, the end, the first sector not erased, and
    a block that is acknowledged but not written."""

    at: int
    end: int
    erased: int
    block: bytes = b""
    inflate: zlib._Decompress = field(default_factory=zlib.decompressobj)


class Chip:
    """The chip; `feed` is its serial port.

    chip_id: what GET_SECURITY_INFO tells, None for a chip that does not know that command and has
    `magic` instead.  size_id: log2 of the flash's size, the third byte of its JEDEC id.
    psram: its size in the fuses: 0 none, 1 8 MB, 2 2 MB.
    is_secure: Secure Download Mode.  runs_stub: else it hangs where a stub would start.  weak_at:
    see Flash.  stop_at: at the n-th command of this name it falls silent and sets `stopped`.
    noise_at: the last bit of the n-th command of this name arrives as another.
    """

    def __init__(
        self,
        chip_id: int | None = 9,
        magic: int = 0,
        size_id: int = 23,
        psram: int = 1,
        is_secure: bool = False,
        runs_stub: bool = True,
        weak_at: int | None = None,
        stop_at: tuple[str, int] | None = None,
        noise_at: tuple[str, int] | None = None,
    ) -> None:
        self.runs_stub, self.noise_at = runs_stub, noise_at
        self.psram = psram
        self.chip_id, self.magic, self.size_id, self.is_secure = chip_id, magic, size_id, is_secure
        self.stop_at, self.stopped = stop_at, threading.Event()
        self.flash = Flash(1 << min(size_id, 24), weak_at)
        self.commands: list[str] = []  # names, as they came
        self.rates: set[int] = set()  # bits a second at which they came
        self.written: dict[int, int] = {}  # registers
        self.reset(True)

    def reset(self, into_boot_loader: bool) -> None:
        """What RAM and registers held is lost."""
        self.is_listening = into_boot_loader
        self.is_stub = False
        self.rate: int | None = None  # the ROM finds the rate by itself
        self.registers = {
            ESPLoader.CHIP_DETECT_MAGIC_REG_ADDR: self.magic,
            S3.MAC_EFUSE_REG: 0xA1000001,
            S3.MAC_EFUSE_REG + 4: 0x7CDF,
            S3.EFUSE_BLOCK1_ADDR + 4 * 4: 1 << 7 | self.psram << 3,  # PSRAM: its maker, size
        }
        self._received = b""
        self._ram: dict[int, bytes] = {}
        self._loading: tuple[int, int] = (0, 0)  # address, next block
        self._writing: Writing | None = None
        self._late_error = b""  # of a block that was acknowledged

    @property
    def starts(self) -> bool:
        """Whether the ROM finds something to start in the flash."""
        return self.flash.content[0] == ESPLoader.ESP_IMAGE_MAGIC

    def feed(self, data: bytes, rate: int) -> bytes:
        """What the chip sends when it receives `data` at `rate` bits a second."""
        if not self.is_listening or rate != (self.rate or rate):
            return b""
        self._received += data
        answers = b""
        while (end := self._received.find(b"\xc0", 1)) > 0:
            packet, self._received = self._received[:end], self._received[end:]
            if packet != b"\xc0" and self.is_listening:
                assert packet[:1] == b"\xc0", packet[:16]
                self._received = self._received[1:]
                self.rates.add(rate)
                packet = packet[1:].replace(b"\xdb\xdc", b"\xc0").replace(b"\xdb\xdd", b"\xdb")
                answers += self._answers(packet)
                if self.is_stub and self.rate is None:
                    self.rate = rate
        return answers

    def _answers(self, packet: bytes) -> bytes:
        """All that is sent on a command."""
        direction, op, length, checksum = struct.unpack_from("<BBHI", packet)
        data, name = packet[8:], NAMES[op]
        assert direction == 0 and length == len(data), packet[:16]
        self.commands.append(name)
        which = name, self.commands.count(name)
        if self.noise_at == which:
            data = data[:-1] + bytes([data[-1] ^ 1])
        if self.stop_at == which:
            self.is_listening = False
            self.stopped.set()
            return b""
        if not self._knows(op, name):
            # Of another name, and eight times: ESPLoader.command.
            return self._packet(0, 0, INVALID_MESSAGE) * 8
        is_stub = self.is_stub
        try:
            if self._late_error:
                late, self._late_error = self._late_error, b""
                raise RefusedError(late)
            if name.endswith("_DATA") and checksum != ESPLoader.checksum(data[16:]):
                raise RefusedError(STUB_BAD_CHECKSUM if self.is_stub else BAD_CHECKSUM)
            value, payload = getattr(self, "_" + name.lower())(data) or (0, b"")
        except RefusedError as refused:
            return self._packet(op, 0, refused.args[0])
        # The ROM's answers have two more bytes, reserved.
        answer = self._packet(op, value, payload + (bytes(2) if is_stub else bytes(4)))
        if self._writing is not None:
            self._write(self._writing)
        if name == "MEM_END" and self.is_stub:
            return answer + _slip(b"OHAI")
        return answer * 8 if name == "SYNC" else answer

    def _knows(self, op: int, name: str) -> bool:
        if name == "GET_SECURITY_INFO":
            return self.chip_id is not None
        if self.is_secure and name.startswith(("READ_", "WRITE_", "MEM_")):
            return False
        return op < FIRST_OF_THE_STUB or self.is_stub

    @staticmethod
    def _packet(op: int, value: int, data: bytes) -> bytes:
        return _slip(struct.pack("<BBHI", 1, op, len(data), value) + data)

    # -- commands of both: each returns the answer's value and data, or nothing

    def _sync(self, data: bytes) -> tuple[int, bytes]:
        return (0 if self.is_stub else SYNC_VALUE), b""

    def _get_security_info(self, data: bytes) -> tuple[int, bytes]:
        flags = 1 << 2 if self.is_secure else 0
        return 0, struct.pack("<I8BII", flags, *bytes(8), self.chip_id, 0)

    def _read_reg(self, data: bytes) -> tuple[int, bytes]:
        return self.registers.get(struct.unpack("<I", data)[0], 0), b""

    def _write_reg(self, data: bytes) -> None:
        address, value, mask, _ = struct.unpack_from("<IIII", data)
        old = self.registers.get(address, 0)
        self.registers[address] = self.written[address] = old & ~mask | value & mask
        if address == S3.SPI_REG_BASE:
            self.registers[address] = 0  # done
            self._spi()

    def _spi(self) -> None:
        """A command to the flash through the SPI registers, the answer in the first data word."""
        command = self.registers[S3.SPI_REG_BASE + S3.SPI_USR2_OFFS] & 0xFF
        address = self.registers.get(S3.SPI_REG_BASE + 4, 0)
        answer = 0
        if command == READ_ID:
            answer = self.size_id << 16 | 0x40 << 8 | MAKER
        elif command == READ_SFDP:
            answer = SFDP if address == 0 else 0xFF
        self.registers[S3.SPI_REG_BASE + S3.SPI_W0_OFFS] = answer

    def _spi_attach(self, data: bytes) -> None:
        assert data == bytes(4 if self.is_stub else 8), data

    def _spi_set_params(self, data: bytes) -> None:
        assert struct.unpack("<6I", data)[1] == len(self.flash.content), data

    # -- commands of the ROM: esptool's stub into RAM

    def _mem_begin(self, data: bytes) -> None:
        _, _, _, address = struct.unpack("<IIII", data)
        self._loading, self._ram[address] = (address, 0), b""

    def _mem_data(self, data: bytes) -> None:
        length, sequence, _, _ = struct.unpack_from("<IIII", data)
        address, expected = self._loading
        if length != len(data) - 16 or sequence != expected:
            raise RefusedError(INVALID_MESSAGE)
        self._ram[address] += data[16:]
        self._loading = address, expected + 1

    def _mem_end(self, data: bytes) -> None:
        stays, entry = struct.unpack("<II", data)
        text, rest = base64.b64decode(STUB["text"]), base64.b64decode(STUB["data"])
        stub = {STUB["text_start"]: text, STUB["data_start"]: rest}
        is_stub = not stays and entry == STUB["entry"] and self._ram == stub
        self.is_listening = self.is_stub = is_stub and self.runs_stub  # else it hangs

    # -- commands of the stub

    def _change_baudrate(self, data: bytes) -> None:
        new, _ = struct.unpack("<II", data)
        self.rate = new

    def _erase_flash(self, data: bytes) -> None:
        self.flash.erase(0, len(self.flash.content))

    def _flash_begin(self, data: bytes) -> None:
        size, _, _, at, is_encrypted = struct.unpack("<5I", data)
        assert not is_encrypted
        self._writing = Writing(at, at + size, at)

    _flash_defl_begin = _flash_begin

    def _flash_defl_data(self, data: bytes) -> None:
        if self._writing is None:
            raise RefusedError(NOT_IN_FLASH_MODE)
        if struct.unpack_from("<I", data)[0] != len(data) - 16:
            raise RefusedError(BAD_LENGTH)
        self._writing.block = data[16:]

    def _write(self, to: Writing) -> None:
        """The stub acknowledges a block first, then writes it, erasing ahead; an error comes out
        with the next command."""
        try:
            block, to.block = to.inflate.decompress(to.block), b""
        except zlib.error:
            self._late_error = INFLATE_ERROR
            return
        while to.erased < to.at + len(block):
            self.flash.erase(to.erased, to.erased + SECTOR_BYTES)
            to.erased += SECTOR_BYTES
        self.flash.program(to.at, block)
        to.at += len(block)

    def _flash_end(self, data: bytes) -> None:
        # The stub never leaves, whatever `data` says; a reset ends it.
        if self._writing is None:
            raise RefusedError(NOT_IN_FLASH_MODE)
        if self._writing.at != self._writing.end:
            raise RefusedError(BAD_LENGTH)
        self._writing = None

    _flash_defl_end = _flash_end

    def _spi_flash_md5(self, data: bytes) -> tuple[int, bytes]:
        at, size, _, _ = struct.unpack("<IIII", data)
        return 0, hashlib.md5(self.flash.content[at : at + size]).digest()


def _slip(packet: bytes) -> bytes:
    return b"\xc0" + packet.replace(b"\xdb", b"\xdb\xdd").replace(b"\xc0", b"\xdb\xdc") + b"\xc0"
