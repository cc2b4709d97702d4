"""Forwards a stream's audio to a Wyoming speech-to-text server and brings back the words.

Works beside the stream: the device never waits for it.  The server is the owner's own, but what it
says is bounded and cleaned before it reaches a terminal.
"""

from __future__ import annotations

import asyncio
from urllib.parse import urlparse

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import async_write_event

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver.cancellation import within
from host_tools.receiver.printable import one_line
from host_tools.receiver.wyoming_events import connect, read_event

CONNECT_S = 5.0
#: From the end of the audio to the transcript.
ANSWER_S = 30.0
MAX_TEXT_CHARACTERS = 4000
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TranscriptionError(Exception):
    """Why there is no transcript, for the owner."""


def parse_address(uri: str, option: str = "--stt") -> tuple[str, int]:
    """Host and port of `tcp://host:port`; raises HostToolError.  `option` is where it stood."""
    hint = f"as in {option} tcp://127.0.0.1:10300"
    try:
        parts = urlparse(uri)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise HostToolError(f"{uri!r} is not an address", hint) from error
    if parts.scheme != "tcp" or not host or not port or parts.path or parts.query:
        raise HostToolError(f"{uri!r} is not a tcp:// address with a port", hint)
    return host, port


def is_on_this_machine(address: tuple[str, int]) -> bool:
    return address[0] in _LOOPBACK


def clean(text: str) -> str:
    """One line of printable characters, at most MAX_TEXT_CHARACTERS."""
    return " ".join(one_line(text[:MAX_TEXT_CHARACTERS]).split())


class Transcription:
    """One stream's way to the server: `hear` each piece, `end` once, `text` gives the words."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run(address))

    def hear(self, audio: bytes) -> None:
        """Pass on audio.  What waits here is bounded by the length of a stream."""
        if not self._task.done():
            self._queue.put_nowait(audio)

    def end(self) -> None:
        self._queue.put_nowait(None)

    def cancel(self) -> None:
        """Forget the stream: hang up and drop what waits."""
        self._task.cancel()

    async def text(self) -> str:
        """Return the transcript, cleaned; raises TranscriptionError, or CancelledError after
        cancel()."""
        return await self._task

    async def _run(self, address: tuple[str, int]) -> str:
        where = f"{address[0]}:{address[1]}"
        try:
            reader, writer = await connect(address, CONNECT_S)
        except (OSError, asyncio.TimeoutError) as error:
            raise TranscriptionError(f"cannot reach the server at {where}") from error
        try:
            await self._send_audio(writer)
            return await within(ANSWER_S, _read_transcript(reader))
        except asyncio.TimeoutError as error:
            raise TranscriptionError(f"the server at {where} takes too long") from error
        except (OSError, protocol.ProtocolError) as error:
            raise TranscriptionError(f"the server at {where} fails: {error}") from error
        finally:
            writer.transport.abort()

    async def _send_audio(self, writer: asyncio.StreamWriter) -> None:
        form = (protocol.RATE_HZ, protocol.WIDTH_BYTES, protocol.CHANNELS)
        await async_write_event(Transcribe().event(), writer)
        await async_write_event(AudioStart(*form).event(), writer)
        while (audio := await self._queue.get()) is not None:
            event = AudioChunk(*form, audio=audio).event()
            await within(ANSWER_S, async_write_event(event, writer))
        await async_write_event(AudioStop().event(), writer)


async def _read_transcript(reader: asyncio.StreamReader) -> str:
    """Return the transcript, whole or put together from its chunks; other events are passed."""
    chunks = ""
    while (event := await read_event(reader)) is not None:
        kind, data, _ = event
        if not (Transcript.is_type(kind) or TranscriptChunk.is_type(kind)):
            if TranscriptStop.is_type(kind):
                return clean(chunks)
            continue
        text = data.get("text")
        if not isinstance(text, str):
            raise protocol.ProtocolError(f"{kind} without text")
        if Transcript.is_type(kind):
            return clean(text)
        chunks = (chunks + text)[:MAX_TEXT_CHARACTERS]
    raise TranscriptionError("the speech-to-text server hung up without a transcript")
