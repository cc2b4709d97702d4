"""The engine in a MicroPython for RISC-V (RV32IMC), under qemu: equal values, instructions, heap.

`.venv/bin/python -m tests.long.engine_on_riscv FIRMWARE.elf` prints the table of docs/engine.md;
FIRMWARE is MicroPython's port for qemu (VIRT_RV32) with 1 MB of heap, of a version that reads
files from a ROM image (1.29.0-preview did).

Every probability must be the one that the host's MicroPython computes.  An instruction is made to
last 1 ns (-icount shift=0), so the guest's own clock counts them; the whole interpreter is in it.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from host_tools import micropython
from host_tools.models.catalog import find_model, known_models
from host_tools.release.packages import engine_package, lay
from tests.long.engine_on_arm import GUEST, all_words, said

ROM_AT = "0x80610000"
MACHINE = "-machine virt -cpu rv32 -bios none -semihosting -nographic -monitor null"
TIMED_CHUNKS = 60
PIECE_BYTES = 64  # what the UART takes before it must be read


class Board:
    """A machine with a ROM image, at MicroPython's raw prompt."""

    def __init__(self, firmware: str, image: Path) -> None:
        rom = f"loader,file={image},addr={ROM_AT},force-raw=on"
        options = [*MACHINE.split(), "-icount", "shift=0", "-device", rom, "-kernel", firmware]
        self._qemu = subprocess.Popen(
            ["qemu-system-riscv32", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._read_until(b">>> ")
        self._write(b"\x01")
        self._read_until(b"CTRL-B to exit\r\n>")

    def __enter__(self) -> "Board":
        return self

    def __exit__(self, *_: object) -> None:
        self._qemu.kill()
        self._qemu.wait()

    def run(self, source: str) -> list[int]:
        """The numbers that a program prints."""
        self._write(source.encode() + b"\x04")
        printed, _, errors = self._read_until(b"\x04>")[:-2].partition(b"\x04")
        assert not errors, errors.decode()
        return [int(word) for word in printed.removeprefix(b"OK").split()]

    def _write(self, data: bytes) -> None:
        assert self._qemu.stdin
        for at in range(0, len(data), PIECE_BYTES):
            self._qemu.stdin.write(data[at : at + PIECE_BYTES])
            self._qemu.stdin.flush()
            time.sleep(0.02)

    def _read_until(self, end: bytes) -> bytes:
        assert self._qemu.stdout
        said = b""
        while not said.endswith(end):
            byte = self._qemu.stdout.read(1)
            assert byte, said
            said += byte
        return said


def main(firmware: str) -> None:
    with tempfile.TemporaryDirectory(prefix="earnest-riscv-") as name:
        folder = Path(name)
        rom, image, guest = folder / "rom", folder / "rom.img", folder / "guest.py"
        lay(rom / "lib", engine_package("rv32imc"))
        for known in known_models():
            (rom / f"{known}.ewm").write_bytes(find_model(known).path.read_bytes())
        pcm = rom / "speech.pcm"
        pcm.write_bytes(all_words())
        chunks = pcm.stat().st_size // 320
        guest.write_text(GUEST)
        options = ["romfs", "--no-mpy", "--output", str(image), "build", str(rom)]
        subprocess.run(
            [sys.executable, "-m", "mpremote", *options],
            check=True,
            text=True,
            stdout=subprocess.DEVNULL,
        )
        print("| model | package | M instr/s | heap: import + model, bytes | equal to the host |")
        print("|---|---|---:|---:|---:|")
        for known in known_models():
            usual = said(
                micropython.command(guest, rom / f"{known}.ewm", pcm, chunks),
                MICROPYPATH="firmware",
            )
            arguments = ["", f"/rom/{known}.ewm", "/rom/speech.pcm", str(chunks)]
            with Board(firmware, image) as board:
                got = board.run(f"import sys\nsys.argv[:] = {arguments}\n{GUEST}")
            crc, detections, code, made, took_us = got
            assert [crc, detections] == usual[:2], known
            millions = took_us * 1000 / TIMED_CHUNKS * 100 / 1e6
            print(
                f"| {known} | rv32imc | {millions:.1f} | {code:,} + {made:,} | "
                f"{chunks} chunks, {detections} heard |",
                flush=True,
            )


if __name__ == "__main__":
    main(sys.argv[1])
