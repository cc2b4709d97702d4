"""Talks to a Wyoming service for one question: connects, asks, hands on what is answered.

The service is the owner's own, but everything that it says is bounded: sizes in
`receiver.wyoming_events`, time here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from wyoming.event import Event, async_write_event
from wyoming.handle import Handled, HandledChunk, HandledStop, NotHandled

from firmware.satellite.protocol import ProtocolError
from host_tools.receiver.cancellation import within
from host_tools.receiver.transcription import MAX_TEXT_CHARACTERS, clean
from host_tools.receiver.wyoming_events import WyomingEvent, connect, read_event

CONNECT_S = 5.0
#: Between two events of an answer.
EVENT_S = 10.0
#: Of one answer: thirty seconds of speech are some hundreds.
MAX_EVENTS = 10_000
#: From the question to the end of a handle service's answer.
HANDLE_S = 15.0


class PeerError(Exception):
    """Why a service does not answer, for the owner."""


async def ask(address: tuple[str, int], question: Event) -> AsyncIterator[WyomingEvent]:
    """Send a question to the service at `address` (host, port), and yield the events that it
    answers until it hangs up; raises PeerError.  Close the iterator to hang up (aclosing)."""
    where = f"{address[0]}:{address[1]}"
    try:
        reader, writer = await connect(address, CONNECT_S)
    except (OSError, asyncio.TimeoutError) as error:
        raise PeerError(f"cannot reach the service at {where}") from error
    try:
        await within(EVENT_S, async_write_event(question, writer))
        for _ in range(MAX_EVENTS):
            event = await within(EVENT_S, read_event(reader))
            if event is None:
                return
            yield event
        raise PeerError(f"the service at {where} sends more than {MAX_EVENTS} events")
    except asyncio.TimeoutError as error:
        raise PeerError(f"the service at {where} takes too long") from error
    except (OSError, ProtocolError) as error:
        raise PeerError(f"the service at {where} fails: {error}") from error
    finally:
        writer.transport.abort()


async def handle(address: tuple[str, int], text: str) -> str | None:
    """Ask a Wyoming handle service what to answer to `text`.

    Returns:
        The reply in one line of printable characters; None: it does not handle this.

    Raises:
        PeerError: it does not answer as agreed.
    """
    question = Event("transcript", {"text": text})
    try:
        return await within(HANDLE_S, _read_reply(address, question))
    except asyncio.TimeoutError as error:
        raise PeerError("the handle service takes too long") from error


async def _read_reply(address: tuple[str, int], question: Event) -> str | None:
    chunks = ""
    events = ask(address, question)
    try:
        async for kind, data, _ in events:
            if NotHandled.is_type(kind):
                return None
            if HandledStop.is_type(kind):
                return clean(chunks)
            text = data.get("text") or ""
            if not isinstance(text, str):
                raise PeerError(f"{kind} without text")
            if Handled.is_type(kind):
                return clean(text)
            if HandledChunk.is_type(kind):
                chunks = (chunks + text)[:MAX_TEXT_CHARACTERS]
    finally:
        await events.aclose()  # type: ignore[attr-defined]  # an async generator
    raise PeerError("the handle service hung up without an answer")
