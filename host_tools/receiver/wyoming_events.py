"""Reads the events of a Wyoming server within limits: speech-to-text, handle, text-to-speech.

Not the device's decoder (firmware/satellite/protocol.py): an answer may be longer than what a
device may say, and may be of any type.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

from firmware.satellite import protocol
from host_tools.receiver.cancellation import within

#: Of one event.
MAX_HEADER_BYTES = 65536
MAX_DATA_BYTES = 1 << 20


class WyomingEvent(NamedTuple):
    type: str
    data: dict[str, Any]
    payload: bytes


async def connect(
    address: tuple[str, int], limit_s: float
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to (host, port) within this time; raises OSError, asyncio.TimeoutError."""
    opening = asyncio.open_connection(*address, limit=MAX_HEADER_BYTES)
    return await within(limit_s, opening, lambda streams: streams[1].transport.abort())


async def read_event(reader: asyncio.StreamReader) -> WyomingEvent | None:
    """Return the next event, or None at the end; raises ProtocolError, OSError.

    The reader is one of `connect`, and the caller sets the time.
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
    payload = await _read_part(reader, header.get("payload_length"), "payload_length")
    return WyomingEvent(kind, {**data, **(_object(body, "data") if body else {})}, payload)


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
