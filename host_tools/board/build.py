"""What belongs on a board: the firmware compiled for its chip, board.py and the models.

Place: `earnest install` copies it, other tools read the manifest of it that a board carries.
main.py and boot.py stay source, which MicroPython starts by these names.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.shared_firmware import FIRMWARE, LIBRARY_ONLY
from host_tools.xtensa.compile import compile_firmware, run_mpy_cross

#: sys.implementation._mpy >> 10, as MicroPython counts them (py/persistentcode.h).
ARCHITECTURES = (
    "none",
    "x86",
    "x64",
    "armv6",
    "armv6m",
    "armv7m",
    "armv7em",
    "armv7emsp",
    "armv7emdp",
    "xtensa",
    "xtensawin",
    "rv32imc",
    "rv64imc",
)
CHIP = "xtensawin"
TEST_BOARD = "x64"
MPY_VERSION = 6
MPY_SUB_VERSION = 3
SOURCES = ("boot.py", "main.py")
MANIFEST = "installed.json"


@dataclass(frozen=True)
class MpyKind:
    """The .mpy files that a MicroPython loads: version, sub-version of native code, chip."""

    version: int
    sub_version: int
    architecture: str

    @classmethod
    def from_number(cls, number: int) -> MpyKind:
        """From sys.implementation._mpy."""
        architecture = number >> 10 & 0x0F
        name = ARCHITECTURES[architecture] if architecture < len(ARCHITECTURES) else "unknown"
        return cls(number & 0xFF, number >> 8 & 3, name)

    def require_fit(self) -> None:
        """HostToolError when this MicroPython cannot run the firmware."""
        if self.architecture not in (CHIP, TEST_BOARD):
            raise HostToolError(
                f"this MicroPython is for {self.architecture}, the firmware for ESP32-S3 ({CHIP})",
                "is this the right board and port? put the right image on it: earnest flash",
            )
        if (self.version, self.sub_version) != (MPY_VERSION, MPY_SUB_VERSION):
            raise HostToolError(
                f"this MicroPython loads .mpy version {self.version}.{self.sub_version}, "
                f"the compiler here makes {MPY_VERSION}.{MPY_SUB_VERSION}",
                "put the MicroPython on it that board.json names: earnest flash",
            )


def build(architecture: str, firmware: Path = FIRMWARE) -> dict[str, bytes]:
    """File name on the board to its bytes, of every module that a satellite imports."""
    files = {}
    for path in sorted(firmware.rglob("*.py")):
        name = path.relative_to(firmware).as_posix()
        if name in LIBRARY_ONLY:
            continue
        data = path.read_bytes() if name in SOURCES else compiled(path, architecture)
        if data is not None:
            files[name if name in SOURCES else name[:-3] + ".mpy"] = data
    if "main.py" not in files:
        raise HostToolError(f"no firmware in {firmware}", "run from a clone of the project")
    return files


def compiled(path: Path, architecture: str) -> bytes | None:
    """Return the .mpy file of a module; None for the assembler of another chip."""
    if architecture == CHIP:
        return compile_firmware(path)
    if path.stem.endswith("_xtensa"):
        return None
    return run_mpy_cross(path, f"-march={architecture}")


def digest(files: dict[str, bytes]) -> str:
    """Twelve hexadecimal digits that change with any file's name or bytes."""
    total = hashlib.sha256()
    for name, data in sorted(files.items()):
        total.update(name.encode() + b"\0" + hashlib.sha256(data).digest())
    return total.hexdigest()[:12]
