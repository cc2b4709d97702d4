"""`earnest install`: put the firmware on a board, or renew it."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from host_tools.board.definition import load_board
from host_tools.board.installer import Report, install
from host_tools.board.serial_port import find_port
from host_tools.commands.options import board_option, json_option, port_option
from host_tools.progress import bar

STOPS = 1


@click.command("install")
@board_option
@port_option
@click.option(
    "--model", "models", multiple=True, help="Wake-word model, a name or a file; may be repeated."
)
@click.option("--no-reset", is_flag=True, help="Leave the firmware stopped, at the prompt.")
@json_option
def command(
    board_name: str, port: str | None, models: tuple[str, ...], no_reset: bool, as_json: bool
) -> int:
    """Put the firmware on a board, or renew it.

    Compiles the firmware for the board's MicroPython, copies what has changed, verifies every file
    by its SHA-256 and starts it.  Configuration, keys, mute state and audit log stay.  If the plug
    is pulled, the board has the old firmware or the new one; run the command again.  Exit status 1
    when the firmware was installed and stops with an error.

    \b
    Examples:
      earnest install --board ESPRESSIF_S3_EYE
      earnest install --board ONJU_VOICE_V3 --port /dev/ttyACM0 --model hey_jarvis
    """
    board = load_board(board_name)
    try:
        report = install(board, find_port(port), models, not no_reset, progress=bar)
    except KeyboardInterrupt:
        click.echo("\nthe installation did not complete: run it again", err=True)
        raise
    if as_json:
        click.echo(json.dumps(asdict(report)))
    else:
        _show(report)
        if not (no_reset or report.provisioned or report.stopped):
            light = "red" if board.pins.has_colour else "dark, with a short flash every 2 s"
            click.echo(f"next: earnest provision; the light is {light}: muted")
    return STOPS if report.stopped else 0


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
    click.echo(f"models: {', '.join(report.models)}")
    click.echo(
        f"free: {report.free_bytes // 1024} of {report.flash_bytes // 1024} KB of flash, "
        f"{report.free_ram_bytes // 1024} KB of RAM before the start"
    )
    for warning in report.warnings:
        click.echo(f"warning: {warning}", err=True)
