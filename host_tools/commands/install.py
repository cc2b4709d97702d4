"""`earnest install`: put the firmware on a board, or renew it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from host_tools.board.definition import load_board
from host_tools.board.installer import Report, install
from host_tools.board.sensitivity import LEVELS, MAX_WINDOW, Change
from host_tools.board.serial_port import find_port
from host_tools.commands.options import json_option, known_board_option, port_option
from host_tools.errors import HostToolError
from host_tools.models.catalog import DEFAULT_MODEL, available_models
from host_tools.places import earnest
from host_tools.progress import bar

STOPS = 1


@click.command("install")
@known_board_option
@port_option
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="MODEL",
    help="Wake word to listen for, a name or a file; repeatable. [default: as on the board]",
)
@click.option(
    "--sensitivity",
    "levels",
    multiple=True,
    metavar="[WORD=]LEVEL",
    help="low, normal (as the model says) or high; repeatable.",
)
@click.option(
    "--cutoff",
    "cutoffs",
    multiple=True,
    metavar="[WORD=]P",
    help="Probability cutoff of a wake word, 0.1 to 0.99; repeatable.",
)
@click.option(
    "--window",
    "windows",
    multiple=True,
    metavar="[WORD=]N",
    help="Sliding window of a wake word, 1 to 50 inferences; repeatable.",
)
@click.option("--no-reset", is_flag=True, help="Leave the firmware stopped, at the prompt.")
@json_option
def command(
    board_name: str | None,
    port: str | None,
    models: tuple[str, ...],
    levels: tuple[str, ...],
    cutoffs: tuple[str, ...],
    windows: tuple[str, ...],
    no_reset: bool,
    as_json: bool,
) -> int:
    """Install or update the firmware on a board.

    Compiles the firmware for the board's MicroPython, copies what has changed, verifies every file
    by its SHA-256 and starts the firmware. Keys, mute state and audit log stay. With --model the
    board listens for these words only; models and configuration change together. If the board is
    unplugged meanwhile, it has the old files or the new ones; run the command again. Exit status 1
    if the installed firmware stops with an error.

    \b
    Examples:
      earnest install --board ESPRESSIF_S3_EYE
      earnest install --board ONJU_VOICE_V3 --port /dev/ttyACM0 --model hey_jarvis
      earnest install --model hey_mycroft --cutoff 0.9 --window 12
      earnest install --sensitivity okay_nabu=low
    """
    board = None if board_name is None else load_board(board_name)
    changes = [
        *(_change("level", text, _level) for text in levels),
        *(_change("cutoff", text, _cutoff) for text in cutoffs),
        *(_change("window", text, _window) for text in windows),
    ]
    may_ask = sys.stdin.isatty() and not as_json
    try:
        report = install(
            board,
            find_port(port),
            models,
            changes,
            not no_reset,
            progress=bar,
            choose=_ask if may_ask else tuple,
        )
    except KeyboardInterrupt:
        click.echo("\nthe installation did not complete: run it again", err=True)
        raise
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        _show(report)
        if not (no_reset or report.provisioned or report.stopped):
            has_colour = load_board(report.board).pins.has_colour
            light = "red" if has_colour else "dark, with a short flash every 2 s"
            click.echo(f"next: {earnest()} provision; the light is {light}: muted")
    return STOPS if report.stopped else 0


def _ask() -> list[str]:
    """Ask for the wake words of a board that has none yet."""
    known = sorted(available_models(), key=lambda name: name != DEFAULT_MODEL)
    while True:
        answer = click.prompt(
            f"Wake words, separated by commas ({', '.join(known)})", DEFAULT_MODEL, err=True
        )
        words = [word.strip() for word in answer.split(",") if word.strip()]
        unknown = [word for word in words if word not in known]
        if words and not unknown:
            return words
        click.echo(f"error: there is no model {', '.join(unknown)}", err=True)


def _change(field: str, text: str, convert: Callable[[str], Any]) -> Change:
    """Return the change that `WORD=VALUE` or `VALUE` stands for."""
    word, _, value = text.rpartition("=")
    return Change(word or None, **{field: convert(value)})


def _level(text: str) -> str:
    if text not in LEVELS:
        raise HostToolError(f"there is no sensitivity {text!r}", f"one of {', '.join(LEVELS)}")
    return text


def _cutoff(text: str) -> float:
    try:
        value = round(float(text), 3)
    except ValueError:
        value = 0.0
    if not 0.1 <= value <= 0.99:
        raise HostToolError(f"--cutoff {text} is not allowed", "a number from 0.1 to 0.99")
    return value


def _window(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_WINDOW:
        raise HostToolError(
            f"--window {text} is not allowed", f"a whole number from 1 to {MAX_WINDOW}"
        )
    return int(text)


def _show(report: Report) -> None:
    if report.copied or report.removed:
        click.echo(
            f"installed {report.version} ({report.digest}) for {report.board}: "
            f"{report.copied} files copied, {report.copied_bytes} bytes, "
            f"{report.unchanged} unchanged, {len(report.removed)} removed"
        )
    else:
        click.echo(f"{report.version} ({report.digest}) is already installed, nothing copied")
    click.echo(f"MicroPython {report.micropython}, {report.machine}")
    words = [f"{name} (sensitivity {report.sensitivity[name]})" for name in report.models]
    click.echo(f"wake words: {', '.join(words)}")
    click.echo(
        f"free: {report.free_bytes // 1024} of {report.flash_bytes // 1024} KB of flash, "
        f"{report.free_ram_bytes // 1024} KB of RAM before the start"
    )
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
