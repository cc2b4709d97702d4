"""What one device's connection lets the disk keep, and what it has deleted there.

Recordings of streams that ended as agreed under a consent to keep them, withdrawals, and what the
device says of itself: its newest audit record, its status.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Protocol

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import session as sessions
from host_tools.receiver.anchors import Anchor
from host_tools.receiver.assistant import Status
from host_tools.receiver.cancellation import until_done
from host_tools.receiver.devices import Device
from host_tools.receiver.recording import Recording
from host_tools.receiver.services import Services
from host_tools.receiver.statuses import ToldStatus
from host_tools.receiver.withdrawal import ANYBODY, Outcome, Wishes


class Line(Protocol):
    """What is needed of the connection."""

    device: Device
    dropped: str | None

    def emit(self, event: str, **fields: object) -> None:
        """Tell the owner."""

    async def send(
        self, kind: str, data: dict[str, Any] | None = None, payload: bytes = b""
    ) -> None:
        """Send a message; raises OSError or TimeoutError."""


class Keeping:
    """One connection's."""

    def __init__(self, services: Services, line: Line) -> None:
        self._services = services
        self._line = line
        self._status: Status | None = None
        #: Of a withdrawal that answers no request, how it ended.
        self._unasked: Outcome | None = None

    def end(self, action: sessions.Ended) -> None:
        """Keep the stream if it may be kept, and tell what became of it, in its place before
        whatever follows: a withdrawal, for instance."""
        stream = action.stream
        if self._services.withdrawals.is_pending(self._line.device.id):
            stream.keep_recordings = stream.share_for_training = False  # whatever it says
        if action.is_complete and stream.keep_recordings and stream.audio:
            adding = self._services.recordings.add(stream, self._line.device, action.reason)
            self._services.start(self._keep(action, adding))
        else:
            noting = self._services.recordings.note(stream, self._line.device, action.reason)
            self._report(action, None)
            self._services.start(self._note(noting))

    def withdraw(self, wishes: Wishes, request: str | None) -> None:
        """Delete or mark what was kept under more than these wishes; then confirm that.

        `request` is the `id` of the request that the device answers.
        """
        self._line.emit(
            "withdrawn",
            keep_recordings=wishes.keep_recordings,
            share_for_training=wishes.share_for_training,
        )
        withdrawing = self._services.recordings.withdraw(self._line.device, wishes)
        self._services.start(self._confirm(withdrawing, wishes, request))

    def anchor(self, seq: int, hash: str) -> None:
        """Keep what the device says is the newest record of its log."""
        if self._line.device is ANYBODY:  # nobody knows whose log it is
            return
        try:
            told = Anchor(seq, hash, time.time())
            before = self._services.anchors.add(self._line.device.id, told)
        except HostToolError as error:  # a full disk; the device tells the next one in a minute
            self._line.emit("warning", message=f"not anchored: {error.message}")
            return
        if before is not None:
            self._line.emit(
                "warning",
                message=f"its log was restarted or cut: its newest record is {seq}, and was "
                f"{before.seq} earlier; check it: earnest audit --port auto",
            )

    def status(self, status: Status) -> None:
        """Keep the device's status in place of the one before."""
        if self._line.device is ANYBODY:
            return
        self._status = status
        self._note_unasked()
        try:
            self._services.statuses.keep(self._line.device.id, ToldStatus(status, time.time()))
        except HostToolError as error:  # a full disk; the device tells the next one
            self._line.emit("warning", message=f"status not kept: {error.message}")

    async def _note(self, noting: asyncio.Future[str | None]) -> None:
        """Wait until a stream is in the history."""
        if problem := await asyncio.shield(noting):
            self._line.emit("warning", message=f"not in the history: {problem}")

    async def _keep(
        self, action: sessions.Ended, adding: asyncio.Future[tuple[Recording, str | None]]
    ) -> None:
        """Wait until a stream was kept, beside the messages that follow: the disk may be slow."""
        recording = None
        try:
            await asyncio.shield(adding)
        except HostToolError as error:
            self._line.emit("warning", message=f"not kept: {error.message}")
        finally:
            if not adding.done():  # the receiver stops: what was begun is finished, and told
                await until_done(adding)
            if adding.exception() is None:
                kept, problem = adding.result()
                recording = kept.id
                self._services.counters.kept += 1
                if problem:
                    self._line.emit("warning", message=f"not in the history: {problem}")
            self._report(action, recording)

    def _report(self, action: sessions.Ended, recording: str | None) -> None:
        """Forget the audio, and tell what became of the stream."""
        stream = action.stream
        stream.audio = None
        samples = stream.bytes // protocol.WIDTH_BYTES
        self._line.emit(
            "stream-stop",
            stream=stream.id,
            reason=action.reason,
            samples=samples,
            bytes=stream.bytes,
            duration_ms=samples * 1000 // protocol.RATE_HZ,
            sha256=stream.sha256.hexdigest(),
            recording=recording,
        )

    def _note_unasked(self) -> None:
        """Take a withdrawal without a request for the one that was asked for, where the device's
        firmware is too old to be asked: its owner did it at the cable."""
        if self._unasked is not None and self._status is not None and not self._status.withdraw:
            outcome, self._unasked = self._unasked, None
            if self._services.withdrawals.is_pending(self._line.device.id):
                self._note_confirmed(outcome)

    def _note_answered(self, wishes: Wishes, request: str | None, outcome: Outcome) -> None:
        """Note that the device has taken back its consent, as its owner asked for here."""
        asked = self._services.withdrawals.of(self._line.device.id)
        if wishes.keep_recordings or wishes.share_for_training or asked is None:
            return
        if request is not None:
            if request == asked.request:
                self._note_confirmed(outcome)
        elif asked.is_pending:
            self._unasked = outcome
            self._note_unasked()
        elif not asked.is_complete:  # it asks again for what could not be deleted
            self._note_confirmed(outcome)

    def _note_confirmed(self, outcome: Outcome) -> None:
        line = self._line
        try:
            self._services.withdrawals.confirm(
                line.device.id, outcome.count, is_complete=not outcome.doubts
            )
        except HostToolError as error:  # asked again at the next connection
            line.emit("warning", message=f"the confirmation is not stored: {error.message}")
            return
        line.emit("withdrawal-confirmed")

    async def _confirm(
        self, withdrawing: asyncio.Future[Outcome], wishes: Wishes, request: str | None
    ) -> None:
        """Wait until what was withdrawn is deleted or marked, and confirm it if all of it is."""
        line = self._line
        try:
            outcome = await withdrawing
        except HostToolError as error:
            outcome = Outcome(0, (error.message,))
        line.emit("deleted", count=outcome.count, reason="consent withdrawn")
        for doubt in outcome.doubts:
            line.emit("unconfirmed", reason=doubt)
        self._note_answered(wishes, request, outcome)
        if outcome.doubts or line.dropped is not None:
            return
        try:
            await line.send(protocol.DELETED, {"count": min(outcome.count, protocol.MAX_COUNT)})
        except (OSError, asyncio.TimeoutError):
            line.emit("unconfirmed", reason="the connection was lost; the device will ask again")
