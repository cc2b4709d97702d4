"""One connection of the receiver: carries out what the session of its device decides.

Limits what comes in: sizes (the decoder), time without data (the session), answers that a device
does not read.  Audio goes to the recordings only when a stream ended as agreed under a consent
that allows keeping.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import session as sessions
from host_tools.receiver.services import Services
from host_tools.receiver.transcription import Transcription, TranscriptionError

#: For a device to read our answers.
SEND_S = 5.0
READ_BYTES = 16384


class Connection:
    """One device that was let in: its name on our list, and the tag of its consent."""

    def __init__(
        self,
        services: Services,
        number: int,
        name: str,
        consent_tag: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.number = number
        self._services = services
        self._view = services.view
        self._name = name
        self._consent_tag = consent_tag
        self._reader = reader
        self._writer = writer
        self._transcription: Transcription | None = None
        now_s = asyncio.get_running_loop().time()
        self._session = sessions.Session(now_s, services.options.max_stream_ms)

    def tell(self, event: str, **fields: object) -> None:
        self._view.tell(event, connection=self.number, device=self._name, **fields)

    async def serve(self, address: str) -> None:
        """Read until the end, whatever ends it; then drop what was held."""
        self.tell("connected", address=address)
        reason = "receiver stopped"
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
            # A full or failing disk: nothing may be confirmed that was not done.
            reason = f"storage: {error.message}"
            await self._complain("storage failed")
        finally:
            self._writer.transport.abort()
            for action in self._session.close(reason):
                self._end(action)
            self.tell("disconnected", reason=reason)

    async def send(self, kind: str, data: dict | None = None) -> None:
        """One message, one write; raises OSError or TimeoutError when it is not read."""
        self._writer.write(protocol.encode(kind, data))
        await asyncio.wait_for(self._writer.drain(), SEND_S)

    async def stop(self, reason: str) -> bool:
        """End the running stream; returns whether there was one."""
        actions = self._session.stop(reason, asyncio.get_running_loop().time())
        for action in actions:
            await self._do(action)
        return bool(actions)

    async def _read(self) -> str:
        decoder = protocol.Decoder(protocol.MAX_PAYLOAD_BYTES)
        clock = asyncio.get_running_loop().time
        while True:
            left_s = max(0.0, self._session.deadline_s - clock())
            data = await asyncio.wait_for(self._reader.read(READ_BYTES), left_s)
            if not data:
                return "cut off" if decoder.is_within_message else "hung up"
            for event in decoder.feed(data):
                if event.type != protocol.AUDIO_CHUNK:
                    self.tell("received", type=event.type)
                for action in self._session.handle(event, clock()):
                    await self._do(action)

    async def _complain(self, text: str) -> None:
        try:
            await self.send(protocol.ERROR, {"text": text, "code": "protocol"})
            # Let it reach a peer that reads; not waiting for one that does not.
            self._writer.close()
            await asyncio.wait_for(self._writer.wait_closed(), 1.0)
        except (OSError, asyncio.TimeoutError):
            pass

    async def _do(self, action: sessions.Action) -> None:
        await self._ACTIONS[type(action)](self, action)

    async def _answer(self, action: sessions.Send) -> None:
        await self.send(action.type, action.data)

    async def _hear(self, action: sessions.Heard) -> None:
        self._view.level(action.audio)
        if self._transcription is not None:
            self._transcription.hear(action.audio)

    async def _consented(self, action: sessions.Consented) -> None:
        stream = action.stream
        self.tell(
            "consent",
            stream=stream.id,
            keep_recordings=stream.keep_recordings,
            share_for_training=stream.share_for_training,
            preroll_ms=stream.preroll_ms,
        )

    async def _detected(self, action: sessions.Detected) -> None:
        self.tell("detection", name=action.name)

    async def _begin(self, action: sessions.Began) -> None:
        self._services.counters.streams += 1
        self.tell("stream-start", stream=action.stream.id)
        if self._services.options.stt is not None:
            self._transcription = Transcription(self._services.options.stt)

    async def _ended(self, action: sessions.Ended) -> None:
        self._end(action)

    def _end(self, action: sessions.Ended) -> None:
        """Keep or drop the stream, and tell; raises HostToolError when it cannot be kept."""
        stream = action.stream
        recording = None
        transcription, self._transcription = self._transcription, None
        if transcription is not None:
            if action.is_complete:
                transcription.end()
                self._services.start(self._transcribe(stream.id, transcription))
            else:
                transcription.cancel()
        try:
            if action.is_complete and stream.keep_recordings and stream.audio:
                recording = self._services.recordings.add(
                    bytes(stream.audio),
                    consent=self._consent_tag,
                    share_for_training=stream.share_for_training,
                    preroll_ms=stream.preroll_ms,
                    wake_word=stream.wake_word,
                ).id
                self._services.counters.kept += 1
        finally:
            stream.audio = None
            samples = stream.bytes // protocol.WIDTH_BYTES
            self.tell(
                "stream-stop",
                stream=stream.id,
                reason=action.reason,
                samples=samples,
                bytes=stream.bytes,
                duration_ms=samples * 1000 // protocol.RATE_HZ,
                sha256=stream.sha256.hexdigest(),
                recording=recording,
            )

    async def _transcribe(self, stream: str, transcription: Transcription) -> None:
        try:
            text = await transcription.text()
        except TranscriptionError as error:
            self.tell("transcript-failed", stream=stream, reason=str(error))
        else:
            self.tell("transcript", stream=stream, text=text)

    async def _withdraw(self, action: sessions.Withdrawn) -> None:
        """Delete or unshare what was kept under this device's consent, then confirm."""
        self.tell(
            "withdrawn",
            keep_recordings=action.keep_recordings,
            share_for_training=action.share_for_training,
        )
        count = 0
        if not action.keep_recordings:
            count = self._services.recordings.delete_under(self._consent_tag)
        elif not action.share_for_training:
            self._services.recordings.unshare(self._consent_tag)
        self.tell("deleted", count=count, reason="consent withdrawn")
        await self.send(protocol.DELETED, {"count": count})

    #: What the session may ask for, and what carries it out.
    _ACTIONS: ClassVar[dict[type, Callable[[Connection, Any], Awaitable[None]]]] = {
        sessions.Send: _answer,
        sessions.Heard: _hear,
        sessions.Consented: _consented,
        sessions.Detected: _detected,
        sessions.Began: _begin,
        sessions.Ended: _ended,
        sessions.Withdrawn: _withdraw,
    }
