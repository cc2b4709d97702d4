"""Recordings that a device's consent allowed to keep: sealed audio and a JSON file under a random
id, and a key in the file of the keys.

The three are the truth: a recording is there when it has all of them.  Its JSON says under whose
consent it was kept; audio without a sound one is removed, since nobody could tell what was
agreed.  Audio without a key was deleted, or never confirmed, and is removed; a key without audio
is overwritten.  The index is beside them, holds nothing that they do not, and can be made again.
Used by one thread at a time; several processes may work on one folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import re
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files, sealing
from host_tools.receiver.history import HISTORY_FILE, History
from host_tools.receiver.history_rows import row_of_recording
from host_tools.receiver.labels import RecordingLabels
from host_tools.receiver.receiver_log import ReceiverLog
from host_tools.receiver.recording import Recording, text
from host_tools.receiver.recording_catalogue import INDEX_FILE, Catalogue
from host_tools.receiver.recording_files import Content, Deletion, RecordingFiles
from host_tools.receiver.stopping import Stopping
from host_tools.receiver.traffic import TRAFFIC_FILE, Traffic
from host_tools.receiver.waiting_archive import WaitingArchive

__all__ = ["DEFAULT_KEEP_DAYS", "INDEX_FILE", "Recordings"]

DEFAULT_KEEP_DAYS = 30.0
_DAY_S = 86400.0
#: Rows of the history that one transaction writes.
_BATCH = 500
#: Keys that one transaction overwrites: a fraction of a second.
_KEYS_BATCH = 1000
#: More recordings than this are looked for together, and not all deleted when the receiver ends.
_FEW = 200
_ID = re.compile(r"[0-9a-f]{16}")


class Recordings:
    """The recordings in `folder`; `keep_days` after their creation they are removed, if given,
    and in any case at the date that each one carries."""

    def __init__(self, folder: Path, keep_days: float | None = None) -> None:
        self._folder = folder
        self._files = RecordingFiles(folder)
        self._keep_s = None if keep_days is None else keep_days * _DAY_S
        #: Who looked at recordings, and what was deleted.
        self.log = ReceiverLog(folder)
        #: Every stream, kept or not.
        self.history = History(folder / HISTORY_FILE)
        #: Bytes beside the audio.
        self.traffic = Traffic(folder / TRAFFIC_FILE)
        #: What their owner says of them.
        self.labels = RecordingLabels(self._files.keys, self.history, self.log)
        #: An archive with some of them, which has not left yet.
        self.waiting = WaitingArchive(folder)
        #: Set by whoever ends the receiver: what takes long stops between two steps.
        self.stopping = Stopping()
        self._catalogue = Catalogue(folder, self._files, self.stopping)
        #: Files that could not be removed, without a key.
        self._stuck: set[str] = set()

    @property
    def folder(self) -> Path:
        """Return the receiver's folder."""
        return self._folder

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
        self.log.prepare()  # so that even a full disk can record its deletion
        self._files.write(recording, audio)
        with contextlib.suppress(HostToolError):  # the files are the truth: it is read from them
            self._catalogue.enter([recording])
        return recording

    def all(self, beginning: str = "") -> list[Recording]:
        """Return every recording that may still be there, the oldest first."""
        if not self._folder.is_dir():
            return []
        self.reconcile()
        self.expire()
        late = {recording.id for recording in self._expired()}
        found = self._catalogue.use(lambda index: index.all(beginning))
        return [recording for recording in found if recording.id not in late]

    def find(self, id_or_beginning: str) -> Recording:
        """Return the one recording whose id begins so; raises HostToolError."""
        if _ID.fullmatch(id_or_beginning):
            found = self._of_id(id_or_beginning)
        else:
            found = self.all(id_or_beginning) if id_or_beginning else []
        if len(found) != 1:
            raise HostToolError(
                f"{'no' if not found else 'more than one'} recording {id_or_beginning!r}",
                "earnest recordings list shows their ids; a unique beginning is enough",
            )
        return found[0]

    def these(self, ids: Collection[str]) -> list[Recording]:
        """Return those of these recordings that are there."""
        if len(ids) > _FEW:
            return [recording for recording in self.all() if recording.id in ids]
        return [recording for id in ids for recording in self._of_id(id)]

    def _of_id(self, id: str) -> list[Recording]:
        """Return the recording of a whole id, looked for by itself, if it is there."""
        if not self._folder.is_dir() or not _ID.fullmatch(id):
            return []
        self._catalogue.reconcile_one(id)
        late = self._catalogue.use(lambda index: index.expired(self._keep_s, id))
        found = self._catalogue.use(lambda index: index.get(id))
        return [found] if found is not None and not late else []

    def wav(
        self, recording: Recording, *, what: str | None = "hear", source: str = "command"
    ) -> bytes:
        """Return the recording as a WAV file, its samples checked; the look is recorded first.

        Args:
            recording: One that is there.
            what: One of receiver_log.LOOKS; None for a part of a look that is recorded already.
            source: One of receiver_log.SOURCES.

        Raises:
            HostToolError: it is damaged, or the look could not be recorded.
        """
        if what is not None:
            self.log.add("look", what=what, source=source, recording=recording.id)
        return self._files.wav(recording)

    def keep_transcript(self, id: str, words: str) -> None:
        """Keep what was said in a recording, sealed under its key; raises HostToolError.

        One that is not there any more keeps none.
        """
        if (key := self._files.keys.get(id)) is not None:
            store = self._files.keys.store()
            sealed = sealing.seal(words.encode(), key, store, id, sealing.TRANSCRIPT)
            self.history.keep_transcript(id, sealed)

    def transcript(self, id: str, *, source: str = "command") -> str | None:
        """Return what was said in a recording that is there, if it was kept; the look is recorded
        first.  Raises HostToolError."""
        sealed, key = self.history.transcript(id), self._files.keys.get(id)
        if sealed is None or key is None:
            return None
        self.log.add("look", what="read", source=source, recording=id)
        words = sealing.unseal(sealed, key, id, sealing.TRANSCRIPT)
        return None if words is None else words.decode()

    def export(self, recording: Recording, path: Path, *, may_replace: bool = False) -> None:
        """Write the recording as a WAV file, for the owner alone; raises HostToolError."""
        content = self.wav(recording, what="export")
        owner_only_files.write(path, content, may_replace=may_replace)

    def delete(
        self,
        recordings: Iterable[Recording],
        *,
        why: str = "owner",
        source: str = "command",
        device: str | None = None,
    ) -> Deletion:
        """Record that they go, overwrite their keys, remove their files; goes on past what cannot
        be removed.

        Args:
            recordings: Which.
            why: One of receiver_log.WHYS.
            source: One of receiver_log.SOURCES.
            device: Whose recordings they are, if they are one device's.

        Returns:
            What is done.  What cannot be recorded is not done.  When the receiver ends meanwhile,
            recordings whose keys are overwritten are gone as well, and their files go at its next
            start; of the others it is said that they are left.
        """
        done = Deletion()
        ids = [recording.id for recording in recordings]
        if not ids:
            return done
        try:
            self.log.deleting(why, source, ids, device)
        except HostToolError as error:
            return Deletion(left=[f"{len(ids)} recordings: {error.message}"])
        done.left += self.waiting.remove_with(ids)
        silent, problem = self._silence(ids)
        gone, later = self._remove(silent if problem is None else ids, problem is None, done)
        done.count = len(gone)
        self._stuck = self._stuck.union(silent if problem is None else ids).difference(gone)
        if problem is not None and (again := self._destroy_keys(ids)):  # there may be room by now
            done.left.append(again)
        if problem is None and len(silent) < len(ids):
            count = len(ids) - len(silent)
            done.left.append(f"{count} recordings: the receiver ends; delete them again")
        if later:
            done.left.append(
                f"files of {later} recordings: nobody can hear them any more; they go at the "
                "receiver's next start"
            )
        done.left += self._files.settle() if gone else []
        done.left += self.waiting.remove_with(ids)  # one that was made meanwhile
        with contextlib.suppress(HostToolError):  # that they go is recorded
            self.log.add("deleted", recordings=done.count, left=len(done.left))
        if later:  # index and history are made to agree at the next start
            return done
        dead = list({*silent, *gone})
        with contextlib.suppress(HostToolError):  # read from the files the next time
            self._catalogue.use(lambda index: index.remove(dead))
        with contextlib.suppress(HostToolError):  # noted at the next start
            self.history.deleted(dead)
        return done

    def _silence(self, ids: list[str]) -> tuple[list[str], str | None]:
        """Overwrite the keys of these, some at a time.

        Returns those whose keys are overwritten, and why the rest are not; without a reason the
        receiver ends, if there is a rest.
        """
        for start in range(0, len(ids), _KEYS_BATCH):
            if start and self.stopping.has_begun:
                return ids[:start], None
            if problem := self._destroy_keys(ids[start : start + _KEYS_BATCH]):
                return ids[:start], problem
        return ids, None

    def _remove(
        self, ids: Iterable[str], are_silent: bool, done: Deletion
    ) -> tuple[list[str], int]:
        """Remove the files of these, and return which are gone; when the receiver ends, what
        nobody can hear any more may wait: returns how many do."""
        gone: list[str] = []
        later = 0
        for id in ids:
            # One of an earlier version has no key: nothing but its removal silences it.
            may_wait = are_silent and self.stopping.has_begun and len(gone) >= _FEW
            if may_wait and not self._files.plain(id).exists():
                later += 1
            elif self._files.remove(id, done):
                gone.append(id)
        return gone, later

    def delete_all(self, *, source: str = "command") -> Deletion:
        """Remove every recording, also what is damaged or half written."""
        if not self._folder.is_dir():
            return Deletion()
        self.reconcile()
        done = self._and_clean(
            self.delete(self._catalogue.use(lambda index: index.all()), source=source)
        )
        if problem := self._destroy_keys([]):
            # Damaged: with no recording left, nothing is lost with it.
            done.left = [left for left in done.left if left != problem]
            try:
                if not self._files.scan().sealed:
                    self._files.keys.destroy_file()
            except HostToolError as error:
                done.left.append(error.message)
        return done

    def take_in(self, limit: int = 50) -> tuple[int, list[str]]:
        """Seal some recordings of an earlier version, which were plain WAVs.

        Returns how many, and what is left as it was; 0 when there are none left to be sealed.
        """
        known = self._catalogue.use(lambda index: index.stamps())
        plain = sorted(id for id in self._files.scan().wavs if id in known)[:limit]
        if not plain:
            return 0, []
        left = self._files.take_in(plain)
        return len(plain) - len(left), left

    def delete_of(
        self, device: str, *, why: str = "withdrawn", source: str = "device"
    ) -> Deletion:
        """Remove what was kept under this device's consent, and what is nobody's."""
        self.reconcile()
        found = self._catalogue.use(lambda index: index.of_device(device))
        return self._and_clean(self.delete(found, why=why, source=source, device=device))

    def unshare(self, device: str) -> list[str]:
        """Mark what was kept under this device's consent as not for training.

        Returns what could not be marked.
        """
        self.reconcile()
        shared = self._catalogue.use(lambda index: index.of_device(device, shared_only=True))
        ids = [recording.id for recording in shared]
        left = self.waiting.remove_with(ids)
        left += self._rewrite(replace(r, share_for_training=False) for r in shared)
        return left + self.waiting.remove_with(ids)  # one that was made meanwhile

    def adopt(self, owner: str, device: str) -> list[str]:
        """Tie to a device what an earlier version tied to its certificate.

        Returns what could not be changed.
        """
        found = self._catalogue.use(lambda index: index.of_device(owner))
        return self._rewrite(replace(recording, device=device) for recording in found)

    def devices(self) -> dict[str, tuple[int, str]]:
        """Return of each device how many recordings it has, and when the first was made."""
        return self._catalogue.use(lambda index: index.devices())

    def expire(self) -> Deletion:
        """Remove what is past its day, or older than this receiver keeps."""
        self._catalogue.leave_memory()
        done = self.delete(self._expired(), why="expired", source="receiver")
        for id in sorted(self._stuck):
            if self._files.remove(id, done):
                self._stuck.discard(id)
        done.left = list(dict.fromkeys(done.left))
        return done

    def clean(self, *, is_doubt_enough: bool = False) -> Deletion:
        """Remove audio without sound facts or without a key, facts without audio, keys without
        either, and parts; counts the audio.

        Facts that cannot be read may be sound: they and their audio go only if `is_doubt_enough`.
        """
        done = Deletion()
        self.reconcile()  # the long part, while others may write
        try:
            # While it looks nobody adds: what is half there was left by a crash.
            with self._files.keys.writing() as keys:
                folder, unsound = self._unsound(is_doubt_enough, done)
                unsound = self._recorded(unsound, folder, done)
                done.left += self.waiting.remove_with(unsound)
                keys.destroy(unsound)
                keys.destroy(keys.ids() - folder.sealed - folder.wavs)
        except HostToolError as error:
            done = Deletion(left=[error.message])
            folder, unsound = self._unsound(is_doubt_enough, done)
            unsound = self._recorded(unsound, folder, done)
        for number, id in enumerate(unsound):
            if self.stopping.is_due(number):
                done.left.append("what nobody can say the consent of: it goes at the next start")
                break
            is_audio = id in folder.sealed or id in folder.wavs
            done.count += self._files.remove(id, done) and is_audio
        for name in folder.parts:
            self._files.remove_part(name, done)
        return done

    def _unsound(self, is_doubt_enough: bool, done: Deletion) -> tuple[Content, list[str]]:
        """Return what the folder holds, and what of it is to go; what stays in doubt is noted."""
        self.reconcile()
        sound = self._catalogue.use(lambda index: index.stamps())
        folder = self._files.scan(self.stopping)
        unsound = []
        everything = itertools.chain(folder.facts, folder.sealed, folder.wavs)
        doubtful = sorted({id for id in everything if id not in sound})
        for number, id in enumerate(doubtful):
            self.stopping.check(number)
            if is_doubt_enough or not self._files.is_in_doubt(id):
                unsound.append(id)
            else:
                done.left.append(f"{self._files.facts(id)}: cannot be read")
        return folder, unsound

    def _recorded(self, unsound: list[str], folder: Content, done: Deletion) -> list[str]:
        """Record that unsound audio goes; returns what may go, and notes what may not."""
        audio = folder.audio.intersection(unsound)
        try:
            if audio:
                self.log.deleting("unsound", "receiver", sorted(audio))
        except HostToolError as error:
            done.left.append(f"{len(audio)} recordings: {error.message}")
            return [id for id in unsound if id not in audio]
        return unsound

    def _destroy_keys(self, ids: Iterable[str]) -> str | None:
        """Overwrite the keys of these; returns why it could not be done."""
        try:
            with self._files.keys.writing() as keys:
                keys.destroy(ids)
        except HostToolError as error:
            return error.message
        return None

    def settle_history(self, names: Mapping[str, str]) -> None:
        """Let the history say which recordings there are: what an earlier version kept is
        entered, what is gone is noted.  Only for the process that adds recordings; raises
        HostToolError.

        Args:
            names: The devices' names, by their ids.
        """
        known = self.history.recordings()  # before looking into the folder, which is ahead of it
        self.reconcile()
        there = self._catalogue.use(lambda index: index.stamps())
        self.history.deleted(known - there.keys())
        if missing := there.keys() - known:
            found = [r for r in self._catalogue.use(lambda index: index.all()) if r.id in missing]
            for start in range(0, len(found), _BATCH):
                self.history.add(row_of_recording(r, names) for r in found[start : start + _BATCH])

    def reconcile(self) -> None:
        """Make the index say what the folder holds; reads only the files that changed."""
        self._catalogue.reconcile()

    def close(self) -> None:
        self.history.close()
        self.traffic.close()
        self._files.keys.close()
        self._catalogue.close()

    def _and_clean(self, done: Deletion) -> Deletion:
        cleaned = self.clean(is_doubt_enough=True)
        left = {*done.left, *cleaned.left, *self._files.settle()}
        return Deletion(done.count + cleaned.count, sorted(left))

    def _expired(self) -> list[Recording]:
        """What is to go; its file is read again, for the index alone deletes nothing."""
        if found := self._catalogue.use(lambda index: index.expired(self._keep_s)):
            self._catalogue.refresh([r.id for r in found])
            found = self._catalogue.use(lambda index: index.expired(self._keep_s))
        return found

    def _rewrite(self, recordings: Iterable[Recording]) -> list[str]:
        """Write the facts anew; returns what could not be written."""
        left = []
        for number, recording in enumerate(recordings):
            if number and self.stopping.has_begun:
                left.append("the receiver ends; not all of them are changed")
                break
            try:
                self._files.write_facts(recording)
                self._catalogue.enter([recording])
            except HostToolError as error:
                left.append(error.message)
        return [*left, *self._files.settle()]
