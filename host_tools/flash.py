"""`earnest flash`: MicroPython itself onto a board, by Espressif's esptool.

The image is checked before the chip is asked, the chip before the person, the person before
anything is erased.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import click

from host_tools.boards import Board, load_board
from host_tools.chip_image import MAX_IMAGE_BYTES, ChipImage, read_image, require_fit
from host_tools.errors import HostToolError
from host_tools.firmware import ROOT
from host_tools.model_files import write_whole
from host_tools.serial_link import SerialLink
from host_tools.serial_port import LinkError, find_port, find_ports

CACHE = ROOT / "build" / "images"
WAIT_S = 30.0
DOWNLOAD_TIMEOUT_S = 60
BAUD = 460800

#: Runs a command line, shows its output and returns it with the exit status.
Caller = Callable[[list[str]], tuple[int, str]]

_BOOT_LOADER_HINT = (
    "hold BOOT, press and release RESET, release BOOT, then try again; close other programs"
)


@click.command("flash")
@click.option("--board", "board_name", required=True, help="A folder of boards/.")
@click.option("--port", help="Serial port of the board; found by its USB id when there is one.")
@click.option("--image", type=click.Path(path_type=Path), help="The .bin; else cache or download.")
@click.option("--dry-run", is_flag=True, help="Check the image and print the steps; do nothing.")
@click.option("--yes", is_flag=True, help="Do not ask before everything on the board is erased.")
def command(
    board_name: str, port: str | None, image: Path | None, dry_run: bool, yes: bool
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
    path, data = get_image(board, image)
    content = read_image(data)
    warnings = require_fit(content, board)
    click.echo(f"image: {path}, MicroPython {content.version} for {content.chip}")
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    if dry_run:
        ports = [found.device for found in find_ports()]
        device = port or (ports[0] if len(ports) == 1 else "PORT")
        for number, words in enumerate(steps(board, device, path, content), 1):
            click.echo(f"{number}. {words}")
        return
    flash(board, find_port(port), path, yes)


def steps(board: Board, port: str, image: Path, content: ChipImage) -> list[str]:
    """Each step in words, esptool's calls as they will be made."""
    return [
        "ask the chip: " + shlex.join(identify_call(board, port)[2:]),
        f"stop unless it is {content.chip} with at least {board.flash_mb} MB of flash",
        "ask before everything on it is erased",
        "erase and write: " + shlex.join(write_call(board, port, image)[2:]),
        f"wait up to {WAIT_S:.0f} s for MicroPython on {port} or where it appears",
    ]


def identify_call(board: Board, port: str) -> list[str]:
    """esptool's call that finds chip and flash size, and leaves the chip in its boot loader."""
    return _esptool(board, port, "--after", "no-reset", "flash-id")


def write_call(board: Board, port: str, image: Path) -> list[str]:
    """esptool's call that erases all, writes from address 0, compares and resets."""
    return _esptool(
        board, port, "--baud", str(BAUD), "write-flash", "--erase-all", "0x0", str(image)
    )


def _esptool(board: Board, port: str, *rest: str) -> list[str]:
    return [sys.executable, "-m", "esptool", "--chip", board.chip, "--port", port, *rest]


def flash(
    board: Board, port: str, image: Path, is_sure: bool, call: Caller | None = None
) -> tuple[str, str]:
    """Do it; returns the port on which MicroPython answers, and its version."""
    call = call or run_tool
    SerialLink.check_port(port)
    status, said = call(identify_call(board, port))
    require_chip(board, status, said)
    if not is_sure:
        click.confirm(
            f"Erase everything on {port} ({board.name}) and write {image.name}?", abort=True
        )
    status, said = call(write_call(board, port, image))
    if status:
        raise HostToolError(f"esptool could not write: {_last_line(said)}", _BOOT_LOADER_HINT)
    found, version = wait_for_repl(port)
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


def get_image(board: Board, given: Path | None) -> tuple[Path, bytes]:
    """The image's file and bytes: what was given, the cache, or a download that is pinned."""
    source = board.micropython
    if given is not None:
        try:
            with given.open("rb") as file:
                data = file.read(MAX_IMAGE_BYTES + 1)
        except OSError as error:
            raise HostToolError(f"{given}: {error.strerror}", "check the image's path") from error
        if source.sha256 and _digest(data) != source.sha256:
            click.echo(f"note: {given} is not the image that board.json pins", err=True)
        return given, data
    name = source.image.rsplit("/", 1)[-1]
    if source.sha256 is None:
        raise HostToolError(
            f"the SHA-256 of {name} is not pinned in board.json, so it is not downloaded",
            f"download it from {source.page} and give it: --image {name}",
        )
    cached = CACHE / name
    if cached.is_file() and _digest(data := cached.read_bytes()) == source.sha256:
        return cached, data
    data = download(source.image)
    if _digest(data) != source.sha256:
        raise HostToolError(
            f"what {source.image} gives is not what board.json pins",
            f"do not use it; get it from {source.page} and give it: --image {name}",
        )
    write_whole(cached, data)
    return cached, data


def download(url: str) -> bytes:
    """At most MAX_IMAGE_BYTES of the URL; HostToolError when it cannot be had."""
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_TIMEOUT_S) as answer:
            return answer.read(MAX_IMAGE_BYTES + 1)
    except (urllib.error.URLError, OSError) as error:
        raise HostToolError(
            f"{url} cannot be downloaded: {error}",
            "download it on another computer and give it: --image FILE",
        ) from error


def wait_for_repl(port: str, wait_s: float = WAIT_S) -> tuple[str, str]:
    """The port on which MicroPython answers, and its version.

    After a reset the chip's own USB may come back under another name.
    """
    deadline = time.monotonic() + wait_s
    while time.monotonic() < deadline:
        for candidate in dict.fromkeys([port, *(found.device for found in find_ports())]):
            with contextlib.suppress(LinkError), SerialLink(candidate) as link:
                answer = link.exec_json(
                    "import sys, json\nprint(json.dumps(sys.implementation.version[:3]))"
                )
                return candidate, ".".join(map(str, answer))
        time.sleep(0.5)
    raise HostToolError(
        f"the image is written, but no MicroPython answered within {wait_s:.0f} s",
        "press the board's RESET button, or plug it out and in; then: earnest install",
    )


def run_tool(call: list[str]) -> tuple[int, str]:
    """Run, showing the output as it comes; a tool that is still running ends with us."""
    said = []
    with subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                said.append(line)
                click.echo("  " + line.rstrip(), err=True)
        except BaseException:
            process.terminate()
            raise
    return process.returncode, "".join(said)


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next((line for line in lines if "error" in line.lower()), (lines or ["no word"])[-1])


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
