"""A connected device as its assistants see it: sends what they ask for, while there is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Protocol

from firmware.satellite import protocol
from host_tools.receiver.assistant import (
    MAX_SPEECH_MS,
    OLDER,
    ConnectionLost,
    Played,
    SpeakRefused,
    Status,
)
from host_tools.receiver.devices import Device


class Line(Protocol):
    """What is needed of the device's connection."""

    async def send(self, kind: str, data: dict[str, Any] | None = None) -> None:
        """Send a message; raises OSError or TimeoutError."""

    def end_stream(self, stream: str) -> None:
        """Ask the device to end this stream, if it is the running one."""


class ConnectedSatellite:
    """See `assistant.Satellite`."""

    def __init__(self, line: Line, device: Device) -> None:
        self._line = line
        self._device = device
        self._is_lost = False
        self.status: Status | None = None

    @property
    def id(self) -> str:
        return self._device.id

    @property
    def name(self) -> str:
        return self._device.name

    def lose(self) -> None:
        """The device is gone."""
        self._is_lost = True

    def end_stream(self, stream: str) -> None:
        if not self._is_lost:
            self._line.end_stream(stream)

    async def speak(
        self,
        kind: str,
        audio: AsyncIterator[bytes],
        *,
        stream: str | None = None,
        length_ms: int = MAX_SPEECH_MS,
    ) -> Played:
        self._check()
        raise SpeakRefused(OLDER)

    async def stop_speaking(self) -> None:
        """Nothing speaks."""

    async def mute(self) -> None:
        if self._is_lost:
            raise ConnectionLost(self.name)
        await self._send(protocol.MUTE)

    async def set_volume(self, percent: int) -> None:
        self._check()

    async def chime(self, kind: str) -> None:
        self._check()

    def _check(self) -> None:
        """Raise unless the device is there and takes messages that older firmware does not."""
        if self._is_lost:
            raise ConnectionLost(self.name)
        if self.status is None:
            raise SpeakRefused(OLDER)

    async def _send(self, kind: str) -> None:
        try:
            await self._line.send(kind)
        except (OSError, asyncio.TimeoutError) as error:
            raise ConnectionLost(self.name) from error
