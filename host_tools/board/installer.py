"""Put the firmware, its board description and its models on a board, and start it.

Place: below `earnest install`, above file_set, which copies the files so that a pulled plug leaves
the old set or the new one.  Where the wake words change, the configuration that names them comes
with the models, in the same set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from firmware.satellite.config import Config
from host_tools.board import file_set, personal_data
from host_tools.board.build import CHIP, MpyKind, build, digest
from host_tools.board.definition import Board, board_names, load_board
from host_tools.board.inventory import read_config
from host_tools.board.personal_data import CONFIG_FILE, SENSITIVITY_FILE, Hidden
from host_tools.board.sensitivity import Change, text_of
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import LinkError
from host_tools.board.wake_words import Model, gather, with_words
from host_tools.errors import HostToolError
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
print(json.dumps([s[0] * s[3], s[1] * s[2], gc.mem_free()]))
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
    sensitivity: dict[str, str]  # of each model, in words
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
    board: Board | None,
    port: str,
    models: Sequence[str] = (),
    changes: Sequence[Change] = (),
    start: bool = True,
    firmware: Path = FIRMWARE,
    progress: OpenProgress = no_progress,
    choose: Callable[[], Sequence[str]] = tuple,
) -> Report:
    """Copy what differs, verify it and start the firmware.

    Args:
        board: the board's description; None: of the board that was installed before.
        port: its serial port.
        models: names or files of the wake words; empty: those of the board's configuration.
        changes: what the owner wants of a word's sensitivity; any of them undoes, for all words,
            what the network raised.
        start: start the firmware at the end; else leave the board at its prompt.
        firmware: the tree to install.
        progress: shows how much of the files was copied.
        choose: returns the wake words of a board that has none yet; empty for the default.

    Raises:
        HostToolError: the board or its MicroPython does not fit, or the copy failed.
    """
    with SerialLink(port) as link:
        who = link.exec_json(_WHO)
        kind = MpyKind.from_number(who["mpy"])
        board = board or _installed_board(link)
        warnings = require_fit(board, who, kind)
        files = build(kind.architecture, firmware)
        file_set.finish_interrupted(link, files["boot.py"])
        before = file_set.read_manifest(link)
        if before.get("board", board.id) != board.id:
            warnings.append(
                f"board changed from {before['board']} to {board.id}; pin assignments updated"
            )
        words = _choose_words(link, models, changes, tuple(before.get("models", ())), choose)
        if words.is_damaged:
            warnings.append("config.json is damaged and was not changed: earnest provision")
        files["board.py"] = (board.folder / "board.py").read_bytes()
        files.update({model.file_name: model.data for model in words.models})
        manifest: dict[str, Any] = {
            "version": installed_version(),
            "digest": digest(files),
            "board": board.id,
            "architecture": kind.architecture,
            "models": [model.name for model in words.models],
        }
        plan = file_set.make_plan(link, files, manifest, words.owner_files)
        if not plan.is_nothing:
            every = {**files, **words.owner_files}
            _carry_out(link, every, manifest, plan, progress, words.config)
        if changes:  # the last: before it the network's cutoffs hold
            personal_data.remove(link, [SENSITIVITY_FILE])
        free_bytes, flash_bytes, free_ram = link.exec_json(_SPACE)
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
        sensitivity=words.sensitivity,
        copied=len(plan.copy) - len(plan.staged),
        copied_bytes=plan.send_bytes,
        unchanged=len(files) + len(words.owner_files) - len(plan.copy),
        removed=list(plan.remove),
        free_bytes=free_bytes,
        flash_bytes=flash_bytes,
        free_ram_bytes=free_ram,
        provisioned=bool(words.config.wifi_ssid or words.config.receiver_host),
        stopped=stopped,
        warnings=warnings,
    )


def _installed_board(link: SerialLink) -> Board:
    name = file_set.read_manifest(link).get("board")
    if not isinstance(name, str):
        raise HostToolError(
            "which board is it?", "--board with one of: " + ", ".join(board_names())
        )
    return load_board(name)


@dataclass(frozen=True)
class _Words:
    """The models that the board gets, and the configuration that names them."""

    models: list[Model]
    config: Config
    owner_files: dict[str, bytes] = field(repr=False)  # config.json where it changes
    is_damaged: bool

    @property
    def sensitivity(self) -> dict[str, str]:
        settings = self.config.sensitivity
        return {m.name: text_of(settings.get(m.name, {}), m.own) for m in self.models}


def _choose_words(
    link: SerialLink,
    models: Sequence[str],
    changes: Sequence[Change],
    installed: Sequence[str],
    choose: Callable[[], Sequence[str]],
) -> _Words:
    """Return what the board listens for: as wanted, as configured, as installed, as chosen."""
    text, present = read_config(link)
    is_damaged = text is not None and present is None
    config = present or Config.defaults()
    known = present.models if present else installed
    found = gather(models or known or choose() or config.models, link)
    config = with_words(config, {model.name: model.own for model in found}, changes)
    wanted = config.to_json().encode()
    is_needed = wanted != (present or Config.defaults()).to_json().encode()
    # Nobody knows what a damaged one said, so it stays.
    owner_files = {CONFIG_FILE: wanted} if is_needed and not is_damaged else {}
    return _Words(found, config, owner_files, is_damaged)


def _carry_out(
    link: SerialLink,
    files: dict[str, bytes],
    manifest: dict[str, Any],
    plan: file_set.Plan,
    progress: OpenProgress,
    config: Config,
) -> None:
    """Copy, and let no error show the password that config.json holds."""
    try:
        with progress(plan.send_bytes) as report:
            file_set.carry_out(link, files, manifest, plan, report)
    except HostToolError as error:
        if not config.wifi_password or CONFIG_FILE not in files:
            raise
        hidden = Hidden((config.wifi_password,))
        kind = LinkError if isinstance(error, LinkError) else HostToolError
        raise kind(hidden.scrub(error.message), hidden.scrub(error.hint)) from None


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
    least = tuple(map(int, board.micropython.min_version.split(".")))
    if version < least:
        raise HostToolError(
            f"the board has MicroPython {'.'.join(map(str, version))}, "
            f"at least {board.micropython.min_version} is needed",
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
