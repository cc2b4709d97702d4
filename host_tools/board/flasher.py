"""Write a MicroPython image to a board with Espressif's esptool.

Place: below `earnest flash`, which gets the image (image_source) and checks it (flash_image).  The
chip is asked before the person, and the person before anything is erased.  If either says no, the
program that is on the board is started again.
"""

from __future__ import annotations

import contextlib
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from host_tools.board.definition import Board
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import LinkError, find_ports
from host_tools.errors import HostToolError

WAIT_S = 30.0
QUIET_S = 150.0  # esptool gives an erase 120 s
BAUD = 460800

_BOOT_LOADER_HINT = (
    "hold BOOT, press and release RESET, release BOOT, then try again; close other programs"
)
_ERASING = "Erasing flash memory"  # esptool prints this before the first byte is gone
INCOMPLETE_HINT = (
    "flashing did not complete; the board is not damaged: hold BOOT, press and release RESET, "
    "release BOOT, and repeat the command"
)


@dataclass(frozen=True)
class Talk:
    """How `flash` speaks to the person: `note` shows a line, `confirm` asks and raises on a no."""

    note: Callable[[str], object]
    confirm: Callable[[str], object]


def steps(board: Board, port: str, image: Path) -> list[str]:
    """Return each step as text, with esptool's calls as they will be made."""
    return [
        "ask the chip: " + shlex.join(identify_call(board, port)[2:]),
        f"stop unless it is {board.chip} with at least {board.flash_mb} MB of flash and "
        f"{board.psram.mb} MB of PSRAM",
        "ask before everything on it is erased; after a no, or a wrong chip, start it again: "
        + shlex.join(start_call(port)[2:]),
        "erase and write: " + shlex.join(write_call(board, port, image)[2:]),
        f"wait up to {WAIT_S:.0f} s for MicroPython on {port} or where it appears",
    ]


def identify_call(board: Board, port: str) -> list[str]:
    """esptool's call that finds chip and flash size, and leaves the chip in its boot loader."""
    return _esptool(board.chip, port, "--after", "no-reset", "flash-id")


def start_call(port: str) -> list[str]:
    """esptool's call that starts what is on a board, whichever chip it is.

    It goes through the boot loader: a reset alone (--before no-reset) would pull RTS while DTR is
    still set from opening the port, and both together reset nothing.
    """
    return _esptool("auto", port, "--no-stub", "get-security-info")


def write_call(board: Board, port: str, image: Path) -> list[str]:
    """esptool's call that erases all, writes from address 0, compares and resets."""
    # Absolute, since esptool takes a name that begins with @ or - for something else.
    name = str(image.absolute())
    return _esptool(
        board.chip, port, "--baud", str(BAUD), "write-flash", "--erase-all", "0x0", name
    )


def _esptool(chip: str, port: str, *rest: str) -> list[str]:
    return [sys.executable, "-m", "esptool", "--chip", chip, "--port", port, *rest]


def flash(board: Board, port: str, image: Path, talk: Talk) -> tuple[str, str]:
    """Erase the board, write the image and wait until MicroPython answers.

    Returns:
        The port on which MicroPython answers, and its version.

    Raises:
        HostToolError: the chip is another one, or esptool failed; the hint says what is left.
    """
    others = other_ports(port)
    said = ""
    try:
        status, said = run_tool(identify_call(board, port), talk.note)
        require_chip(board, status, said)
        talk.confirm(f"Erase everything on {port} ({board.name}) and write {image.name}?")
    except BaseException:  # whatever it was: nothing is erased, so start what is there
        if "Failed to connect" not in said:
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(start_call(port), capture_output=True, timeout=QUIET_S)
        talk.note("nothing was erased")
        raise
    try:
        status, said = run_tool(write_call(board, port, image), talk.note)
    except KeyboardInterrupt:
        talk.note(f"\n{INCOMPLETE_HINT}")
        raise
    if status and _ERASING not in said:
        raise HostToolError(
            f"esptool could not begin to write: {_last_line(said)}",
            f"nothing was erased; {_BOOT_LOADER_HINT}",
        )
    if status:
        raise HostToolError(f"esptool could not write: {_last_line(said)}", INCOMPLETE_HINT)
    talk.note("waiting for MicroPython; if it takes long, press the board's RESET")
    return wait_for_repl(port, others, WAIT_S)


def require_chip(board: Board, status: int, said: str) -> None:
    """HostToolError when esptool found another chip, too little flash, or nothing."""
    if status:
        wrong = re.search(r"This chip is ([\w-]+), not ([\w-]+)", said)
        if wrong:
            raise HostToolError(
                f"this chip is {wrong[1]}, the board {board.id} has {board.chip}",
                "is this the right board and port?",
            )
        if "in Secure Download Mode" in said:
            raise HostToolError(
                "this chip is locked: its fuses allow secure downloads only",
                "fuses cannot be unburnt; take another board",
            )
        raise HostToolError(f"esptool found no chip: {_last_line(said)}", _BOOT_LOADER_HINT)
    size = re.search(r"Detected flash size: (\d+)(KB|MB)", said)
    if size is None:
        raise HostToolError(
            "esptool could not tell the flash's size", "try again with a shorter cable"
        )
    found_kb = int(size[1]) * (1024 if size[2] == "MB" else 1)
    if found_kb < board.flash_mb * 1024:
        raise HostToolError(
            f"the chip has {size[1]} {size[2]} of flash, {board.id} has {board.flash_mb} MB",
            "choose the board that fits: see docs/boards.md",
        )
    _require_psram(board, said)


def _require_psram(board: Board, said: str) -> None:
    """HostToolError when the chip's fuses tell of another PSRAM than the board's.

    The image follows the PSRAM's mode, and the firmware does not fit without PSRAM.
    """
    features = re.search(r"Features: +(.*)", said)
    if features is None:
        return
    size = re.search(r"Embedded PSRAM (\d+)MB", features[1])
    found_mb = int(size[1]) if size else 0
    if found_mb != board.psram.mb and "Unknown Embedded PSRAM" not in features[1]:
        has = f"{found_mb} MB of PSRAM" if found_mb else "no PSRAM"
        raise HostToolError(
            f"the chip has {has}, {board.id} has {board.psram.mb} MB ({board.psram.mode})",
            "choose the board that fits: see docs/boards.md",
        )


def wait_for_repl(port: str, others: frozenset[str], wait_s: float) -> tuple[str, str]:
    """The port on which MicroPython answers, and its version.

    After a reset the chip's own USB may come back under another name, so every port that appears
    is asked; those of `others`, which have another board, are left alone.
    """
    deadline = time.monotonic() + wait_s
    why = ""
    while time.monotonic() < deadline:
        found = [found.device for found in find_ports() if found.device not in others]
        for candidate in dict.fromkeys([port, *found]):
            try:
                with SerialLink(candidate) as link:
                    answer = link.exec_json(
                        "import sys, json\nprint(json.dumps(sys.implementation.version[:3]))"
                    )
                return candidate, ".".join(map(str, answer))
            except LinkError as error:
                why = error.message
        time.sleep(0.5)
    raise HostToolError(
        f"the image is written, but no MicroPython answered within {wait_s:.0f} s: {why}",
        "press the board's RESET button, or unplug the board and plug it back in; "
        "then: earnest install",
    )


def other_ports(port: str) -> frozenset[str]:
    """Ports that have a board now and are not `port`, which may be a link to one."""
    mine = os.path.realpath(port)
    return frozenset(
        found.device for found in find_ports() if os.path.realpath(found.device) != mine
    )


def run_tool(call: list[str], note: Callable[[str], object]) -> tuple[int, str]:
    """Run a tool and `note` each line of its output; return its exit status and all output.

    A tool that still runs when this is left ends with it.  One that is silent for QUIET_S is
    ended: esptool waits without a limit for the first word of its program on the chip.
    """
    said: list[str] = []
    with subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as process:
        assert process.stdout is not None
        try:
            for line in _lines(process.stdout):
                if line is None:
                    process.terminate()
                    said.append(f"serial error: nothing was heard for {QUIET_S:.0f} s")
                    break
                said.append(line)
                note("  " + line)
        except BaseException:
            process.terminate()
            raise
    return process.returncode, "\n".join(said)


def _lines(output: IO[bytes]) -> Iterator[str | None]:
    """Yield the lines of a pipe as they come; None after QUIET_S in which nothing came.

    A thread reads: a pipe cannot be waited for with a limit on Windows.
    """
    pieces: queue.Queue[bytes] = queue.Queue()

    def read() -> None:
        with contextlib.suppress(OSError, ValueError):  # closed, since nobody waits any more
            while piece := output.read(4096):
                pieces.put(piece)
        pieces.put(b"")

    threading.Thread(target=read, daemon=True).start()
    rest = b""
    while True:
        try:
            piece = pieces.get(timeout=QUIET_S)
        except queue.Empty:
            yield None
            return
        *lines, rest = (rest + (piece or b"\n")).split(b"\n")
        yield from (line.decode(errors="replace").rstrip() for line in lines)
        if not piece:
            return


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), (lines or ["no word"])[-1])
