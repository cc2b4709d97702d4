"""One connection of the receiver: carries out what the session of its device decides.

Limits what comes in: sizes (the decoder), time without data (the session), answers that a device
does not read.  Audio goes to the recordings only when a stream ended as agreed under a consent
that allows keeping.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import asdict
from typing import Any, ClassVar

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import session as sessions
from host_tools.receiver.admission import READ_BYTES
from host_tools.receiver.assistant import Assistant, ConnectionLost
from host_tools.receiver.cancellation import within
from host_tools.receiver.devices import Device
from host_tools.receiver.keeping import Keeping
from host_tools.receiver.satellite import ConnectedSatellite
from host_tools.receiver.services import Services
from host_tools.receiver.sounds import Sounds
from host_tools.receiver.speaking import Speaking
from host_tools.receiver.withdrawal import Wishes

#: For a device to read our answers.
SEND_S = 5.0


class Connection:
    """One device that was let in."""

    def __init__(
        self,
        services: Services,
        number: int,
        device: Device,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.number = number
        self._services = services
        self._view = services.view
        self.device = device
        #: Why this side gave the connection up; None while it serves.
        self.dropped: str | None = None
        self._reader = reader
        self._writer = writer
        now_s = asyncio.get_running_loop().time()
        self._session = sessions.Session(now_s, services.options.max_stream_ms)
        self._keeping = Keeping(services, self)
        self._speaking = Speaking(self)
        self._satellite = ConnectedSatellite(self, device, self._speaking)
        self._is_known = False  # to the assistants
        self._was_speaking = False
        self._asked_to_withdraw: str | None = None  # the request

    def emit(self, event: str, **fields: object) -> None:
        self._view.emit(event, connection=self.number, device=self.device.name, **fields)

    async def serve(self, address: str) -> None:
        """Read until the end, whatever ends it; then drop what was held."""
        self.emit("connected", address=address)
        reason = "receiver stopped"
        self._is_known = True
        self._tell(Assistant.connected)
        try:
            reason = await self._read()
        except protocol.ProtocolError as error:
            reason = f"protocol: {error}"
            await self._complain(str(error))
        except asyncio.TimeoutError:
            reason = "timeout"
        except OSError:
            reason = "lost"
        except HostToolError as error:
            # A full or failing disk.
            reason = f"storage: {error.message}"
            await self._complain("storage failed")
        finally:
            self._writer.transport.abort()
            self._abandon(reason)
            self.emit("disconnected", reason=self.dropped or reason)

    def drop(self, reason: str) -> None:
        """Give the connection up: what it held is gone when this returns."""
        self.dropped = reason
        self._abandon(reason)
        self._writer.transport.abort()

    def _tell(self, method: Callable[..., None], *arguments: object) -> None:
        """Tell every assistant."""
        self._services.assistants.tell(method, self._satellite, *arguments)

    @property
    def sounds(self) -> Sounds:
        """What the device was asked to play."""
        return self._session.sounds

    @property
    def is_in_stream(self) -> bool:
        """Whether the device sends a stream, or has yet to end one."""
        return self._session.is_in_stream

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside everything else."""
        self._services.start(coroutine)

    async def send(
        self, kind: str, data: dict[str, Any] | None = None, payload: bytes = b""
    ) -> None:
        """One message, one write; raises OSError or TimeoutError when it is not read."""
        message = protocol.encode(kind, data, payload)
        counts = self._services.meter.of(self.device.id)
        if self._is_busy:
            counts.stream_sent += len(message) - len(payload)
        else:
            counts.sent += len(message)
            counts.messages += 1
        self._writer.write(message)
        await within(SEND_S, self._writer.drain())

    async def stop(self, reason: str) -> bool:
        """End the running stream and what is spoken; returns whether there was anything."""
        is_speaking = self.sounds.current is not None
        with contextlib.suppress(ConnectionLost):  # whoever reads from the device tells
            await self._speaking.stop()
        return await self._stop_stream(reason) or is_speaking

    async def ask_to_withdraw(self) -> bool:
        """Ask the device to take its consent back, if its owner did and it can be asked."""
        withdrawal = self._services.withdrawals.of(self.device.id)
        if withdrawal is None or not withdrawal.is_pending:
            return False
        if self._satellite.status is None or not self._satellite.status.withdraw:
            return False
        if self._asked_to_withdraw != withdrawal.request:
            self._asked_to_withdraw = withdrawal.request
            await self.send(protocol.CONSENT_WITHDRAW, {"id": withdrawal.request})
        return True

    async def _stop_stream(self, reason: str) -> bool:
        actions = self._session.stop(reason, asyncio.get_running_loop().time())
        for action in actions:
            await self._do(action)
        return bool(actions)

    def end_stream(self, stream: str) -> None:
        """End this stream soon, if it is the running one."""
        self._services.start(self._end_stream(stream))

    async def _end_stream(self, stream: str) -> None:
        running = self._session.stream
        if running is None or running.id != stream:
            return
        with contextlib.suppress(OSError, asyncio.TimeoutError):  # as above
            await self._stop_stream("enough was heard")

    async def _read(self) -> str:
        decoder = protocol.Decoder(protocol.MAX_PAYLOAD_BYTES)
        clock = asyncio.get_running_loop().time
        while True:
            left_s = max(0.0, self._session.deadline_s - clock())
            data = await within(left_s, self._reader.read(READ_BYTES))
            if not data:
                return "cut off" if decoder.is_within_message else "hung up"
            await self._take(decoder.feed(data), len(data))
            if self.dropped is not None:
                return self.dropped

    async def _take(self, events: protocol.Decoder, size: int) -> None:
        """Handle what came in `size` bytes, and count those that are no audio."""
        clock = asyncio.get_running_loop().time
        is_busy, messages, audio = self._is_busy, 0, 0
        try:
            for event in events:
                if self.dropped is not None:
                    return
                messages += 1
                if event.type == protocol.AUDIO_CHUNK:
                    audio += len(event.payload)
                else:
                    self.emit("received", type=event.type)
                for action in self._session.handle(event, clock()):
                    await self._do(action)
                is_busy = is_busy or self._is_busy
        finally:
            counts = self._services.meter.of(self.device.id)
            if is_busy:
                counts.stream_received += size - audio
            else:
                counts.received += size
                counts.messages += messages

    @property
    def _is_busy(self) -> bool:
        """Whether a stream or a sound goes on."""
        return self.is_in_stream or self.sounds.current is not None

    async def _complain(self, text: str) -> None:
        try:
            await self.send(protocol.ERROR, {"text": text, "code": "protocol"})
            # Let it reach a peer that reads; not waiting for one that does not.
            self._writer.close()
            await within(1.0, self._writer.wait_closed())
        except (OSError, asyncio.TimeoutError):
            pass

    async def _do(self, action: sessions.Action) -> None:
        await self._ACTIONS[type(action)](self, action)

    async def _answer(self, action: sessions.Send) -> None:
        await self.send(action.type, action.data)

    async def _hear(self, action: sessions.Heard) -> None:
        self._view.level(action.audio)
        self._tell(Assistant.stream_audio, action.stream.id, action.audio)

    async def _consented(self, action: sessions.Consented) -> None:
        stream = action.stream
        self.emit(
            "consent",
            stream=stream.id,
            keep_recordings=stream.keep_recordings,
            share_for_training=stream.share_for_training,
            preroll_ms=stream.preroll_ms,
        )

    async def _detected(self, action: sessions.Detected) -> None:
        self.emit("detection", name=action.name)

    async def _begin(self, action: sessions.Began) -> None:
        action.stream.began_s = time.time()
        self._services.counters.streams += 1
        self.emit("stream-start", stream=action.stream.id)
        self._tell(Assistant.stream_started, action.stream.id, action.stream.wake_word)

    async def _end(self, action: sessions.Ended) -> None:
        self._conclude(action)

    def _abandon(self, reason: str) -> None:
        """Drop what the session holds; the device is gone."""
        for action in self._session.close(reason):
            self._conclude(action)
        if self._is_known:
            self._is_known = False
            self._speaking.lose()
            self._tell(Assistant.disconnected)

    def _conclude(self, action: sessions.Ended) -> None:
        """Tell whoever listens that the stream is over, and keep it if that is allowed."""
        found = self._services.assistants.destinations(self._satellite)
        action.stream.destinations = tuple(sorted(found))
        self._tell(Assistant.stream_ended, action.stream.id, action.is_complete)
        self._keeping.end(action)

    async def _withdraw(self, action: sessions.Withdrawn) -> None:
        wishes = Wishes(action.keep_recordings, action.share_for_training)
        self._keeping.withdraw(wishes, action.request)

    async def _anchor(self, action: sessions.Anchored) -> None:
        self._keeping.anchor(action.seq, action.hash)

    async def _told(self, action: sessions.Told) -> None:
        self._satellite.status = status = action.status
        self.emit("status", **asdict(status))
        self._keeping.status(status)
        self._tell(Assistant.status_changed)
        await self.ask_to_withdraw()

    async def _changed(self, action: sessions.Changed) -> None:
        self._speaking.changed()
        if self._satellite.is_speaking != self._was_speaking:
            self._was_speaking = not self._was_speaking
            self._tell(Assistant.sound_changed)

    #: What the session may ask for, and what carries it out.
    _ACTIONS: ClassVar[dict[type, Callable[[Connection, Any], Awaitable[None]]]] = {
        sessions.Send: _answer,
        sessions.Heard: _hear,
        sessions.Consented: _consented,
        sessions.Detected: _detected,
        sessions.Began: _begin,
        sessions.Ended: _end,
        sessions.Withdrawn: _withdraw,
        sessions.Anchored: _anchor,
        sessions.Told: _told,
        sessions.Changed: _changed,
    }
