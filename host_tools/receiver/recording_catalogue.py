"""What recordings there are: the files and the keys say it, and the index finds it.

The index is read from the files where it is missing, and made to agree with them before it is
asked what to delete.  Used by one thread.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.recording import Recording
from host_tools.receiver.recording_files import Content, RecordingFiles
from host_tools.receiver.recording_index import RecordingIndex
from host_tools.receiver.stopping import Stopping

INDEX_FILE = "index.sqlite"
#: Rows of the index that one transaction writes.
_BATCH = 500
_Result = TypeVar("_Result")


class Catalogue:
    """The index of `folder`, whose files are `files`."""

    def __init__(self, folder: Path, files: RecordingFiles, stopping: Stopping) -> None:
        self._folder = folder
        self._files = files
        self._stopping = stopping
        self._opened: RecordingIndex | None = None
        self._is_in_memory = False  # the opened one, since the disk takes none

    def reconcile(self) -> None:
        """Make the index say what the folder holds; reads only the files that changed."""
        if self._opened is not None:
            self.use(self._reconcile)
        else:
            self.use(lambda index: None)  # opening does it

    def reconcile_one(self, id: str) -> None:
        """Make the index say what the folder holds of this recording."""
        self.use(lambda index: self._reconcile_one(index, id))

    def enter(self, recordings: Iterable[Recording]) -> None:
        """Enter recordings that are there; raises HostToolError."""
        self.use(lambda index: self._enter(index, recordings))

    def refresh(self, ids: Iterable[str]) -> None:
        """Read the facts of these anew; raises HostToolError."""
        self.use(lambda index: self._refresh(index, ids))

    def leave_memory(self) -> None:
        """Open the index on the disk the next time: it may have room by now."""
        if self._is_in_memory:
            self.close()

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None
            self._is_in_memory = False

    def _reconcile(self, index: RecordingIndex) -> None:
        # Loops, not operations on whole sets: between their turns the event loop has its own.
        folder, known = self._files.scan(self._stopping), index.stamps()
        there = self._with_key(folder)
        whole = {
            id: stamp for id, stamp in folder.facts.items() if id in folder.wavs or id in there
        }
        changed = [id for id, stamp in whole.items() if known.get(id) != stamp]
        for start in range(0, len(changed), _BATCH):
            self._stopping.check(start)
            self._refresh(index, changed[start : start + _BATCH])
        index.remove([id for id in known if id not in whole])

    def _reconcile_one(self, index: RecordingIndex, id: str) -> None:
        if self._files.stamp(id) and self._has_audio(id):
            self._refresh(index, [id])
        else:
            index.remove([id])

    def _has_audio(self, id: str) -> bool:
        """Return whether a recording has audio that was not deleted, as far as its key tells."""
        if self._files.plain(id).exists():
            return True
        if not self._files.sealed(id).exists():
            return False
        try:
            return self._files.keys.get(id) is not None or bool(self._files.foreign([id]))
        except HostToolError:
            return True

    def _with_key(self, folder: Content) -> set[str]:
        """Return the sealed audio that was not deleted, as far as the keys can tell."""
        try:
            keyed = self._files.keys.ids()
            return (folder.sealed & keyed) | self._files.foreign(folder.sealed - keyed)
        except HostToolError:
            return folder.sealed

    def _refresh(self, index: RecordingIndex, ids: Iterable[str]) -> None:
        """Read the facts of these anew; those that are not sound leave the index."""
        sound = self._files.read_facts(ids)
        self._enter(index, sound)
        index.remove(set(ids) - {recording.id for recording in sound})

    def _enter(self, index: RecordingIndex, recordings: Iterable[Recording]) -> None:
        stamped = ((r, self._files.stamp(r.id)) for r in recordings)
        index.put([(recording, stamp) for recording, stamp in stamped if stamp])

    def use(self, use: Callable[[RecordingIndex], _Result]) -> _Result:
        """Use the index, which is opened and read from the files when it is not open.

        A full disk takes no index, and must not keep anybody from deleting: then it is in memory.
        """
        if not self._folder.is_dir():
            owner_only_files.make_folder(self._folder)
        try:
            return use(self._opened or self._open(self._folder / INDEX_FILE))
        except sqlite3.Error:
            self.close()
        try:
            index = self._open(None)
            self._is_in_memory = True
            return use(index)
        except sqlite3.Error as error:
            self.close()
            raise HostToolError(
                f"the index of the recordings failed: {error}",
                f"check the free space; {self._folder / INDEX_FILE} may be removed, "
                "it is made again",
            ) from error

    def _open(self, path: Path | None) -> RecordingIndex:
        index = RecordingIndex(path)
        try:
            self._reconcile(index)
        except BaseException:
            index.close()
            raise
        self._opened = index
        return index
