"""Speaks to one device: one sound after the other, within the credit that the device gives.

The device sets the pace: it gives credit as it plays.  A device that does not answer in time is
given up, as one is that does not read.  docs/protocol.md, "Sound", has the order of messages.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from firmware.satellite import protocol
from host_tools.receiver.assistant import (
    END,
    RECEIVER,
    TOO_MANY,
    ConnectionLost,
    Played,
    SpeakRefused,
)
from host_tools.receiver.cancellation import within
from host_tools.receiver.sound_source import SoundSource
from host_tools.receiver.sounds import Sound, Sounds

#: For a device to answer a request, and to give credit or an end while it holds all that it may.
ANSWER_S = 10.0
#: More than the longest that a chime rings.
CHIME_S = protocol.MAX_SPEECH_MS / 1000 + ANSWER_S
#: Sounds that may wait for their turn.
MAX_WAITING = 8

_BYTES_PER_MS = protocol.RATE_HZ * protocol.WIDTH_BYTES // 1000
_FORMAT = {
    "rate": protocol.RATE_HZ,
    "width": protocol.WIDTH_BYTES,
    "channels": protocol.CHANNELS,
}


class Line(Protocol):
    """What is needed of the device's connection."""

    @property
    def sounds(self) -> Sounds:
        """What the device was asked to play."""

    @property
    def is_in_stream(self) -> bool:
        """Whether the device sends a stream, or has yet to end one."""

    async def send(
        self, kind: str, data: dict[str, Any] | None = None, payload: bytes = b""
    ) -> None:
        """Send a message; raises OSError or TimeoutError."""

    def drop(self, reason: str) -> None:
        """Give the connection up."""

    def emit(self, event: str, **fields: object) -> None:
        """Tell the owner."""

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside everything else."""


class Speaking:
    """`changed` is to be called after every message that a sound may wait for."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._news = asyncio.Event()
        self._stops = 0
        self._is_lost = False

    def changed(self) -> None:
        """Look again at the sound and the stream."""
        news, self._news = self._news, asyncio.Event()  # of which nobody misses the end
        news.set()

    def lose(self) -> None:
        """The device is gone: whoever waits for it is told."""
        self._is_lost = True
        self.changed()

    def check(self) -> None:
        """Raise ConnectionLost when the device is gone."""
        if self._is_lost:
            raise ConnectionLost("the device is gone")

    async def speak(
        self, kind: str, audio: AsyncIterator[bytes], stream: str | None, length_ms: int
    ) -> Played:
        """See assistant.Satellite."""
        request: dict[str, Any] = {"kind": kind, "length_ms": length_ms}
        source = SoundSource(audio, length_ms * _BYTES_PER_MS, self.changed)
        try:
            played = await self._play(protocol.SPEAK, request, stream, source)
        finally:
            source.close()
        if source.failure is not None:
            raise source.failure
        return played

    async def chime(self, kind: str, stream: str | None) -> Played:
        """See assistant.Satellite."""
        return await self._play(protocol.CHIME, {"kind": kind}, stream, None)

    async def stop(self) -> None:
        """End what is being played, and drop what waits for its turn."""
        self._stops += 1
        self.changed()
        sound = self._line.sounds.current
        if sound is not None:
            await self._stop(sound)

    async def _play(
        self, message: str, request: dict[str, Any], stream: str | None, source: SoundSource | None
    ) -> Played:
        if self._waiting >= MAX_WAITING:
            raise SpeakRefused(TOO_MANY)
        self._waiting += 1
        stops = self._stops
        try:
            if source is not None:
                await self._until(lambda: source.is_ready or stops != self._stops)
            async with self._turn:
                await self._until(lambda: self._is_free or stops != self._stops)
                if stops != self._stops:
                    return Played(0, RECEIVER)
                if source is not None and source.is_empty:
                    return Played(0, END)
                return await self._play_now(message, request, stream, source)
        finally:
            self._waiting -= 1

    @property
    def _is_free(self) -> bool:
        return self._line.sounds.current is None and not self._line.is_in_stream

    async def _play_now(
        self, message: str, request: dict[str, Any], stream: str | None, source: SoundSource | None
    ) -> Played:
        sound = Sound(secrets.token_hex(8), request["kind"], source is None, stream)
        data = {"id": sound.id, **request, **({} if stream is None else {"stream": stream})}
        self._line.sounds.ask(sound)
        try:
            await self.send(message, data)
            await self._until(lambda: sound.is_answered, ANSWER_S)
            if sound.refused is not None:
                self._emit(sound, "speak-refused", why=sound.refused)
                raise SpeakRefused(sound.refused)
            self._emit(sound, "speaking")
            if source is not None and not (sound.is_stopped or sound.is_over):
                await self._send_audio(sound, source)
            await self._until(lambda: sound.is_over, CHIME_S if source is None else ANSWER_S)
        except asyncio.CancelledError:
            if not sound.is_over and not self._is_lost:
                self._line.start(self._wind_up(sound))
            raise
        assert sound.played is not None
        self._report(sound, sound.played)
        return sound.played

    async def _send_audio(self, sound: Sound, source: SoundSource) -> None:
        """Send what the credit allows, as it comes, until the sound is over or all was sent."""
        await self.send(protocol.AUDIO_START, _FORMAT)
        sound.is_open = True
        while not sound.is_over and not sound.is_stopped and not source.is_empty:
            if count := source.size(sound.credit):
                piece = source.take(count)
                sound.spend(piece)
                await self.send(protocol.AUDIO_CHUNK, _FORMAT, piece)
            else:
                await self._until_more(sound, source)
        if source.failure is not None:
            await self._stop(sound)
        await self._close(sound)

    async def _until_more(self, sound: Sound, source: SoundSource) -> None:
        """Wait for audio as long as it takes; for the device's credit not longer than ANSWER_S."""
        waits_for_device = source.wants_credit
        await self._until(
            lambda: (
                source.size(sound.credit) > 0
                or source.is_empty
                or source.wants_credit != waits_for_device
                or sound.is_over
                or sound.is_stopped
            ),
            ANSWER_S if waits_for_device else None,
        )

    async def _stop(self, sound: Sound) -> None:
        if not sound.is_stopped and not sound.is_over:
            sound.is_stopped = True
            self.changed()
            await self.send(protocol.SPEAK_STOP, {"id": sound.id})

    async def _close(self, sound: Sound) -> None:
        """Say that no more audio comes: the device takes no other sound before."""
        if sound.is_open:
            sound.is_open = False
            await self.send(protocol.AUDIO_STOP)

    async def _wind_up(self, sound: Sound) -> None:
        """End a sound that nobody waits for any more."""
        try:
            await self._stop(sound)
            await self._close(sound)
            await self._until(lambda: sound.is_over, ANSWER_S)
        except ConnectionLost:
            return
        if sound.played is not None:
            self._report(sound, sound.played)

    async def _until(self, is_so: Callable[[], bool], limit_s: float | None = None) -> None:
        """Wait; a device that lets us wait longer than `limit_s` is given up."""
        clock = asyncio.get_running_loop().time
        until_s = None if limit_s is None else clock() + limit_s
        while not is_so():
            self.check()
            left_s = None if until_s is None else max(0.0, until_s - clock())
            try:
                await within(left_s, self._news.wait())
            except asyncio.TimeoutError:
                self._line.drop("silent within a sound")

    async def send(
        self, kind: str, data: dict[str, Any] | None = None, payload: bytes = b""
    ) -> None:
        """Send a message; raises ConnectionLost."""
        self.check()
        try:
            await self._line.send(kind, data, payload)
        except (OSError, asyncio.TimeoutError) as error:
            self._line.drop("does not read")
            raise ConnectionLost("the device does not read") from error

    def _report(self, sound: Sound, played: Played) -> None:
        self._emit(
            sound,
            "played",
            ms=played.ms,
            why=played.why,
            samples=sound.sent_bytes // protocol.WIDTH_BYTES,
            sha256=sound.sha256.hexdigest(),
        )

    def _emit(self, sound: Sound, event: str, **fields: object) -> None:
        kind = f"{sound.kind} chime" if sound.is_chime else sound.kind
        self._line.emit(event, sound=sound.id, kind=kind, stream=sound.stream, **fields)
