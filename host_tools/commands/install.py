"""`earnest install`: the firmware, its board and its models onto a board over the serial line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from host_tools.board import file_set as board_files
from host_tools.board.build import CHIP, MpyKind, build, digest
from host_tools.board.definition import Board, load_board
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import find_port
from host_tools.commands.options import board_option, json_option, port_option
from host_tools.errors import HostToolError
from host_tools.models.catalog import DEFAULT_MODEL, find_model
from host_tools.shared_firmware import FIRMWARE
from host_tools.version import installed_version

LISTEN_S = 2.0
STOPPED = "earnest stopped:"
TRACEBACK = "Traceback (most recent call last)"
STOPS = 1
LEAST_HEAP_BYTES = 1 << 20  # with PSRAM it has megabytes, without 222 KB, which is too little

_WHO = """import sys, json, gc
gc.collect()
i = sys.implementation
print(json.dumps({"version": list(i.version[:3]), "mpy": getattr(i, "_mpy", 0),
 "machine": getattr(i, "_machine", ""), "free": gc.mem_free(), "used": gc.mem_alloc()}))
"""
_SPACE = """import os, gc, json
gc.collect()
s = os.statvfs("/")
print(json.dumps([s[0] * s[3], s[1] * s[2], gc.mem_free(), "config.json" in os.listdir()]))
"""


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

    Compiles the firmware for the board's MicroPython, copies what has changed, checks every file
    by its SHA-256 and starts it.  Configuration, keys, mute state and audit log stay.  Whenever
    the plug is pulled, the board has the old firmware or the new, never a half: just run it again.
    Exit status 1 when the firmware is there and stops with an error.

    \b
    Examples:
      earnest install --board ESPRESSIF_S3_EYE
      earnest install --board ONJU_VOICE_V3 --port /dev/ttyACM0 --model hey_jarvis
    """
    board = load_board(board_name)
    try:
        report = install(board, find_port(port), models, not no_reset)
    except KeyboardInterrupt:
        click.echo("\nnot installed to the end: run it again", err=True)
        raise
    if as_json:
        click.echo(json.dumps(report))
    else:
        _show(report)
        if not (no_reset or report["provisioned"] or report["stopped"]):
            light = "red" if board.pins.has_colour else "dark, with a short flash every 2 s"
            click.echo(f"next: earnest provision; its light is {light}: muted")
    return STOPS if report["stopped"] else 0


def install(
    board: Board,
    port: str,
    models: tuple[str, ...] = (),
    start: bool = True,
    firmware: Path = FIRMWARE,
) -> dict[str, Any]:
    """Do it; returns what the report says.  Raises HostToolError."""
    with SerialLink(port) as link:
        who = link.exec_json(_WHO)
        kind = MpyKind.from_number(who["mpy"])
        warnings = require_fit(board, who, kind)
        files = build(kind.architecture, firmware)
        board_files.finish_interrupted(link, files["boot.py"])
        before = board_files.read_manifest(link)
        if before.get("board", board.id) != board.id:
            warnings.append(f"it was {before['board']}: its pins are now those of {board.id}")
        names = models or tuple(before.get("models", ())) or (DEFAULT_MODEL,)
        found = [find_model(name) for name in names]
        files["board.py"] = (board.folder / "board.py").read_bytes()
        for model in found:
            files[f"models/{model.name}.ewm"] = model.path.read_bytes()
        manifest: dict[str, Any] = {
            "version": _version(),
            "digest": digest(files),
            "board": board.id,
            "architecture": kind.architecture,
            "models": [model.name for model in found],
        }
        plan = board_files.make_plan(link, files, manifest)
        if not plan.is_nothing:
            with _progress(plan.send_bytes) as progress:
                board_files.carry_out(link, files, manifest, plan, progress)
        free_bytes, flash_bytes, free_ram, is_provisioned = link.exec_json(_SPACE)
        said = b""
        if start:
            said = link.start_and_listen(LISTEN_S)
        else:
            link.leave_stopped()
    stopped = why_stopped(said)
    if stopped:
        warnings.append(f"the firmware does not run: {stopped}")
    return {
        "port": port,
        "micropython": ".".join(map(str, who["version"])),
        "machine": who["machine"],
        **{key: manifest[key] for key in ("version", "digest", "board", "models")},
        "copied": len(plan.copy) - len(plan.staged),
        "copied_bytes": plan.send_bytes,
        "unchanged": len(files) - len(plan.copy),
        "removed": list(plan.remove),
        "free_bytes": free_bytes,
        "flash_bytes": flash_bytes,
        "free_ram_bytes": free_ram,
        "provisioned": is_provisioned,
        "stopped": stopped,
        "warnings": warnings,
    }


def why_stopped(said: bytes) -> str:
    """The error that a device says has ended its firmware, in a line; "" where none did."""
    lines = said.decode("utf-8", "replace").splitlines()
    for line in lines:
        if line.startswith(STOPPED):
            return line
    has_begun = False
    for line in lines:
        if has_begun and line and not line.startswith(" "):
            return line  # after the indented ones that say where
        has_begun = has_begun or line.startswith(TRACEBACK)
    return TRACEBACK if has_begun else ""


def require_fit(board: Board, who: dict[str, Any], kind: MpyKind) -> list[str]:
    """HostToolError when board and MicroPython do not fit each other; else warnings."""
    version = tuple(who["version"])
    least = tuple(map(int, board.micropython.least_version.split(".")))
    if version < least:
        raise HostToolError(
            f"the board has MicroPython {'.'.join(map(str, version))}, "
            f"at least {board.micropython.least_version} is needed",
            f"earnest flash --board {board.id}",
        )
    kind.require_fit()
    if kind.architecture != CHIP:
        return [f"a MicroPython for {kind.architecture}: this is a test board, not {board.chip}"]
    if board.chip not in who["machine"].lower().replace("-", ""):
        raise HostToolError(
            f"this is {who['machine']!r}, the board {board.id} has {board.chip}",
            "is this the right board and port?",
        )
    heap_bytes = who["free"] + who["used"]
    if heap_bytes < LEAST_HEAP_BYTES:
        raise HostToolError(
            f"MicroPython has a heap of {heap_bytes // 1024} KB here: it uses no PSRAM, and the "
            "firmware does not fit without",
            f"earnest flash --board {board.id} puts the image on that uses it; "
            "a module without PSRAM (N4, N8, N16) cannot run Earnest",
        )
    return []


def _version() -> str:
    return installed_version()


class _progress:
    """A bar on standard error: bytes of all files, and which file it is at."""

    def __init__(self, total_bytes: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
        )
        self._task = self._bar.add_task("", total=total_bytes)

    def __enter__(self) -> _progress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, name: str, count: int) -> None:
        self._bar.update(self._task, description=name, advance=count)


def _show(report: dict[str, Any]) -> None:
    if report["copied"] or report["removed"]:
        click.echo(
            f"installed {report['version']} ({report['digest']}) for {report['board']}: "
            f"{report['copied']} files copied, {report['copied_bytes']} bytes, "
            f"{report['unchanged']} unchanged, {len(report['removed'])} removed"
        )
    else:
        click.echo(f"{report['version']} ({report['digest']}) is there already, nothing copied")
    click.echo(f"MicroPython {report['micropython']}, {report['machine']}")
    click.echo(f"models: {', '.join(report['models'])}")
    click.echo(
        f"free: {report['free_bytes'] // 1024} of {report['flash_bytes'] // 1024} KB of flash, "
        f"{report['free_ram_bytes'] // 1024} KB of RAM before the start"
    )
    for warning in report["warnings"]:
        click.echo(f"warning: {warning}", err=True)
