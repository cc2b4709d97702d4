"""A whole device on a pseudo-terminal: the real firmware with its drivers in the real MicroPython.

The chip's modules are tests/fakes, whose time is made the real one; what is planted runs in
boot.py before main.py, as it would on a board.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from host_tools.models.catalog import find_model
from host_tools.shared_firmware import FIRMWARE, ROOT
from tests.fakes.board import pty_board
from tests.fakes.board.pty_board import PtyBoard

pty_board.HEAP_BYTES = 8 << 20
BOARD = "ESPRESSIF_DEVKITC_1_SPEAKER"
PASSWORD = "top-secret-password"
OPEN = b"earnest mute 1 open\n"

_BOOT = """
import sys, time
_bare = sys.modules.pop("machine")
import machine
for _name in ("reset", "soft_reset", "unique_id", "freq"):
    setattr(machine, _name, getattr(_bare, _name))
_began = time.ticks_us()

class _World(machine.World):
    @property
    def now_us(self):
        return time.ticks_diff(time.ticks_us(), _began)

    @now_us.setter
    def now_us(self, _):
        pass

machine.world = world = _World()
world.levels[7] = 0  # the mute switch stands open
world.sound = lambda n: (((n * 7919) % 2001 - 1000) << 14, 0)
"""


def mute_state(muted: bool) -> bytes:
    """The file's bytes, by the firmware's own words."""
    import binascii

    line = b"earnest mute 1 muted\n" if muted else OPEN
    return line + b"%08x\n" % binascii.crc32(line)


def prepare(folder: Path, muted: bool = False, plant: str = "", model: str = "okay_nabu") -> None:
    """Everything that an installed and provisioned board has, and what is planted."""
    shutil.copytree(FIRMWARE, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__py*"))
    shutil.copytree(ROOT / "tests" / "fakes", folder / "lib", dirs_exist_ok=True)
    shutil.copy(ROOT / "boards" / BOARD / "board.py", folder)
    (folder / "models").mkdir(exist_ok=True)
    shutil.copy(find_model(model).path, folder / "models" / f"{model}.ewm")
    config = {"wifi_ssid": "home", "wifi_password": PASSWORD, "receiver_host": "127.0.0.1"}
    config["receiver_port"] = 9
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mute.state").write_bytes(mute_state(muted))
    (folder / "device.key.der").write_bytes(b"the device's key")
    (folder / "boot.py").write_text(_BOOT + plant)


@contextlib.contextmanager
def board(
    tmp_path: Path, muted: bool = False, plant: str = "", runs: bool = True, **line
) -> Iterator[PtyBoard]:
    """A plugged-in device; `runs`: whether main.py is there to start."""
    made = PtyBoard(tmp_path, **line)
    prepare(made.folder, muted, plant)
    if not runs:  # what main.py defines is still needed, but nothing starts it
        main = made.folder / "main.py"
        main.write_text(main.read_text().replace('if __name__ == "__main__":', "if False:"))
    manifest = {"version": "1.2.3", "files": _hashes(made.folder), "remove": []}
    (made.folder / "installed.json").write_text(json.dumps(manifest))
    if line.get("flash_bytes"):
        made.run(_INTO_FLASH.format(folder=str(made.folder)))
    with made:
        if not runs:
            _wait_for_prompt(made)
        yield made


def reset(made: PtyBoard) -> None:
    """A hard reset of a board whose main.py does not run."""
    resets = made.resets
    made.reset()
    while made.resets == resets:
        time.sleep(0.005)
    _wait_for_prompt(made)


def _wait_for_prompt(made: PtyBoard) -> None:
    """A tool's Ctrl-C before that would be the end of boot.py, and of what it plants."""
    end = time.monotonic() + 20
    while not made.said.endswith(b">>> "):
        assert time.monotonic() < end, made.said
        time.sleep(0.005)


#: Copies the folder into the board's own file system.
_INTO_FLASH = """
vfs.mount(vfs.VfsPosix({folder!r}), "/host")
def copy(path):
    for name, kind, *_ in os.ilistdir("/host" + path):
        name = path + "/" + name
        if kind == 0x4000:
            os.mkdir(name)
            copy(name)
        else:
            with open("/host" + name, "rb") as source, open(name, "wb") as target:
                target.write(source.read())
copy("")
"""


def _hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file that `earnest install` would have written."""
    paths = [p for p in folder.rglob("*") if p.suffix in (".py", ".ewm") and "lib" not in p.parts]
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }
