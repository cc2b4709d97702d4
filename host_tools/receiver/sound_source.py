"""The audio of a sound, while it is made: pulled from an assistant, handed out in even pieces."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

#: How much is pulled ahead of what the device takes: 2 s.
AHEAD_BYTES = 64000
#: Pieces, as docs/protocol.md wishes them: the last one may be shorter.
MIN_PIECE_BYTES = 1024
MAX_PIECE_BYTES = 2048


class SoundSource:
    """Pulls from `audio` in a task of its own; `changed` is called when there is news.

    At most `max_bytes` are taken; what comes after them is never asked for.
    """

    def __init__(
        self, audio: AsyncIterator[bytes], max_bytes: int, changed: Callable[[], None]
    ) -> None:
        self._audio = audio
        self._left_bytes = max_bytes
        self._changed = changed
        self._buffer = bytearray()
        self._has_room = asyncio.Event()
        self._has_ended = False
        #: What the assistant raised.
        self.failure: Exception | None = None
        self._task = asyncio.create_task(self._pull())

    @property
    def is_ready(self) -> bool:
        """Whether there is audio, or there will be none."""
        return self._has_ended or len(self._buffer) > 0

    @property
    def is_empty(self) -> bool:
        """Whether all has been taken and no more comes."""
        return self._has_ended and not self._buffer

    def size(self, credit: int) -> int:
        """Return how many bytes to take now, 0 for none."""
        waiting = len(self._buffer)
        count = min(waiting, credit, MAX_PIECE_BYTES) & ~1
        is_last = self._has_ended and count == waiting
        return count if count >= MIN_PIECE_BYTES or is_last else 0

    @property
    def wants_credit(self) -> bool:
        """Whether only the device holds it up."""
        return self._has_ended or len(self._buffer) >= MIN_PIECE_BYTES

    def take(self, count: int) -> bytes:
        """Return the next `count` bytes; see `size`."""
        piece = bytes(self._buffer[:count])
        del self._buffer[:count]
        self._has_room.set()
        return piece

    def close(self) -> None:
        """Stop pulling, and drop what waits."""
        self._task.cancel()
        self._buffer.clear()

    async def _pull(self) -> None:
        try:
            async for piece in self._audio:
                self._buffer += piece[: self._left_bytes]
                self._left_bytes -= len(piece)
                self._changed()
                if self._left_bytes <= 0:
                    break
                while len(self._buffer) > AHEAD_BYTES:
                    self._has_room.clear()
                    await self._has_room.wait()
        except Exception as error:  # the assistant's own: it is raised where it asked to speak
            self.failure = error
        finally:
            if len(self._buffer) % 2:
                del self._buffer[-1:]
            self._has_ended = True
            self._changed()
            if (close := getattr(self._audio, "aclose", None)) is not None:
                await close()
