"""Put the firmware, its board description and its models on a board, and start it.

Place: below `earnest install`, above file_set, which copies the files so that a pulled plug leaves
the old set or the new one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from host_tools.board import file_set
from host_tools.board.build import CHIP, MpyKind, build, digest
from host_tools.board.definition import Board
from host_tools.board.serial_link import SerialLink
from host_tools.errors import HostToolError
from host_tools.models.catalog import DEFAULT_MODEL, find_model
from host_tools.progress import OpenProgress, no_progress
from host_tools.shared_firmware import FIRMWARE
from host_tools.version import installed_version

LISTEN_S = 2.0
STOPPED = "earnest stopped:"
TRACEBACK = "Traceback (most recent call last)"
MIN_HEAP_BYTES = 1 << 20  # with PSRAM it has megabytes, without 222 KB, which is too little

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


@dataclass(frozen=True)
class Report:
    """What was installed, where, and whether it runs; `earnest install --json` prints it."""

    port: str
    micropython: str
    machine: str
    version: str
    digest: str
    board: str
    models: list[str]
    copied: int  # files
    copied_bytes: int
    unchanged: int
    removed: list[str]
    free_bytes: int  # of the flash
    flash_bytes: int
    free_ram_bytes: int  # before the start
    provisioned: bool
    stopped: str  # the error that ended the firmware; "" while it runs
    warnings: list[str]


def install(
    board: Board,
    port: str,
    models: tuple[str, ...] = (),
    start: bool = True,
    firmware: Path = FIRMWARE,
    progress: OpenProgress = no_progress,
) -> Report:
    """Copy what differs, verify it and start the firmware.

    Args:
        board: the board's description.
        port: its serial port.
        models: names or files of models; empty: those that are on the board.
        start: start the firmware at the end; else leave the board at its prompt.
        firmware: the tree to install.
        progress: shows how much of the files was copied.

    Raises:
        HostToolError: the board or its MicroPython does not fit, or the copy failed.
    """
    with SerialLink(port) as link:
        who = link.exec_json(_WHO)
        kind = MpyKind.from_number(who["mpy"])
        warnings = require_fit(board, who, kind)
        files = build(kind.architecture, firmware)
        file_set.finish_interrupted(link, files["boot.py"])
        before = file_set.read_manifest(link)
        if before.get("board", board.id) != board.id:
            warnings.append(
                f"board changed from {before['board']} to {board.id}; pin assignments updated"
            )
        names = models or tuple(before.get("models", ())) or (DEFAULT_MODEL,)
        found = [find_model(name) for name in names]
        files["board.py"] = (board.folder / "board.py").read_bytes()
        for model in found:
            files[f"models/{model.name}.ewm"] = model.path.read_bytes()
        manifest: dict[str, Any] = {
            "version": installed_version(),
            "digest": digest(files),
            "board": board.id,
            "architecture": kind.architecture,
            "models": [model.name for model in found],
        }
        plan = file_set.make_plan(link, files, manifest)
        if not plan.is_nothing:
            with progress(plan.send_bytes) as report:
                file_set.carry_out(link, files, manifest, plan, report)
        free_bytes, flash_bytes, free_ram, is_provisioned = link.exec_json(_SPACE)
        said = b""
        if start:
            said = link.start_and_listen(LISTEN_S)
        else:
            link.leave_stopped()
    stopped = why_stopped(said)
    if stopped:
        warnings.append(f"the firmware does not run: {stopped}")
    return Report(
        port=port,
        micropython=".".join(map(str, who["version"])),
        machine=who["machine"],
        version=manifest["version"],
        digest=manifest["digest"],
        board=board.id,
        models=manifest["models"],
        copied=len(plan.copy) - len(plan.staged),
        copied_bytes=plan.send_bytes,
        unchanged=len(files) - len(plan.copy),
        removed=list(plan.remove),
        free_bytes=free_bytes,
        flash_bytes=flash_bytes,
        free_ram_bytes=free_ram,
        provisioned=is_provisioned,
        stopped=stopped,
        warnings=warnings,
    )


def why_stopped(said: bytes) -> str:
    """Return the line in which a device says what ended its firmware; "" if nothing did."""
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
    if heap_bytes < MIN_HEAP_BYTES:
        raise HostToolError(
            f"MicroPython has a heap of {heap_bytes // 1024} KB here: it uses no PSRAM, and the "
            "firmware does not fit without",
            f"earnest flash --board {board.id} puts the image on that uses it; "
            "a module without PSRAM (N4, N8, N16) cannot run Earnest",
        )
    return []
