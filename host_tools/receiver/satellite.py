"""A connected device as its assistants see it: sends what they ask for, while there is one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from firmware.satellite import protocol
from host_tools.receiver.assistant import (
    KINDS,
    NO_SPEAKER,
    OLDER,
    REPLY,
    Played,
    SpeakRefused,
    Status,
)
from host_tools.receiver.devices import Device
from host_tools.receiver.speaking import Line, Speaking

_CHUNK_MS = 10


class StreamLine(Line, Protocol):
    """A connection whose streams can be ended."""

    def end_stream(self, stream: str) -> None:
        """Ask the device to end this stream, if it is the running one."""

    async def ask_to_withdraw(self) -> bool:
        """Ask the device to take its consent back, if its owner did; whether it was asked."""


class ConnectedSatellite:
    """See `assistant.Satellite`."""

    def __init__(self, line: StreamLine, device: Device, speaking: Speaking) -> None:
        self._line = line
        self._device = device
        self._speaking = speaking
        self.status: Status | None = None

    @property
    def id(self) -> str:
        return self._device.id

    @property
    def name(self) -> str:
        return self._device.name

    @property
    def is_speaking(self) -> bool:
        sound = self._line.sounds.current
        return sound is not None and sound.is_accepted

    def end_stream(self, stream: str) -> None:
        self._line.end_stream(stream)

    async def speak(
        self,
        kind: str,
        audio: AsyncIterator[bytes],
        *,
        stream: str | None = None,
        length_ms: int = protocol.MAX_SPEECH_MS,
    ) -> Played:
        assert kind in KINDS and (stream is not None) == (kind == REPLY), (kind, stream)
        self._check(kind, needs_speaker=True)
        whole_ms = -(-length_ms // _CHUNK_MS) * _CHUNK_MS  # devices count in chunks
        length_ms = min(max(_CHUNK_MS, whole_ms), protocol.MAX_SPEECH_MS)
        return await self._speaking.speak(kind, audio, stream, length_ms)

    async def chime(self, kind: str, *, stream: str | None = None) -> Played:
        assert kind in protocol.CHIME_KINDS
        self._check(f"{kind} chime", needs_speaker=True)
        return await self._speaking.chime(kind, stream)

    async def stop_speaking(self) -> None:
        await self._speaking.stop()

    async def mute(self) -> None:
        await self._speaking.send(protocol.MUTE)

    async def withdraw_consent(self) -> bool:
        self._speaking.check()
        return await self._line.ask_to_withdraw()

    async def set_volume(self, percent: int) -> None:
        self._check("volume", needs_speaker=False)
        await self._speaking.send(protocol.VOLUME, {"percent": min(max(0, percent), 100)})

    def _check(self, kind: str, needs_speaker: bool) -> None:
        """Raise unless the device takes messages that older firmware does not know."""
        self._speaking.check()
        if self.status is None:
            self._refuse(kind, OLDER)
        elif needs_speaker and not self.status.speaker:
            self._refuse(kind, NO_SPEAKER)

    def _refuse(self, kind: str, why: str) -> None:
        self._line.emit("speak-refused", kind=kind, why=why)
        raise SpeakRefused(why)
