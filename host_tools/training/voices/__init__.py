"""Voice families: who can say something, each behind `family.Family`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.training.voices import flite
from host_tools.training.voices.espeak import Espeak
from host_tools.training.voices.family import Family
from host_tools.training.voices.kokoro import Kokoro

#: Name to what makes the family, given the folder of the artefacts.
FAMILIES: Mapping[str, Callable[[Path], Family]] = {
    "kokoro": Kokoro,
    "espeak": lambda folder: Espeak(),
    flite.Flite.name: lambda folder: flite.Flite(),
}


def family(name: str, folder: Path) -> Family:
    """Return the family of this name; raises HostToolError when there is none."""
    if name not in FAMILIES:
        raise HostToolError(f"there are no voices named {name!r}", f"choose {', '.join(FAMILIES)}")
    return FAMILIES[name](folder)


def unseen() -> list[str]:
    """Return the families that are installed and that no training uses: for the report."""
    return [flite.Flite.name] if flite.is_installed() else []
