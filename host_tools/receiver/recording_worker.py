"""Runs everything that touches the recordings in one thread, so that the event loop never waits.

One thread means one order, that of the calls, not of who awaits them first: what was to be kept is
on disk before a withdrawal that came later deletes it.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from host_tools.receiver.authority import Authority
from host_tools.receiver.devices import Device, DeviceList
from host_tools.receiver.recording import BY_CERTIFICATE, Recording
from host_tools.receiver.recording_files import Deletion
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.session import Stream
from host_tools.receiver.withdrawal import Outcome, Wishes, withdraw

#: A fifth of what Python does by itself.
SWITCH_S = 0.001
_Result = TypeVar("_Result")


class RecordingWorker:
    """The recordings, for coroutines: each call takes its place in the order at once, and returns
    what can be awaited.  `close` waits for what was begun."""

    def __init__(self, recordings: Recordings, devices: DeviceList) -> None:
        self._recordings = recordings
        self._devices = devices
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recordings")
        # Python hands the interpreter from thread to thread: the event loop's turn comes sooner.
        sys.setswitchinterval(SWITCH_S)

    def add(self, stream: Stream, device: Device) -> asyncio.Future[Recording]:
        """Keep a stream whose consent allows it; raises HostToolError."""
        assert stream.keep_recordings and stream.audio is not None
        audio = bytes(stream.audio)
        return self._run(
            lambda: self._recordings.add(
                audio,
                device=device.id,
                share_for_training=stream.share_for_training,
                preroll_ms=stream.preroll_ms,
                wake_word=stream.wake_word,
            )
        )

    def withdraw(self, device: Device, wishes: Wishes) -> asyncio.Future[Outcome]:
        """See `withdrawal.withdraw`."""
        return self._run(lambda: withdraw(self._recordings, self._devices, device, wishes))

    def adopt(
        self, device: Device, certificate_der: bytes, ca: Authority
    ) -> asyncio.Future[list[str]]:
        """Tie what an earlier version kept for this certificate to the device; returns doubts."""
        owner = BY_CERTIFICATE + ca.consent_tag(certificate_der)
        return self._run(lambda: self._recordings.adopt(owner, device.id))

    def clean(self) -> asyncio.Future[Deletion]:
        return self._run(self._recordings.clean)

    def expire(self) -> asyncio.Future[Deletion]:
        return self._run(self._recordings.expire)

    def close(self) -> None:
        """Finish what was begun, and close the index."""
        self._thread.submit(self._recordings.close)
        self._thread.shutdown()

    def _run(self, work: Callable[[], _Result]) -> asyncio.Future[_Result]:
        return asyncio.get_running_loop().run_in_executor(self._thread, work)
