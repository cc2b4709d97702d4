"""A connection of a Home Assistant to one device's port: bytes to messages, within limits.

Who does not finish the handshake, falls silent or does not read what is sent is hung up on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from host_tools.home import messages
from host_tools.home.frames import FrameError, Frames
from host_tools.home.identity import Identity
from host_tools.home.messages import MessageError
from host_tools.receiver.cancellation import within

#: For the handshake.
HANDSHAKE_S = 10.0
#: Without a message; Home Assistant pings every 20 s.
IDLE_S = 90.0
#: What may wait for a Home Assistant that does not read: some seconds of audio.
MAX_UNREAD_BYTES = 512 * 1024
_READ_BYTES = 16384


class Closed(Exception):  # noqa: N818 - as asyncio names what ended
    """The connection ended; the text says why."""


class Line:
    """One connection; `read` runs it."""

    def __init__(
        self,
        identity: Identity,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._frames = Frames(identity.key, identity.name, identity.mac)
        self._reader = reader
        self._writer = writer
        self._reason: str | None = None
        peer = writer.get_extra_info("peername") or ("?", 0)
        #: The address and the port of the other end.
        self.host: str = peer[0]
        self.address = f"{peer[0]}:{peer[1]}"

    @property
    def is_known(self) -> bool:
        """Whether the other end has shown that it has the key."""
        return self._frames.is_open

    async def read(self, handle: Callable[[Any], None]) -> None:
        """Hand every message to `handle` until the connection ends: then raise Closed."""
        until_s = asyncio.get_running_loop().time() + HANDSHAKE_S
        while self._reason is None:
            data = await self._receive(until_s)
            try:
                decoded = self._frames.feed(data)
            except FrameError as error:
                self._writer.write(self._frames.output + error.answer)
                await self._flush()
                raise Closed(str(error)) from error
            if self._frames.output:
                self._writer.write(self._frames.output)
                self._frames.output = b""
            for number, body in decoded:
                if self._reason is not None:
                    break
                try:
                    message = messages.decode(number, body)
                except MessageError as error:
                    raise Closed(str(error)) from error
                if message is not None:
                    handle(message)
        await self._flush()
        raise Closed(self._reason)

    def send(self, message: Any) -> None:
        """Send a message; if the other end reads too little, the connection ends."""
        if self._reason is not None or not self._frames.is_open:
            return
        self._writer.write(self._frames.encode(*messages.encode(message)))
        if self._writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self._reason = "it does not read what it is sent"
            self._writer.transport.abort()

    def hang_up(self, reason: str) -> None:
        """End the connection when what was sent has gone."""
        if self._reason is None:
            self._reason = reason
            self._writer.close()

    def abort(self, reason: str = "ended") -> None:
        """End the connection at once."""
        self._reason = self._reason or reason
        self._writer.transport.abort()

    async def _receive(self, until_s: float) -> bytes:
        """Return what came, at least a byte; raises Closed."""
        left_s = IDLE_S
        if not self._frames.is_open:
            left_s = until_s - asyncio.get_running_loop().time()
        try:
            data = await within(left_s, self._reader.read(_READ_BYTES))
        except asyncio.TimeoutError as error:
            raise Closed("it fell silent") from error
        except OSError as error:
            raise Closed(self._reason or "lost") from error
        if not data:
            raise Closed(self._reason or "it hung up")
        return data

    async def _flush(self) -> None:
        """Let the last words reach a peer that reads; do not wait for one that does not."""
        with contextlib.suppress(OSError, asyncio.TimeoutError):
            self._writer.close()
            await within(1.0, self._writer.wait_closed())
