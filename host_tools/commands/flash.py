"""`earnest flash`: MicroPython itself onto a board, by Espressif's esptool.

The image is checked before the chip is asked, the chip before the person, the person before
anything is erased.  Where one of them says no, what is on the board is started again.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shlex
import subprocess
import sys
import time
from pathlib import Path

import click

from host_tools.board.definition import Board, load_board
from host_tools.board.flash_image import read_image, require_fit
from host_tools.board.image_source import cached_image, get_image, image_path
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import LinkError, find_port, find_ports
from host_tools.commands.options import board_option, port_option, yes_option
from host_tools.errors import HostToolError

WAIT_S = 30.0
QUIET_S = 150.0  # esptool gives an erase 120 s
BAUD = 460800

_BOOT_LOADER_HINT = (
    "hold BOOT, press and release RESET, release BOOT, then try again; close other programs"
)
_ERASING = "Erasing flash memory"  # esptool's word before the first byte is gone
_HALF_HINT = (
    "the board is erased and not whole, no more than that: hold BOOT, press and release RESET, "
    "release BOOT, and repeat the command"
)


@click.command("flash")
@board_option
@port_option
@click.option("--image", type=click.Path(path_type=Path), help="The .bin; else cache or download.")
@click.option("--dry-run", is_flag=True, help="Check the image and print the steps; do nothing.")
@yes_option
def command(
    board_name: str, port: str | None, image: Path | None, dry_run: bool, is_sure: bool
) -> None:
    """Put MicroPython on a board. Everything that is on the board now is erased.

    The image is the one that the board's board.json names. It is downloaded only where its
    SHA-256 is pinned there; otherwise download it yourself and give it by --image.

    \b
    Examples:
      earnest flash --board ESPRESSIF_S3_EYE --image ESP32_GENERIC_S3-SPIRAM_OCT-....bin
      earnest flash --board ONJU_VOICE_V3 --port /dev/ttyACM0 --dry-run
    """
    board = load_board(board_name)
    if dry_run:
        ports = [found.device for found in find_ports()]
        device = port or (ports[0] if len(ports) == 1 else "PORT")
        found = get_image(board, image) if image is not None else cached_image(board)
        if found is not None:
            _require_image(board, *found)
        else:
            click.echo(f"image: {board.micropython.image}, not here yet, so not checked")
        path = image_path(board) if found is None else found[0]
        for number, words in enumerate(steps(board, device, path), 1):
            click.echo(f"{number}. {words}")
        return
    device = find_port(port)
    SerialLink.check_port(device)  # before a long download
    path, data = get_image(board, image)
    _require_image(board, path, data)
    flash(board, device, path, is_sure)


def _require_image(board: Board, path: Path, data: bytes) -> None:
    """Say what the image is; HostToolError when it does not fit the board."""
    content = read_image(data)
    warnings = require_fit(content, board)
    click.echo(f"image: {path}, MicroPython {content.version} for {content.chip}")
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def steps(board: Board, port: str, image: Path) -> list[str]:
    """Each step in words, esptool's calls as they will be made."""
    return [
        "ask the chip: " + shlex.join(identify_call(board, port)[2:]),
        f"stop unless it is {board.chip} with at least {board.flash_mb} MB of flash",
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


def flash(board: Board, port: str, image: Path, is_sure: bool) -> tuple[str, str]:
    """Do it; returns the port on which MicroPython answers, and its version."""
    others = other_ports(port)
    said = ""
    try:
        status, said = run_tool(identify_call(board, port))
        require_chip(board, status, said)
        if not is_sure:
            click.confirm(
                f"Erase everything on {port} ({board.name}) and write {image.name}?", abort=True
            )
    except (HostToolError, click.Abort, KeyboardInterrupt):
        if "Failed to connect" not in said:
            with contextlib.suppress(subprocess.TimeoutExpired):
                subprocess.run(start_call(port), capture_output=True, timeout=QUIET_S)
        click.echo("nothing was erased", err=True)
        raise
    try:
        status, said = run_tool(write_call(board, port, image))
    except KeyboardInterrupt:
        click.echo(f"\n{_HALF_HINT}", err=True)
        raise
    if status and _ERASING not in said:
        raise HostToolError(
            f"esptool could not begin to write: {_last_line(said)}",
            f"nothing was erased; {_BOOT_LOADER_HINT}",
        )
    if status:
        raise HostToolError(f"esptool could not write: {_last_line(said)}", _HALF_HINT)
    found, version = wait_for_repl(port, others, WAIT_S)
    click.echo(f"MicroPython {version} answers on {found}")
    click.echo(f"next: earnest install --board {board.id} --port {found}")
    return found, version


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


def wait_for_repl(port: str, others: frozenset[str], wait_s: float) -> tuple[str, str]:
    """The port on which MicroPython answers, and its version.

    After a reset the chip's own USB may come back under another name, so every port that appears
    is asked; those of `others`, which have another board, are left alone.
    """
    click.echo("waiting for MicroPython; if it takes long, press the board's RESET", err=True)
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
        "press the board's RESET button, or plug it out and in; then: earnest install",
    )


def other_ports(port: str) -> frozenset[str]:
    """Ports that have a board now and are not `port`, which may be a link to one."""
    mine = os.path.realpath(port)
    return frozenset(
        found.device for found in find_ports() if os.path.realpath(found.device) != mine
    )


def run_tool(call: list[str]) -> tuple[int, str]:
    """Run, showing the output as it comes; the exit status and all that it said.

    A tool that is still running ends with us, and one that is silent for QUIET_S is ended: esptool
    waits without a limit for the first word of its program on the chip.
    """
    said: list[str] = []
    rest = b""
    with subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    ) as process:
        assert process.stdout is not None
        try:
            piece = b"\n"
            while piece:
                if not select.select([process.stdout], [], [], QUIET_S)[0]:
                    process.terminate()
                    said.append(f"serial error: nothing was heard for {QUIET_S:.0f} s")
                    break
                piece = process.stdout.read(4096)
                *lines, rest = (rest + (piece or b"\n")).split(b"\n")
                for line in lines:
                    said.append(line.decode(errors="replace").rstrip())
                    click.echo("  " + said[-1], err=True)
        except BaseException:
            process.terminate()
            raise
    return process.returncode, "\n".join(said)


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), (lines or ["no word"])[-1])
