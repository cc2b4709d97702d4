"""One connection of the receiver: carries out what the session of its device decides.

Limits what comes in: sizes (the decoder), time without data (the session), answers that a device
does not read.  Audio goes to the recordings only when a stream ended as agreed under a consent
that allows keeping.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from wyoming.error import Error
from wyoming.event import Event

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import session as sessions
from host_tools.receiver.transcription import Transcription, TranscriptionError

if TYPE_CHECKING:
    from host_tools.receiver.server import Receiver

#: For a device to read our answers.
SEND_S = 5.0
READ_BYTES = 16384


class Connection:
    """One device that was let in: its name on our list, and the tag of its consent."""

    def __init__(
        self,
        receiver: Receiver,
        number: int,
        name: str,
        consent_tag: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.number = number
        self._receiver = receiver
        self._view = receiver.view
        self._name = name
        self._consent_tag = consent_tag
        self._reader = reader
        self._writer = writer
        self._transcription: Transcription | None = None
        now_s = asyncio.get_running_loop().time()
        self._session = sessions.Session(now_s, receiver.options.max_stream_ms)

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

    async def send(self, event: Event) -> None:
        """One message, one write; raises OSError or TimeoutError when it is not read."""
        data = {name: value for name, value in event.data.items() if value is not None}
        self._writer.write(protocol.encode(event.type, data, event.payload or b""))
        await asyncio.wait_for(self._writer.drain(), SEND_S)

    async def stop(self, reason: str) -> None:
        now_s = asyncio.get_running_loop().time()
        for action in self._session.stop(reason, now_s):
            await self._do(action)

    async def _read(self) -> str:
        decoder = protocol.Decoder(protocol.MAX_PAYLOAD_BYTES)
        clock = asyncio.get_running_loop().time
        while True:
            left_s = max(0.0, self._session.deadline_s - clock())
            data = await asyncio.wait_for(self._reader.read(READ_BYTES), left_s)
            if not data:
                return "cut off" if decoder.is_within_message else "hung up"
            for event in decoder.feed(data):
                message = Event(event.type, event.data, event.payload or None)
                for action in self._session.handle(message, clock()):
                    await self._do(action)

    async def _complain(self, text: str) -> None:
        try:
            await self.send(Error(text=text, code="protocol").event())
            # Let it reach a peer that reads; not waiting for one that does not.
            self._writer.close()
            await asyncio.wait_for(self._writer.wait_closed(), 1.0)
        except (OSError, asyncio.TimeoutError):
            pass

    async def _do(self, action: sessions.Action) -> None:
        if isinstance(action, sessions.Send):
            await self.send(action.event)
        elif isinstance(action, sessions.Heard):
            self._view.level(action.audio)
            if self._transcription is not None:
                self._transcription.hear(action.audio)
        elif isinstance(action, sessions.Consented):
            stream = action.stream
            self.tell(
                "consent",
                stream=stream.id,
                keep_recordings=stream.keep_recordings,
                share_for_training=stream.share_for_training,
                preroll_ms=stream.preroll_ms,
            )
        elif isinstance(action, sessions.Detected):
            self.tell("detection", name=action.name)
        elif isinstance(action, sessions.Began):
            self._receiver.streams += 1
            self.tell("stream-start", stream=action.stream.id)
            if self._receiver.options.stt is not None:
                self._transcription = Transcription(self._receiver.options.stt)
        elif isinstance(action, sessions.Ended):
            self._end(action)
        elif isinstance(action, sessions.Withdrawn):
            await self._withdraw(action)

    def _end(self, action: sessions.Action) -> None:
        """Keep or drop the stream, and tell; raises HostToolError when it cannot be kept."""
        assert isinstance(action, sessions.Ended)
        stream = action.stream
        recording = None
        transcription, self._transcription = self._transcription, None
        if transcription is not None:
            if action.is_complete:
                transcription.end()
                self._receiver.start(self._transcribe(stream.id, transcription))
            else:
                transcription.cancel()
        try:
            if action.is_complete and stream.keep_recordings and stream.audio:
                recording = self._receiver.recordings.add(
                    bytes(stream.audio),
                    consent=self._consent_tag,
                    share_for_training=stream.share_for_training,
                    preroll_ms=stream.preroll_ms,
                    wake_word=stream.wake_word,
                ).id
                self._receiver.kept += 1
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
            count = self._receiver.recordings.delete_under(self._consent_tag)
        elif not action.share_for_training:
            self._receiver.recordings.unshare(self._consent_tag)
        self.tell("deleted", count=count, reason="consent withdrawn")
        await self.send(Event(protocol.DELETED, {"count": count}))
