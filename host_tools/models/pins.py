"""The converted files of the known models, by SHA-256: for computers that cannot prove one.

TFLite Micro, which `earnest convert` proves a conversion against, exists for Linux x86-64 only.  A
known model converts to one known file everywhere, so models/provenance.json pins that file's
SHA-256 (prove_known.py writes it), and where no proof can be made only a pinned file is used.
"""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import TypedDict, cast

from host_tools.errors import REINSTALL, HostToolError
from host_tools.models.build import ConvertedModel
from host_tools.places import PROVENANCE

#: What a proof needs: the reference, and a MicroPython for the firmware.
PROOF_NEEDS = ("tflite_micro", "micropython_run")


class KnownModel(TypedDict):
    """An entry of provenance.json."""

    name: str
    wake_word: str
    author: str
    licence: str
    origin: str
    sha256: str  # of the .tflite
    bytes: int
    converted_sha256: str  # of the model file that it and its own manifest make


def read_known_models(path: Path = PROVENANCE) -> list[KnownModel]:
    """Return the entries of provenance.json; raises HostToolError."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not all(set(entry) == set(KnownModel.__annotations__) for entry in entries):
            raise ValueError("not the fields of a model")
    except (OSError, ValueError, TypeError) as error:
        raise HostToolError(f"{path}: {error}", REINSTALL) from error
    return cast("list[KnownModel]", entries)


def can_prove() -> bool:
    """Whether this installation has what a proof needs."""
    return all(find_spec(module) is not None for module in PROOF_NEEDS)


def is_pinned(model: ConvertedModel) -> bool:
    """Whether this very file was proved when the pins were written."""
    digest = hashlib.sha256(model.data).hexdigest()
    return digest in {entry["converted_sha256"] for entry in read_known_models()}


def require_pinned(model: ConvertedModel) -> None:
    """Raise HostToolError for a file that is not pinned, where no proof can be made."""
    if not is_pinned(model):
        names = ", ".join(entry["name"] for entry in read_known_models())
        raise HostToolError(
            f"the model for {model.manifest.wake_word!r} cannot be proved exact here, and it is "
            f"not one of the converted models that are known: {names}",
            "TFLite Micro exists for Linux x86-64 only: run `earnest convert` there, with "
            "the extra [models], and use the .ewm file that it writes",
        )
