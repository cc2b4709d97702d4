"""A firmware of a few lines, each file of which has a version that must be that of all others.

main.py says `ran 111111`: the versions that it found in main.py itself, a.mpy, board.py,
satellite/__init__.mpy, satellite/b.mpy and the model, as digits.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

from mpremote.transport_serial import SerialTransport

from host_tools.board import installer, wake_words
from host_tools.board.definition import load_board
from host_tools.board.raw_repl import RawREPL
from host_tools.models.catalog import ModelFile
from host_tools.shared_firmware import FIRMWARE
from tests.fakes.board.pty_board import PtyBoard

BOARD = load_board("ESPRESSIF_S3_EYE")
OLD, NEW = "111111", "222222"
START = "start main.py"
_MAIN = """import a, board, satellite, satellite.b, time
model = open("models/tiny.ewm").read(1)
of = (%d, a.version, board.version, satellite.version, satellite.b.version, model)
with open("ran", "a") as f:
    f.write("%%s%%s%%s%%s%%s%%s " %% of)
print("ran %%s%%s%%s%%s%%s%%s" %% of)
while True:
    time.sleep(0.02)
"""


def write_tree(folder: Path, version: int) -> Path:
    """Write it; the board's description and the model lie beside the modules, not among them."""
    files = {
        "boot.py": (FIRMWARE / "boot.py").read_text() + f"# {version}\n",
        "main.py": _MAIN % version,
        "a.py": f"version = {version}\n",
        "satellite/__init__.py": f"version = {version}\n",
        "satellite/b.py": f"version = {version}\n",
        f"satellite/only_in_{version}.py": "\n",
    }
    for name, text in files.items():
        path = folder / "firmware" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "board.py").write_text(f"version = {version}\n")
    (folder / "tiny.ewm").write_text(str(version) * 1024)
    return folder


def use_tiny_models(monkeypatch) -> None:
    """Have install take any file for a model, and not listen for long."""
    monkeypatch.setattr(
        wake_words, "find_model", lambda name: ModelFile("tiny", Path(name), "tiny", 250, 5, 1)
    )
    monkeypatch.setattr(installer, "LISTEN_S", 0.01)


def put(plugged: PtyBoard, tree: Path, **options) -> installer.Report:
    """Install a tree and wait until main.py runs; see use_tiny_models()."""
    report = installer.install(
        replace(BOARD, id=str(tree), folder=tree),
        plugged.port,
        models=(str(tree / "tiny.ewm"),),
        firmware=tree / "firmware",
        **options,
    )
    if options.get("start", True):
        started(plugged)
    return report


def names(plugged: PtyBoard) -> list[str]:
    """All files of the board's folder."""
    root = plugged.folder
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def ran(plugged: PtyBoard) -> list[str]:
    """What main.py of each start found, from the board's folder."""
    path = plugged.folder / "ran"
    return path.read_text().split() if path.exists() else []


def started(plugged: PtyBoard, timeout_s: float = 20) -> str:
    """What main.py of the present start found, as it says on the line."""
    end = time.monotonic() + timeout_s
    while not (said := re.search(rb"ran (\d+)\r?\n", plugged.said)):
        assert time.monotonic() < end, plugged.said
        time.sleep(0.005)
    return said[1].decode()


@contextlib.contextmanager
def at_operation(
    which: int | str | None, action: Callable[[str], object] = print
) -> Iterator[list[str]]:
    """Call `action` with the piece of code of that number, or with the first that holds these
    words, just before a tool sends it; yields the list of all pieces.  The start of main.py by
    `earnest install` counts as one."""
    pieces: list[str] = []
    send, start = SerialTransport.exec_raw_no_follow, RawREPL.start_and_listen

    def note(piece: str) -> None:
        nonlocal which
        is_it = piece.count(which) if isinstance(which, str) else which == len(pieces)
        pieces.append(piece)
        if is_it:
            which = None
            action(piece)

    def sends(transport, piece):
        note(piece)
        return send(transport, piece)

    def starts(link, listen_s):
        note(START)
        return start(link, listen_s)

    with (
        patch.object(SerialTransport, "exec_raw_no_follow", sends),
        patch.object(RawREPL, "start_and_listen", starts),
    ):
        yield pieces


def where_it_changes(pieces: list[str]) -> list[int]:
    """The numbers of the pieces that open a file to be copied, write its first bytes, move or
    remove files or start main.py."""
    return [
        number
        for number, piece in enumerate(pieces)
        if re.search(r"'wb'|rename|remove|mkdir|exec\(open", piece)
        or "'wb'" in pieces[number - 1]
        or piece == START
    ]
