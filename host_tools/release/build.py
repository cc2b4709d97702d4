"""Builds the release folder: engine, models, licence, provenance, and the SHA-256 of every file.

The same sources and packages make the same bytes: nothing in it knows the time, the user or the
folder.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.models.catalog import find_model
from host_tools.models.pins import KnownModel, read_known_models
from host_tools.places import IS_CLONE, MADE, PROVENANCE
from host_tools.release.packages import KINDS, engine_package, lay, package
from host_tools.shared_firmware import ROOT

RELEASE = MADE / "release"
SUMS = "SHA256SUMS"
LICENCE = ROOT / "LICENSE"


def build(folder: Path = RELEASE) -> list[str]:
    """Build the release into a folder, in place of what is there; return the lines of SHA256SUMS.

    Raises HostToolError when a model does not convert to the file that was proved, for a folder
    with anything but a release in it, and outside of a clone.
    """
    if not IS_CLONE:
        raise HostToolError("a release is built in a clone of the project", "make release")
    if folder.exists():
        if any(folder.iterdir()) and not (folder / SUMS).is_file():
            raise HostToolError(f"{folder} has other files", "name a new folder")
        shutil.rmtree(folder)
    for kind in KINDS:
        lay(folder / "wakeword" / kind, engine_package(kind))
    for known in read_known_models():
        name = known["name"]
        lay(folder / "models" / name, package({f"{name}.ewm": _proved(known)}))
    # The models' licence and the project's are the same, Apache-2.0.
    beside = {"LICENSE": LICENCE.read_bytes()}
    lay(folder, beside)
    lay(folder / "models", {**beside, PROVENANCE.name: PROVENANCE.read_bytes()})
    lines = sums(folder)
    (folder / SUMS).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return lines


def sums(folder: Path) -> list[str]:
    """Return a line for each file below a folder, as `sha256sum -c` reads it, sorted by name."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SUMS)
    return [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}"
        for path in files
    ]


def _proved(known: KnownModel) -> bytes:
    """Return the model file, which must be the one that was proved when its pin was written."""
    data = find_model(known["name"]).path.read_bytes()
    if hashlib.sha256(data).hexdigest() != known["converted_sha256"]:
        raise HostToolError(
            f"{known['name']} converts to another file than the one that was proved",
            "prove it, which also pins it: .venv/bin/python -m host_tools.models.prove_known",
        )
    return data
