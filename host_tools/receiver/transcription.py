"""Forwards a stream's audio to a Wyoming speech-to-text server and brings back the words.

Works beside the stream: the device never waits for it.  The server is the owner's own, but what it
says is bounded and cleaned before it reaches a terminal.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlparse

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStop
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import async_write_event

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver.printable import one_line

CONNECT_S = 5.0
#: From the end of the audio to the transcript.
ANSWER_S = 30.0
MAX_TEXT_CHARACTERS = 4000
#: Of one message of the server.
MAX_HEADER_BYTES = 65536
MAX_DATA_BYTES = 1 << 20
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class TranscriptionError(Exception):
    """Why there is no transcript, for the owner."""


def parse_address(uri: str) -> tuple[str, int]:
    """Host and port of `tcp://host:port`; raises HostToolError."""
    hint = "as in --stt tcp://127.0.0.1:10300"
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
            reader, writer = await asyncio.wait_for(
                asyncio.open_connection(*address, limit=MAX_HEADER_BYTES), CONNECT_S
            )
        except (OSError, asyncio.TimeoutError) as error:
            raise TranscriptionError(f"cannot reach the server at {where}") from error
        try:
            await self._send_audio(writer)
            return await asyncio.wait_for(_read_transcript(reader), ANSWER_S)
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
            await asyncio.wait_for(async_write_event(event, writer), ANSWER_S)
        await async_write_event(AudioStop().event(), writer)


async def _read_transcript(reader: asyncio.StreamReader) -> str:
    """Return the transcript, whole or put together from its chunks; other events are passed."""
    chunks = ""
    while (event := await _read_event(reader)) is not None:
        kind, data = event
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


async def _read_event(reader: asyncio.StreamReader) -> tuple[str, dict[str, Any]] | None:
    """Read a Wyoming event: its type and data, or None at the end.  Raises ProtocolError.

    Not the device's decoder: an answer may be longer than what a device may say.
    """
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.LimitOverrunError as error:
        raise protocol.ProtocolError(f"header longer than {MAX_HEADER_BYTES} bytes") from error
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise protocol.ProtocolError("hung up within a message") from error
        return None
    header = _object(line, "header")
    kind, data = header.get("type"), header.get("data") or {}
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise protocol.ProtocolError("header without a type")
    body = await _read_part(reader, header.get("data_length"), "data_length")
    await _read_part(reader, header.get("payload_length"), "payload_length")
    return kind, {**data, **(_object(body, "data") if body else {})}


async def _read_part(reader: asyncio.StreamReader, length: object, name: str) -> bytes:
    if length is None:
        return b""
    if not isinstance(length, int) or not 0 <= length <= MAX_DATA_BYTES:
        raise protocol.ProtocolError(f"{name} is not a length up to {MAX_DATA_BYTES}")
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as error:
        raise protocol.ProtocolError("hung up within a message") from error


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise protocol.ProtocolError(f"{what} is not JSON") from error
    if not isinstance(value, dict):
        raise protocol.ProtocolError(f"{what} is not a JSON object")
    return value
