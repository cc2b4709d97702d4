"""What ever came and what was kept, as the page asks for it: all of it in the recordings' thread.

The event loop waits for no disk.  What is deleted stays deleted though the browser leaves.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from host_tools.audit.cross_check import CrossCheck, cross_check
from host_tools.audit.device_log import read_contents
from host_tools.audit.results import Results
from host_tools.companion.checks import Standing, standing
from host_tools.errors import HostToolError
from host_tools.receiver.history_rows import DayBytes, Filter, StreamRow, day_bounds_s
from host_tools.receiver.labels import NONE, Labels
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording_files import Deletion
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.traffic import DayTraffic

#: Rows of one page of the timeline.
PAGE_ROWS = 50
#: From the first look at a recording, looks of the same session are the same hearing.
HEARING_S = 600.0
#: Hearings that are remembered; those of the oldest are recorded anew.
MAX_HEARINGS = 256
#: Rows that are read at a time to delete what a filter finds.
_BATCH = 1000
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Excerpt:
    """Some rows of the timeline, the newest first; `count` and `kept` are of all that match."""

    rows: list[StreamRow]
    count: int
    kept: int
    is_more: bool


@dataclass(frozen=True)
class Left:
    """What left one device on one day: audio, and everything else, where that was counted."""

    audio: DayBytes
    traffic: DayTraffic | None


class Archive:
    """The history and the recordings of a receiver; each method raises HostToolError.  `source` is
    who asks, for the receiver's log: one of receiver_log.SOURCES."""

    def __init__(self, worker: RecordingWorker, source: str = "page") -> None:
        self._worker = worker
        self.source = source
        self._hearings: dict[tuple[str, str], float] = {}

    async def excerpt(self, wanted: Filter, after: tuple[float, int] | None) -> Excerpt:
        """Return the rows behind the cursor `after`; None: from the newest on."""

        def look(recordings: Recordings) -> Excerpt:
            history = recordings.history
            found = history.page(wanted, after, PAGE_ROWS + 1)
            kept = history.count(_kept(wanted)) if wanted.kept is not False else 0
            is_more = len(found) > PAGE_ROWS
            return Excerpt(found[:PAGE_ROWS], history.count(wanted), kept, is_more)

        return await self._worker.look(look)

    async def left_per_day(self, days: int) -> list[Left]:
        """Return what each device sent on each of the last days, the newest day first."""
        first = datetime.date.today() - datetime.timedelta(days=days - 1)

        def look(recordings: Recordings) -> list[Left]:
            streams = recordings.history.bytes_per_day(day_bounds_s(first)[0])
            counted = recordings.traffic.since(first)
            traffic = {(each.day, each.device_id): each for each in counted}
            found = [Left(each, traffic.pop((each.day, each.device_id), None)) for each in streams]
            found += (Left(DayBytes(*key, 0, 0), each) for key, each in traffic.items())
            return sorted(found, key=lambda left: (left.audio.day, left.audio.device_id))[::-1]

        return await self._worker.look(look)

    async def standings(self, names: Mapping[str, str]) -> list[Standing]:
        """Return how the log of each device stands, by the ids in `names`."""

        def look(recordings: Recordings) -> list[Standing]:
            results = Results(recordings.folder)
            return [standing(results, recordings.history, *each) for each in names.items()]

        return await self._worker.look(look)

    async def cross_check(
        self, files: Sequence[tuple[str, bytes]], name: str | None
    ) -> CrossCheck:
        """Hold the files of a log, each with its name, against this receiver; `name` is the
        device's, None where the log is to tell."""
        data = await self._worker.look(lambda recordings: recordings.folder)
        # Not in the recordings' thread: a long log takes a second.
        return await asyncio.to_thread(
            lambda: cross_check(read_contents(files), data, device=name)
        )

    async def keep_check(self, checked: CrossCheck, source: str) -> bool:
        """Keep what came of it, and return whether it is kept: see `CrossCheck.keep`."""
        return await self._worker.look(lambda recordings: checked.keep(recordings.folder, source))

    async def rows(self, numbers: list[int]) -> list[StreamRow]:
        """Return the rows of these numbers; those that are not there are left out."""

        def look(recordings: Recordings) -> list[StreamRow]:
            found = [recordings.history.get(number) for number in numbers]
            return [row for row in found if row is not None]

        return await self._worker.look(look)

    async def wav(
        self, row: StreamRow, what: str, session: str, *, is_played: bool = False
    ) -> bytes:
        """Return the recording of a row as a WAV file, its samples checked, after the receiver's
        log says `what` it is for: one of receiver_log.LOOKS.

        A browser asks for a waveform and for parts of the sound: within HEARING_S they are one
        hearing of a session, recorded before the first of them.  What `is_played`, and not only
        drawn, counts as heard; a full disk, which cannot take that, keeps nobody from hearing.
        """
        id = row.recording or ""

        def look(recordings: Recordings) -> bytes:
            recording = recordings.find(id)
            if what != "hear":
                return recordings.wav(recording, what=what, source=self.source)
            is_new = not self._is_heard(session, id)
            wav = recordings.wav(recording, what=what if is_new else None, source=self.source)
            if is_new:
                self._hearings[session, id] = time.monotonic()
            if is_played:
                with contextlib.suppress(HostToolError):
                    recordings.labels.note_heard(recording)
            return wav

        return await self._worker.look(look)

    def _is_heard(self, session: str, id: str) -> bool:
        """Return whether the hearing that goes on is recorded; in the recordings' thread only."""
        now_s = time.monotonic()
        recent = {key: at_s for key, at_s in self._hearings.items() if now_s - at_s < HEARING_S}
        self._hearings = dict(list(recent.items())[-MAX_HEARINGS:])
        return (session, id) in self._hearings

    async def transcript(self, row: StreamRow) -> str | None:
        """Return what was said in the recording of a row, if that was kept; recorded as `wav`."""
        id = row.recording
        if id is None:
            return None
        source = self.source
        return await self._worker.look(lambda recordings: recordings.transcript(id, source=source))

    async def labels(self, row: StreamRow) -> Labels:
        """Return what the owner says of the recording of a row."""
        id = row.recording
        if id is None:
            return NONE
        return await self._worker.look(lambda recordings: recordings.labels.of(id))

    async def ask(self, question: Callable[[Recordings], _Result]) -> _Result:
        """Ask the recordings, or change them, in their thread; to the end, also when nobody waits
        for it any more."""
        return await asyncio.shield(self._worker.look(question))

    async def count_of_device(self, device: str) -> int:
        """Return how many recordings are kept of a device, by its id."""
        return (await self._worker.look(lambda recordings: recordings.devices())).get(
            device, (0, "")
        )[0]

    async def take_back(self, withdrawals: OwnerWithdrawals, device: str) -> list[str]:
        """Carry out what a device's owner took back, as far as this computer can; returns what
        could not be done."""
        return await asyncio.shield(self._worker.take_back(withdrawals, device, self.source))

    async def count_kept(self, wanted: Filter) -> int:
        """Return how many recordings a filter finds."""
        if wanted.kept is False:
            return 0
        return await self._worker.look(lambda recordings: recordings.history.count(_kept(wanted)))

    async def delete(self, rows: list[StreamRow]) -> Deletion:
        """Delete the recordings of these rows."""
        wanted = {row.recording for row in rows}
        return await self.ask(lambda recordings: _delete(recordings, wanted, self.source))

    async def delete_matching(self, wanted: Filter) -> Deletion:
        """Delete every recording that a filter finds; without a filter also what is damaged."""

        def work(recordings: Recordings) -> Deletion:
            if wanted.kept is False:
                return Deletion()
            if _kept(wanted) == Filter(kept=True):
                return recordings.delete_all(source=self.source)
            found: set[str | None] = set()
            after = None
            while rows := recordings.history.page(_kept(wanted), after, _BATCH):
                found.update(row.recording for row in rows)
                after = rows[-1].cursor
            return _delete(recordings, found, self.source)

        return await self.ask(work)


def _kept(wanted: Filter) -> Filter:
    return replace(wanted, kept=True)


def _delete(recordings: Recordings, wanted: set[str | None], source: str) -> Deletion:
    if not wanted:
        return Deletion()
    found = recordings.these({id for id in wanted if id is not None})
    return recordings.delete(found, source=source)
