"""What a device is asked for on Home Assistant's behalf: to speak, to ring, to mute.

Whatever the device refuses is told to the owner, and hurts nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from host_tools.home.announcement import AnnouncementError, samples_of
from host_tools.home.reply import Reply
from host_tools.receiver.assistant import (
    ANNOUNCEMENT,
    END,
    REPLY,
    ConnectionLost,
    Host,
    Satellite,
    SpeakRefused,
)


class Tell(Protocol):
    """Tells the owner an event of view.py about the device."""

    def __call__(self, event: str, **fields: object) -> None: ...


class Mouth:
    """One device's; `satellite` is None while it is not connected.

    Args:
        host: The receiver.
        tell: Tells the owner.
    """

    def __init__(self, host: Host, tell: Tell) -> None:
        self.satellite: Satellite | None = None
        self._host = host
        self._tell = tell
        self._reply: Reply | None = None
        self._speaking: asyncio.Task[Any] | None = None
        self._is_announcing = False

    def reply(self, stream: str, played: Callable[[bool], None]) -> Reply:
        """Return the reply to `stream`, which is spoken as it comes; `played` is called once, with
        whether all of it sounded, unless it is dropped."""
        if self._reply is None:
            self._reply = Reply()
            self._host.start(self._speak_reply(self._reply, stream, played))
        return self._reply

    def drop_reply(self) -> None:
        """Speak no more of the reply."""
        if self._reply is not None:
            self._reply.drop()
            self._reply = None
        if self._speaking is not None:
            self._speaking.cancel()
            self._speaking = None

    async def announce(self, urls: tuple[str, ...], peer: str) -> bool:
        """Fetch what is at the URLs from `peer` and speak it; returns whether all of it sounded.
        One at a time."""
        if self._is_announcing:
            self._cannot("to announce", "another announcement is not over")
            return False
        self._is_announcing = True
        try:
            announcement = Reply()
            for url in urls:
                announcement.put(await asyncio.to_thread(samples_of, url, peer))
            announcement.end()
            return await self._speak(ANNOUNCEMENT, announcement, None)
        except AnnouncementError as error:
            self._cannot("to announce", str(error))
            return False
        finally:
            self._is_announcing = False

    def ask(self, what: str, request: Callable[[Satellite], Coroutine[Any, Any, object]]) -> None:
        """Ask the device for something, beside everything else."""
        if self.satellite is None:
            self._cannot(what, "it is not connected")
        else:
            self._host.start(self._request(request, self.satellite))

    def _cannot(self, what: str, reason: str) -> None:
        self._tell("home-cannot", what=what, reason=reason)

    async def _request(
        self, request: Callable[[Satellite], Coroutine[Any, Any, object]], satellite: Satellite
    ) -> None:
        with contextlib.suppress(SpeakRefused, ConnectionLost):  # both are told by the receiver
            await request(satellite)

    async def _speak_reply(
        self, reply: Reply, stream: str, played: Callable[[bool], None]
    ) -> None:
        if reply is not self._reply:
            return  # dropped before it began
        self._speaking = asyncio.current_task()
        is_whole = False
        try:
            is_whole = await self._speak(REPLY, reply, stream)
        finally:
            if reply is self._reply:
                self._reply = self._speaking = None
                reply.drop()
                played(is_whole)

    async def _speak(self, kind: str, audio: Reply, stream: str | None) -> bool:
        """Return whether all of it was played."""
        if self.satellite is None:
            return False
        try:
            played = await self.satellite.speak(kind, audio.audio(), stream=stream)
        except (SpeakRefused, ConnectionLost):  # told by the receiver
            return False
        return played.why == END
