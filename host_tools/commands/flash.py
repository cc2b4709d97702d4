"""`earnest flash`: write MicroPython itself to a board."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from host_tools.board.definition import Board, load_board
from host_tools.board.flash_image import read_image, require_fit
from host_tools.board.flasher import Talk, flash, steps
from host_tools.board.image_source import cached_image, get_image, image_path
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import find_port, find_ports
from host_tools.commands.options import board_option, port_option, yes_option
from host_tools.places import earnest
from host_tools.progress import bar


@click.command("flash")
@board_option
@port_option
@click.option(
    "--image",
    type=click.Path(path_type=Path),
    help="Image file (.bin). [default: cached or downloaded]",
)
@click.option(
    "--dry-run", is_flag=True, help="Check the image and print the steps; write nothing."
)
@yes_option
def command(
    board_name: str, port: str | None, image: Path | None, dry_run: bool, is_sure: bool
) -> None:
    """Write MicroPython to a board. This erases everything that is on the board.

    The board's board.json names the image. The command downloads it only if its SHA-256 is pinned
    there; otherwise download it yourself and name the file with --image.

    \b
    Examples:
      earnest flash --board ESPRESSIF_S3_EYE --image ESP32_GENERIC_S3-SPIRAM_OCT-....bin
      earnest flash --board ONJU_VOICE_V3 --port /dev/ttyACM0 --dry-run
    """
    board = load_board(board_name)
    if dry_run:
        _show_steps(board, port, image)
        return
    device = find_port(port)
    SerialLink.check_port(device)  # before a long download
    path, data = get_image(board, image, _note, bar)
    _require_image(board, path, data)
    found, version = flash(board, device, path, Talk(_note, _confirm(is_sure)))
    click.echo(f"MicroPython {version} answers on {found}")
    click.echo(f"next: {earnest()} install --board {board.id} --port {found}")


def _show_steps(board: Board, port: str | None, image: Path | None) -> None:
    ports = [found.device for found in find_ports()]
    device = port or (ports[0] if len(ports) == 1 else "PORT")
    found = get_image(board, image, _note) if image is not None else cached_image(board)
    if found is not None:
        _require_image(board, *found)
    else:
        click.echo(f"image: {board.micropython.image}, not downloaded yet, so not checked")
    path = image_path(board) if found is None else found[0]
    for number, text in enumerate(steps(board, device, path), 1):
        click.echo(f"{number}. {text}")


def _require_image(board: Board, path: Path, data: bytes) -> None:
    """Print what the image is; raise HostToolError when it does not fit the board."""
    content = read_image(data)
    warnings = require_fit(content, board)
    click.echo(f"image: {path}, MicroPython {content.version} for {content.chip}")
    for warning in warnings:
        _note(f"warning: {warning}")


def _note(text: str) -> None:
    click.echo(text, err=True)


def _confirm(is_sure: bool) -> Callable[[str], object]:
    """Return what asks before the erase and aborts after a no."""
    return lambda question: is_sure or click.confirm(question, abort=True)
