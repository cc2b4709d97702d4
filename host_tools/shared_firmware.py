"""Where the firmware lies, and which of its modules the host shares instead of writing them again.

`firmware/` is the tree that lands on a board.  Six of its modules are pure Python that CPython
imports as well: firmware.wakeword.model_format, firmware.satellite.protocol, .config and
.audit_record, firmware.diagnostics.frame and .known_answers.  Everything else of the firmware runs
in MicroPython only (see micropython.py).
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"
#: Of the engine as a library, below firmware/: a satellite has its own way to the engine.
LIBRARY_ONLY = ("wakeword/feed.py",)

#: The modules that host tools may import; tests/project/test_imports.py holds the list.
SHARED = (
    "firmware.wakeword.model_format",
    "firmware.satellite.protocol",
    "firmware.satellite.config",
    "firmware.satellite.audit_record",
    "firmware.diagnostics.frame",
    "firmware.diagnostics.known_answers",
)
