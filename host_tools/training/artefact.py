"""An artefact: one pinned file of a package registry, and what is packed in it.

It stays packed, and its hash is looked at again by whoever reads it.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from host_tools.errors import HostToolError

PYPI, NPM = "pypi", "npm"


@dataclass(frozen=True)
class Artefact:
    """One file of a registry: the pure wheel of PyPI, or the tarball of npm."""

    package: str
    version: str
    registry: str
    size: int
    sha256: str

    @property
    def file(self) -> str:
        """The name of its file."""
        if self.registry == NPM:
            return f"{self.package.rpartition('/')[2]}-{self.version}.tgz"
        return f"{re.sub(r'[-_.]+', '_', self.package)}-{self.version}-py3-none-any.whl"

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


def missing(folder: Path, artefacts: Iterable[Artefact]) -> list[Artefact]:
    """Return those that are not in the folder with their size; `read` checks the hash."""
    return [each for each in artefacts if not _is_there(folder / each.file, each)]


def read(folder: Path, artefact: Artefact, member: str) -> bytes:
    """Return one file out of an artefact; raises HostToolError when it is missing or damaged."""
    files = read_all(folder, artefact, member, "")
    if member not in files:
        raise HostToolError(f"{artefact} has no file {member}")
    return files[member]


def read_all(folder: Path, artefact: Artefact, start: str, end: str) -> dict[str, bytes]:
    """Return the files of an artefact whose names start and end so, by name."""
    path = folder / artefact.file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise HostToolError(
            f"{artefact} is not at {path}: {error.strerror}", "run `earnest train` again"
        ) from error
    if hashlib.sha256(content).hexdigest() != artefact.sha256:
        raise HostToolError(f"{path} is damaged: its SHA-256 is not the pinned one", "remove it")
    if artefact.registry == NPM:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            members = [each for each in tar if each.isfile()]
            return {
                each.name: file.read()
                for each in members
                if _fits(each.name, start, end) and (file := tar.extractfile(each))
            }
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist() if _fits(name, start, end)}


def _fits(name: str, start: str, end: str) -> bool:
    return name.startswith(start) and name.endswith(end)


def _is_there(path: Path, artefact: Artefact) -> bool:
    return path.is_file() and path.stat().st_size == artefact.size
