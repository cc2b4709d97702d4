"""The few pure firmware modules that host tools share instead of writing them again, and where the
firmware lies.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
FIRMWARE = ROOT / "firmware"


def _load(name: str) -> ModuleType:
    path = FIRMWARE / (name.replace(".", "/") + ".py")
    spec = importlib.util.spec_from_file_location("firmware_" + name.replace(".", "_"), path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


model_format = _load("wakeword.model_format")
protocol = _load("satellite.protocol")
audit_record = _load("satellite.audit_record")
config = _load("satellite.config")
frame = _load("diagnostics.frame")
known_answers = _load("diagnostics.known_answers")
