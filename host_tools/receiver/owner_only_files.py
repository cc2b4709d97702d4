"""Files that only their owner may read: keys, device lists and recordings of the receiver."""

from __future__ import annotations

import os
from pathlib import Path

from host_tools import atomic_file
from host_tools.errors import HostToolError

_OWNER_ONLY_FOLDER = 0o700


def make_folder(folder: Path) -> None:
    """Make `folder` (and its parents) for its owner alone; one that exists stays as it is."""
    try:
        for missing in reversed([f for f in (folder, *folder.parents) if not f.exists()]):
            missing.mkdir(mode=_OWNER_ONLY_FOLDER, exist_ok=True)
        folder.mkdir(exist_ok=True)  # complains when it is a file
    except OSError as error:
        raise HostToolError(
            f"cannot make the folder {folder}: {error.strerror}", "name a folder you may write to"
        ) from error


def write(path: Path, content: bytes, *, may_replace: bool = True) -> None:
    """Write the whole file or nothing, mode 0600 from its first byte on; raises HostToolError."""
    atomic_file.write(path, content, mode=atomic_file.OWNER_ONLY_MODE, may_replace=may_replace)


def append(path: Path, content: bytes) -> None:
    """Add to the file's end, which a first call makes with mode 0600; raises HostToolError."""
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags, atomic_file.OWNER_ONLY_MODE), "ab") as file:
            file.write(content)
    except OSError as error:
        raise HostToolError(
            f"cannot write {path}: {error.strerror}",
            "check its folder's permissions and the free space",
        ) from error


def read(path: Path) -> bytes:
    """Return the file's content; raises HostToolError."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise HostToolError(
            f"cannot read {path}: {error.strerror}", "name the data folder with --data"
        ) from error
