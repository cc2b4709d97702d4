"""Counts the interpreter overhead around the kernels, on the host's processor.

A copy of the firmware, every kernel's body emptied but its signature kept, processes N and 2 N
chunks under valgrind (cachegrind counts instructions); the difference over N is the overhead of a
step: interpreter, calls, argument conversion. As on the chip, Python calls not the kernels but
what calls them (`walk_xtensa.py`), emptied too. The figure is the host's, x86-64 and the unix
port; on the chip the same bytecode runs, through another compiler's interpreter.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from host_tools import micropython
from host_tools.errors import HostToolError
from host_tools.shared_firmware import FIRMWARE

VALGRIND_HINT = "apt-get install valgrind"
_STEPS = 3000
_SCRIPT = micropython.GUESTS / "engine.py"


def has_valgrind() -> bool:
    """Return whether the overhead can be counted here."""
    return shutil.which("valgrind") is not None


#: What Python calls in `wakeword/walk_xtensa.py`, with the same conversions of arguments.
_WALKERS = """
import micropython

@micropython.viper
def walk(program, arena: ptr8, model: ptr8, values: ptr8):
    pass

@micropython.viper
def make_slice(kernels, words: ptr8, chunk: ptr8, out: ptr8):
    pass

@micropython.viper
def address(buffer: ptr8) -> int:
    return 0
"""


def _emptied(source: str) -> str:
    """Return the module with every viper function's body gone."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(
            isinstance(d, ast.Attribute) and d.attr == "viper" for d in node.decorator_list
        ):
            node.body = [ast.Return(ast.Constant(0)) if node.returns else ast.Pass()]
    return ast.unparse(tree)


def copy_with_empty_kernels(folder: Path, room: str = "") -> None:
    """Copy the firmware to `folder`, its kernels (of one room) emptied, assembler left out."""
    shutil.copytree(FIRMWARE, folder, ignore=shutil.ignore_patterns("*_xtensa.py"))
    for path in (folder / room).rglob("*.py"):
        source = path.read_text()
        if "micropython.viper" in source:
            path.write_text(_emptied(source))
    (folder / "wakeword" / "walk_xtensa.py").write_text(_WALKERS)
    for kernels in folder.rglob("wakeword/**/kernels.py"):
        kernels.with_name("kernels_xtensa.py").write_text("from .kernels import *\n")


def count(command: list[str], stdin: bytes = b"", **environment: str) -> int:
    """Return the host instructions of a command, from its start to its end."""
    if not has_valgrind():
        raise HostToolError("valgrind is not installed", VALGRIND_HINT)
    valgrind = [
        "valgrind",
        "--tool=cachegrind",
        "--cache-sim=no",
        "--cachegrind-out-file=/dev/null",
    ]
    done = subprocess.run(
        valgrind + command,
        env={**os.environ, "PYTHONHASHSEED": "0", **environment},
        input=stdin,
        capture_output=True,
        check=False,
    )
    said = (done.stdout + done.stderr).decode(errors="replace")
    found = re.search(r"I\s+refs:\s+([\d,]+)", said)
    if done.returncode or not found:
        last = said.strip().splitlines()[-1:]
        raise HostToolError("valgrind did not count the interpreter overhead", " ".join(last))
    return int(found[1].replace(",", ""))


def instructions_per_step(models: list[Path], steps: int = _STEPS) -> int:
    """Return the host instructions of the interpreter overhead, for each 10 ms chunk."""
    with tempfile.TemporaryDirectory(prefix="earnest-") as name:
        firmware = Path(name) / "firmware"
        copy_with_empty_kernels(firmware)
        once, twice = (
            count(
                micropython.command(_SCRIPT, "silence", n, *models),
                MICROPYPATH=f"{firmware}:.frozen",
            )
            for n in (steps, 2 * steps)
        )
    return (twice - once) // steps


def instructions_per_load(model: Path, loads: int = 8) -> int:
    """Return the host instructions of reading and checking a model file."""
    once, twice = (
        count(micropython.command(_SCRIPT, "loads", n, model), MICROPYPATH=f"{FIRMWARE}:.frozen")
        for n in (loads, 2 * loads)
    )
    return (twice - once) // loads
