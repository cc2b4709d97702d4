"""Audio on its way from Home Assistant to a device, as the receiver takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from firmware.satellite.protocol import MAX_SPEECH_MS, RATE_HZ, WIDTH_BYTES

#: What waits here at most.  Home Assistant sends as fast as it is played, and no faster.
MAX_WAITING_BYTES = MAX_SPEECH_MS * RATE_HZ // 1000 * WIDTH_BYTES


class Reply:
    """Samples from `put` come out of `audio` in the same order, until `end` or `drop`."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._waiting_bytes = 0
        self._rest = b""
        self._is_over = False

    def put(self, data: bytes) -> None:
        """Add audio, whole samples at a time; what is more than can ever be spoken is dropped."""
        data = self._rest + data
        even = len(data) // WIDTH_BYTES * WIDTH_BYTES
        data, self._rest = data[:even], data[even:]
        if data and not self._is_over and self._waiting_bytes < MAX_WAITING_BYTES:
            self._waiting_bytes += len(data)
            self._queue.put_nowait(data)

    def end(self) -> None:
        """Nothing more comes."""
        self._is_over = True
        self._queue.put_nowait(b"")

    def drop(self) -> None:
        """Nothing more comes, and what waits is not to be spoken."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self.end()

    async def audio(self) -> AsyncIterator[bytes]:
        while data := await self._queue.get():
            self._waiting_bytes -= len(data)
            yield data
