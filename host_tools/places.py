"""Where the tools find their data and keep what they make, in a clone and installed from a wheel.

A clone keeps what it makes in its own build/.  A wheel carries the boards and the facts of the
known models in data/ (see setup.py) and keeps what it makes in the user's cache folder, because
the folder that it is installed in may belong to somebody else.
"""

from __future__ import annotations

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
