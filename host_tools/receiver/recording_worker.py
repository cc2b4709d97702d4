"""Runs everything that touches the recordings in one thread, so that the event loop never waits.

One thread means one order, that of the calls, not of who awaits them first: what was to be kept is
on disk before a withdrawal that came later deletes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver.authority import Authority
from host_tools.receiver.devices import Device, DeviceList
from host_tools.receiver.history_rows import DROPPED, FATES, KEPT, StreamRow
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording import BY_CERTIFICATE, Recording
from host_tools.receiver.recording_files import Deletion
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.session import Stream
from host_tools.receiver.traffic import Counts
from host_tools.receiver.transcript_keeping import TranscriptKeeping
from host_tools.receiver.withdrawal import Outcome, Wishes, take_back, withdraw

#: A fifth of what Python does by itself.
SWITCH_S = 0.001
_Result = TypeVar("_Result")


class RecordingWorker:
    """The recordings, for coroutines: each call takes its place in the order at once, and returns
    what can be awaited.  `close` waits for what was begun."""

    def __init__(self, recordings: Recordings, devices: DeviceList) -> None:
        self._recordings = recordings
        self._devices = devices
        self._transcripts = TranscriptKeeping(recordings)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recordings")
        self._is_closed = False
        # Python hands the interpreter from thread to thread: the event loop's turn comes sooner.
        sys.setswitchinterval(SWITCH_S)

    def add(
        self, stream: Stream, device: Device, reason: str = ""
    ) -> asyncio.Future[tuple[Recording, str | None]]:
        """Keep a stream whose consent allows it, and enter it in the history; `reason` is why it
        ended.

        Returns the recording, and why it could not be entered; raises HostToolError.
        """
        assert stream.keep_recordings and stream.audio is not None
        audio = bytes(stream.audio)
        row, key = row_of(stream, device, reason), (device.name, stream.id)

        def work() -> tuple[Recording, str | None]:
            try:
                recording = self._recordings.add(
                    audio,
                    device=device.id,
                    share_for_training=row.share_for_training,
                    preroll_ms=stream.preroll_ms,
                    wake_word=row.wake_word,
                )
            except HostToolError:
                self._enter(row)
                self._transcripts.ended(key, None)
                raise
            kept = replace(row, fates=_fates({*stream.destinations, KEPT}), recording=recording.id)
            problem = self._enter(kept)
            self._transcripts.ended(key, recording.id)
            return recording, problem

        return self._run(work)

    def note(self, stream: Stream, device: Device, reason: str = "") -> asyncio.Future[str | None]:
        """Enter a stream that is not kept in the history; returns why it could not be."""
        row, key = row_of(stream, device, reason), (device.name, stream.id)

        def work() -> str | None:
            self._transcripts.ended(key, None)
            return self._enter(row)

        return self._run(work)

    def heard(self, device: str, stream: str, words: str) -> None:
        """Keep the words of a stream, if it is kept: they belong to its recording.

        Args:
            device: The device's name.
            stream: The stream's number; it may run still.
            words: What was understood.
        """
        self._run(lambda: self._transcripts.heard((device, stream), words))

    def look(self, question: Callable[[Recordings], _Result]) -> asyncio.Future[_Result]:
        """Ask the recordings or their history, in the thread of all writing."""
        return self._run(lambda: question(self._recordings))

    def withdraw(self, device: Device, wishes: Wishes) -> asyncio.Future[Outcome]:
        """See `withdrawal.withdraw`."""
        return self._run(lambda: withdraw(self._recordings, self._devices, device, wishes))

    def take_back(
        self, withdrawals: OwnerWithdrawals, device: str, source: str
    ) -> asyncio.Future[list[str]]:
        """See `withdrawal.take_back`; words that are still to come are not kept either."""
        found = withdrawals.of(device)
        name = "" if found is None else found.name

        def work() -> list[str]:
            self._transcripts.forget(name)
            return take_back(self._recordings, withdrawals, device, source)

        return self._run(work)

    def unshare(self, device: str) -> asyncio.Future[list[str]]:
        """See `Recordings.unshare`."""
        return self._run(lambda: self._recordings.unshare(device))

    def adopt(
        self, device: Device, certificate_der: bytes, ca: Authority
    ) -> asyncio.Future[list[str]]:
        """Tie what an earlier version kept for this certificate to the device; returns doubts."""
        owner = BY_CERTIFICATE + ca.consent_tag(certificate_der)
        return self._run(lambda: self._recordings.adopt(owner, device.id))

    def clean(self) -> asyncio.Future[Deletion]:
        """Remove what nobody can say the consent of, and let the history know what there is."""

        def work() -> Deletion:
            done = self._recordings.clean()
            names = {device.id: device.name for device in self._devices.all()}
            self._recordings.settle_history(names)
            return done

        return self._run(work)

    def take_in(self) -> asyncio.Future[tuple[int, list[str]]]:
        """See `Recordings.take_in`: a little at a time, since others wait."""
        return self._run(self._recordings.take_in)

    def expire(self) -> asyncio.Future[Deletion]:
        """Remove recordings and rows of the history that are past their time."""

        def work() -> Deletion:
            done = self._recordings.expire()
            self._recordings.history.trim()
            return done

        return self._run(work)

    def count(self, counts: Mapping[str, Counts]) -> asyncio.Future[None]:
        """See `Traffic.add`."""
        return self._run(lambda: self._recordings.traffic.add(counts))

    def close(self) -> None:
        """Finish what was begun, and close the index; what takes long stops between two steps."""
        self._recordings.stopping.begin()
        if not self._is_closed:
            self._is_closed = True
            self._thread.submit(self._recordings.close)
        self._thread.shutdown()

    def finish(self) -> None:
        """Finish what was begun, without a word to the loop, in which more may be asked for: for
        another thread, when the receiver does not end."""
        self._recordings.stopping.begin()
        try:
            self._thread.submit(lambda: None).result()
        except RuntimeError:  # closed: all that there was is being finished
            self._thread.shutdown()

    def _enter(self, row: StreamRow) -> str | None:
        """Enter a row; returns why it could not be."""
        try:
            self._recordings.history.add([row])
        except HostToolError as error:
            return error.message
        return None

    def _run(self, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Result] = loop.create_future()

        def settle(set_outcome: Callable[[], None]) -> None:
            if not future.done():  # nobody gave it up
                set_outcome()

        def run() -> None:
            try:
                result = work()
            except BaseException as error:
                outcome = partial(future.set_exception, error)
            else:
                outcome = partial(future.set_result, result)
            with contextlib.suppress(RuntimeError):  # the loop is closed: the receiver has ended
                loop.call_soon_threadsafe(settle, outcome)

        self._thread.submit(run)
        return future


def row_of(stream: Stream, device: Device, reason: str) -> StreamRow:
    """Return the history's row of a stream that ended, and that was not kept."""
    samples = stream.bytes // protocol.WIDTH_BYTES
    return StreamRow(
        began_s=stream.began_s,
        device_id=device.id,
        device_name=device.name,
        wake_word=stream.wake_word,
        duration_ms=samples * 1000 // protocol.RATE_HZ,
        bytes=stream.bytes,
        sha256=stream.sha256.hexdigest(),
        reason=reason,
        fates=_fates(set(stream.destinations)),
        keep_recordings=stream.keep_recordings,
        share_for_training=stream.share_for_training,
    )


def _fates(found: set[str]) -> tuple[str, ...]:
    return tuple(fate for fate in FATES if fate in (found or {DROPPED}))
