"""The archive of a donation that still lies in the receiver's folder.

It holds plain audio, since it is made to be given away.  Until its owner takes it away, a
withdrawal or a deletion of one recording in it removes all of it; what is left can be made anew.
`contents.json` says which recordings it holds: on disk before the archive, and removed after it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.recording_keys import overwrite

FOLDER, ARCHIVE_NAME, CONTENTS_NAME = "donation", "donation.tar", "contents.json"
VERSION = 1


@dataclass(frozen=True)
class Waiting:
    """What the archive holds."""

    #: The recordings' ids here; in the archive they have others.
    ids: tuple[str, ...]
    #: Of the archive.
    sha256: str
    bytes: int
    #: Names the set that its owner saw before it was made.
    of_set: str
    #: The day (UTC) on which it was downloaded last.
    left: str | None = None


_TYPES: dict[str, Any] = {
    "ids": list,
    "sha256": str,
    "bytes": int,
    "of_set": str,
    "left": str | None,
}


class WaitingArchive:
    """The archive in the folder `data`/donation; there is one at most."""

    def __init__(self, data: Path) -> None:
        self.folder = data / FOLDER
        self.path = self.folder / ARCHIVE_NAME
        self._contents = self.folder / CONTENTS_NAME

    def find(self) -> Waiting | None:
        """Return what the archive holds, if there is a whole one; raises HostToolError."""
        if not self._contents.exists() or not self.path.exists():
            return None
        try:
            fields = json.loads(owner_only_files.read(self._contents))
            if fields.pop("version") != VERSION or set(fields) != set(_TYPES):
                return None
            if not all(isinstance(fields[name], kind) for name, kind in _TYPES.items()):
                return None
            return Waiting(**{**fields, "ids": tuple(map(str, fields["ids"]))})
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def write(self, content: bytes, ids: Iterable[str], of_set: str) -> Waiting:
        """Put this archive in place of one that may be there; raises HostToolError."""
        if left := self.remove():
            raise HostToolError(left[0], "remove it by hand")
        owner_only_files.make_folder(self.folder)
        digest = hashlib.sha256(content).hexdigest()
        waiting = Waiting(tuple(sorted(ids)), digest, len(content), of_set)
        self._note(waiting)
        owner_only_files.write(self.path, content)
        return waiting

    def note_left(self, waiting: Waiting, day: str) -> None:
        """Note that a copy was taken away; raises HostToolError."""
        self._note(replace(waiting, left=day))

    def content(self, waiting: Waiting) -> bytes:
        """Return the archive, checked; raises HostToolError."""
        content = owner_only_files.read(self.path)
        if hashlib.sha256(content).hexdigest() != waiting.sha256:
            raise HostToolError(f"{self.path} was changed", "make it again")
        return content

    def remove_with(self, ids: Iterable[str]) -> list[str]:
        """Remove the archive if one of these recordings is in it, or nobody can say what is.

        Returns what could not be removed: a deletion of these is not done while it is there.
        """
        if not self.folder.exists():
            return []
        try:
            waiting = self.find()
        except HostToolError:
            waiting = None
        if waiting is not None and not set(ids) & set(waiting.ids):
            return []
        return self.remove()

    def remove(self) -> list[str]:
        """Overwrite and remove the archive, also a half-written one; returns what is left."""
        if not self.folder.exists():
            return []
        left = []
        parts = self.folder.glob(f".{ARCHIVE_NAME}.*.part")
        notes = self.folder.glob(f".{CONTENTS_NAME}.*.part")
        for path in (*parts, self.path, *notes, self._contents):
            try:
                if path.is_symlink():
                    path.unlink()
                elif path.exists():
                    overwrite(path)
                    path.unlink()
            except OSError as error:
                left.append(f"{path}: {error.strerror}")
                if path == self.path:
                    break  # what says whose it is stays with it
        with contextlib.suppress(OSError):
            atomic_file.sync_folder(self.folder)
            os.rmdir(self.folder)
        return left

    def _note(self, waiting: Waiting) -> None:
        content = json.dumps({"version": VERSION, **asdict(waiting)}, indent=1).encode()
        owner_only_files.write(self._contents, content)
