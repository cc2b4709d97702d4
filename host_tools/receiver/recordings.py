"""Recordings that a device's consent allowed to keep: a WAV and a JSON file under a random id.

The JSON says under whose consent; a WAV without a sound one is removed, since nobody could tell
what was agreed.  The index is beside them and holds nothing that they do not.  Used by one thread
at a time; several processes may work on one folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.history import HISTORY_FILE, History
from host_tools.receiver.history_rows import KEPT, StreamRow
from host_tools.receiver.recording import Recording, seconds, text
from host_tools.receiver.recording_files import Deletion, RecordingFiles, wav_bytes
from host_tools.receiver.recording_index import RecordingIndex

DEFAULT_KEEP_DAYS = 30.0
INDEX_FILE = "index.sqlite"
_DAY_S = 86400.0
#: Rows of the index that one transaction writes.
_BATCH = 500
_Result = TypeVar("_Result")


class Recordings:
    """The recordings in `folder`; `keep_days` after their creation they are removed, if given,
    and in any case at the date that each one carries."""

    def __init__(self, folder: Path, keep_days: float | None = None) -> None:
        self._folder = folder
        self._files = RecordingFiles(folder)
        self._keep_s = None if keep_days is None else keep_days * _DAY_S
        #: Every stream, kept or not.
        self.history = History(folder / HISTORY_FILE)
        self._opened: RecordingIndex | None = None
        self._is_in_memory = False  # the opened one, since the disk takes none

    def add(
        self,
        audio: bytes,
        *,
        device: str,
        share_for_training: bool,
        preroll_ms: int,
        wake_word: str | None,
    ) -> Recording:
        """Keep `audio` (int16, 16 kHz, mono) whose stream allowed it; raises HostToolError."""
        now_s = time.time()
        keep_s = DEFAULT_KEEP_DAYS * _DAY_S if self._keep_s is None else self._keep_s
        samples = len(audio) // protocol.WIDTH_BYTES
        recording = Recording(
            id=secrets.token_hex(8),
            created=text(now_s),
            expires=text(now_s + keep_s),
            samples=samples,
            duration_ms=samples * 1000 // protocol.RATE_HZ,
            sha256=hashlib.sha256(audio).hexdigest(),
            preroll_ms=preroll_ms,
            share_for_training=share_for_training,
            device=device,
            wake_word=wake_word,
        )
        self._files.write(recording, audio)
        with contextlib.suppress(HostToolError):  # the files are the truth: it is read from them
            self._with_index(lambda index: self._enter(index, [recording]))
        return recording

    def all(self, beginning: str = "") -> list[Recording]:
        """Return every recording that may still be there, the oldest first."""
        if not self._folder.is_dir():
            return []
        self.reconcile()
        self.expire()
        late = {recording.id for recording in self._expired()}
        found = self._with_index(lambda index: index.all(beginning))
        return [recording for recording in found if recording.id not in late]

    def find(self, id_or_beginning: str) -> Recording:
        """Return the one recording whose id begins so; raises HostToolError."""
        found = self.all(id_or_beginning) if id_or_beginning else []
        if len(found) != 1:
            raise HostToolError(
                f"{'no' if not found else 'more than one'} recording {id_or_beginning!r}",
                "earnest recordings list shows their ids; a unique beginning is enough",
            )
        return found[0]

    def checked_wav(self, recording: Recording) -> Path:
        """Return the WAV's path, its samples checked; raises HostToolError."""
        self._files.audio(recording)
        return self._files.wav(recording.id)

    def export(self, recording: Recording, path: Path, *, may_replace: bool = False) -> None:
        """Write a copy of the WAV, for the owner alone; raises HostToolError."""
        content = wav_bytes(self._files.audio(recording))
        owner_only_files.write(path, content, may_replace=may_replace)

    def delete(self, recordings: Iterable[Recording]) -> Deletion:
        """Remove these, and go on past what cannot be removed."""
        done = Deletion()
        gone = [r.id for r in recordings if self._files.remove(r.id, done)]
        done.count = len(gone)
        done.left += self._files.settle() if gone else []
        with contextlib.suppress(HostToolError):  # read from the files the next time
            self._with_index(lambda index: index.remove(gone))
        with contextlib.suppress(HostToolError):  # noted at the next start
            self.history.deleted(gone)
        return done

    def delete_all(self) -> Deletion:
        """Remove every recording, also what is damaged or half written."""
        if not self._folder.is_dir():
            return Deletion()
        self.reconcile()
        return self._and_clean(self.delete(self._with_index(lambda index: index.all())))

    def delete_of(self, device: str) -> Deletion:
        """Remove what was kept under this device's consent, and what is nobody's."""
        self.reconcile()
        return self._and_clean(
            self.delete(self._with_index(lambda index: index.of_device(device)))
        )

    def unshare(self, device: str) -> list[str]:
        """Mark what was kept under this device's consent as not for training.

        Returns what could not be marked.
        """
        self.reconcile()
        shared = self._with_index(lambda index: index.of_device(device, shared_only=True))
        return self._rewrite(replace(r, share_for_training=False) for r in shared)

    def adopt(self, owner: str, device: str) -> list[str]:
        """Tie to a device what an earlier version tied to its certificate.

        Returns what could not be changed.
        """
        found = self._with_index(lambda index: index.of_device(owner))
        return self._rewrite(replace(recording, device=device) for recording in found)

    def devices(self) -> dict[str, tuple[int, str]]:
        """Return of each device how many recordings it has, and when the first was made."""
        return self._with_index(lambda index: index.devices())

    def expire(self) -> Deletion:
        """Remove what is past its day, or older than this receiver keeps."""
        if self._is_in_memory:  # the disk may have room by now
            self._close_index()
        return self.delete(self._expired())

    def clean(self, *, is_doubt_enough: bool = False) -> Deletion:
        """Remove WAVs without sound facts, facts without a WAV and parts; counts the WAVs.

        Facts that cannot be read may be sound: they and their WAV go only if `is_doubt_enough`.
        """
        self.reconcile()
        sound = self._with_index(lambda index: index.stamps())
        folder = self._files.scan()
        done = Deletion()
        both = itertools.chain(folder.facts, folder.wavs)
        for id in sorted({id for id in both if id not in sound}):
            if is_doubt_enough or not self._files.is_in_doubt(id):
                done.count += self._files.remove(id, done) and id in folder.wavs
            else:
                done.left.append(f"{self._files.facts(id)}: cannot be read")
        for name in folder.parts:
            self._files.remove_part(name, done)
        return done

    def settle_history(self, names: Mapping[str, str]) -> None:
        """Let the history say which recordings there are: what an earlier version kept is
        entered, what is gone is noted.  Only for the process that adds recordings; raises
        HostToolError.

        Args:
            names: The devices' names, by their ids.
        """
        known = self.history.recordings()  # before looking into the folder, which is ahead of it
        self.reconcile()
        there = self._with_index(lambda index: index.stamps())
        self.history.deleted(known - there.keys())
        if missing := there.keys() - known:
            found = [r for r in self._with_index(lambda index: index.all()) if r.id in missing]
            for start in range(0, len(found), _BATCH):
                self.history.add(_row(r, names) for r in found[start : start + _BATCH])

    def reconcile(self) -> None:
        """Make the index say what the folder holds; reads only the files that changed."""
        if self._opened is not None:
            self._with_index(self._reconcile)
        else:
            self._with_index(lambda index: None)  # opening does it

    def close(self) -> None:
        self.history.close()
        self._close_index()

    def _close_index(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None
            self._is_in_memory = False

    def _and_clean(self, done: Deletion) -> Deletion:
        cleaned = self.clean(is_doubt_enough=True)
        left = {*done.left, *cleaned.left, *self._files.settle()}
        return Deletion(done.count + cleaned.count, sorted(left))

    def _expired(self) -> list[Recording]:
        """What is to go; its file is read again, for the index alone deletes nothing."""
        if found := self._with_index(lambda index: index.expired(self._keep_s)):
            self._with_index(lambda index: self._refresh(index, [r.id for r in found]))
            found = self._with_index(lambda index: index.expired(self._keep_s))
        return found

    def _rewrite(self, recordings: Iterable[Recording]) -> list[str]:
        """Write the facts anew; returns what could not be written."""
        left = []
        for recording in recordings:
            try:
                self._files.write_facts(recording)
                self._with_index(partial(self._enter, recordings=[recording]))
            except HostToolError as error:
                left.append(error.message)
        return [*left, *self._files.settle()]

    def _reconcile(self, index: RecordingIndex) -> None:
        # Loops, not operations on whole sets: between their turns the event loop has its own.
        folder, known = self._files.scan(), index.stamps()
        whole = {id: stamp for id, stamp in folder.facts.items() if id in folder.wavs}
        changed = [id for id, stamp in whole.items() if known.get(id) != stamp]
        for start in range(0, len(changed), _BATCH):
            self._refresh(index, changed[start : start + _BATCH])
        index.remove([id for id in known if id not in whole])

    def _refresh(self, index: RecordingIndex, ids: Iterable[str]) -> None:
        """Read the facts of these anew; those that are not sound leave the index."""
        sound = self._files.read_facts(ids)
        self._enter(index, sound)
        index.remove(set(ids) - {recording.id for recording in sound})

    def _enter(self, index: RecordingIndex, recordings: Iterable[Recording]) -> None:
        stamped = ((r, self._files.stamp(r.id)) for r in recordings)
        index.put([(recording, stamp) for recording, stamp in stamped if stamp])

    def _with_index(self, use: Callable[[RecordingIndex], _Result]) -> _Result:
        """Use the index, which is opened and read from the files when it is not open.

        A full disk takes no index, and must not keep anybody from deleting: then it is in memory.
        """
        if not self._folder.is_dir():
            owner_only_files.make_folder(self._folder)
        try:
            return use(self._opened or self._open(self._folder / INDEX_FILE))
        except sqlite3.Error:
            self._close_index()
        try:
            index = self._open(None)
            self._is_in_memory = True
            return use(index)
        except sqlite3.Error as error:
            self._close_index()
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


def _row(recording: Recording, names: Mapping[str, str]) -> StreamRow:
    """Return what the history can say of a recording that it does not know."""
    return StreamRow(
        began_s=seconds(recording.created) - recording.duration_ms / 1000,
        device_id=recording.device,
        device_name=names.get(recording.device, ""),
        wake_word=recording.wake_word,
        duration_ms=recording.duration_ms,
        bytes=recording.samples * protocol.WIDTH_BYTES,
        sha256=recording.sha256,
        reason="",
        fates=(KEPT,),
        keep_recordings=True,
        share_for_training=recording.share_for_training,
        recording=recording.id,
    )
