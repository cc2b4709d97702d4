"""Where the tools find their data and keep what they make, in a clone and installed from a wheel;
and where they are themselves, for the commands that they tell to type next.

A clone keeps what it makes in its own build/.  A wheel carries the boards and the facts of the
known models in data/ (see setup.py) and keeps what it makes in the user's cache folder, because
the folder that it is installed in may belong to somebody else.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

import platformdirs

from host_tools.shared_firmware import ROOT

IS_CLONE = (ROOT / "pyproject.toml").is_file() and (ROOT / "boards").is_dir()
_DATA = ROOT if IS_CLONE else Path(__file__).parent / "data"

#: A folder for each board: board.json, board.py, board.md.
BOARDS = _DATA / "boards"
#: The known models: origin, licence and SHA-256.
PROVENANCE = _DATA / "models" / "provenance.json"
#: What can be made again: converted models, downloaded images, measurements, the demo.
MADE = ROOT / "build" if IS_CLONE else platformdirs.user_cache_path("earnest", appauthor=False)
#: The owner's trained wake words, a folder for each.  They cost an hour of computing, so `make
#: clean` does not reach them.
WORDS = platformdirs.user_data_path("earnest", appauthor=False) / "words"


def earnest() -> str:
    """Return what starts `earnest` in this shell: its name where the PATH finds it, else the path
    of this installation's script, else this Python's -m.  Ready to be typed before a command."""
    script = Path(sysconfig.get_path("scripts")) / (
        "earnest.exe" if os.name == "nt" else "earnest"
    )
    on_path = shutil.which("earnest")
    if not script.is_file():
        return "earnest" if on_path else _typed(sys.executable) + " -m host_tools"
    if on_path and Path(on_path).resolve() == script.resolve():
        return "earnest"
    here = Path.cwd()
    if not script.is_relative_to(here):
        return _typed(str(script))
    return _typed(
        str(script.relative_to(here)) if script.parent != here else f".{os.sep}{script.name}"
    )


def _typed(path: str) -> str:
    """A path as the shell takes it."""
    if os.name == "nt":
        return f'"{path}"' if " " in path else path
    return shlex.quote(path)
