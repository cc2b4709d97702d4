"""Runs everything that touches the recordings in one thread, so that the event loop never waits.

One thread means one order: what a device asked to be kept is on disk before its withdrawal, asked
for later, deletes it.
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
from host_tools.receiver.recordings import Deletion, Recordings
from host_tools.receiver.session import Stream
from host_tools.receiver.withdrawal import Outcome, Wishes, withdraw

#: A fifth of what Python does by itself.
SWITCH_S = 0.001
_Result = TypeVar("_Result")


class RecordingWorker:
    """The recordings, for coroutines; `close` waits for what was begun."""

    def __init__(self, recordings: Recordings, devices: DeviceList) -> None:
        self._recordings = recordings
        self._devices = devices
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recordings")
        # Python hands the interpreter from thread to thread: the event loop's turn comes sooner.
        sys.setswitchinterval(SWITCH_S)

    async def add(self, stream: Stream, device: Device) -> Recording:
        """Keep a stream whose consent allows it; raises HostToolError."""
        assert stream.keep_recordings and stream.audio is not None
        audio = bytes(stream.audio)
        return await self._run(
            lambda: self._recordings.add(
                audio,
                device=device.id,
                share_for_training=stream.share_for_training,
                preroll_ms=stream.preroll_ms,
                wake_word=stream.wake_word,
            )
        )

    async def withdraw(self, device: Device, wishes: Wishes) -> Outcome:
        """See `withdrawal.withdraw`."""
        return await self._run(lambda: withdraw(self._recordings, self._devices, device, wishes))

    async def adopt(self, device: Device, certificate_der: bytes, ca: Authority) -> list[str]:
        """Tie what an earlier version kept for this certificate to the device; returns doubts."""
        owner = BY_CERTIFICATE + ca.consent_tag(certificate_der)
        return await self._run(lambda: self._recordings.adopt(owner, device.id))

    async def clean(self) -> Deletion:
        return await self._run(self._recordings.clean)

    async def expire(self) -> Deletion:
        return await self._run(self._recordings.expire)

    def close(self) -> None:
        """Finish what was begun, and close the index."""
        self._thread.submit(self._recordings.close)
        self._thread.shutdown()

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
