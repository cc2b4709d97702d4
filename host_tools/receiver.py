"""The receiver's server: accepts devices over TLS and carries out what their sessions decide.

Limits everything that comes in: handshakes at a time, connections, sizes (the decoder), time
without data (the session), answers that a device does not read.  Audio goes to the recordings only
when a stream ended as agreed under a consent that allows keeping.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from dataclasses import dataclass

from wyoming.error import Error
from wyoming.event import Event

from host_tools import receiver_session as sessions
from host_tools.authority import Authority
from host_tools.device_list import DeviceList
from host_tools.errors import HostToolError
from host_tools.firmware import protocol
from host_tools.receiver_view import View
from host_tools.recordings import Recordings
from host_tools.transcription import Transcription, TranscriptionError

HANDSHAKE_S = 10.0
MAX_HANDSHAKES = 32
#: For a device to read our answers.
SEND_S = 5.0
WRITE_BUFFER_BYTES = 4096
EXPIRY_S = 60.0
_READ_BYTES = 16384
_NO_DEVICE = "insecure"

_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate",
    "WRONG_VERSION_NUMBER": "not TLS",
    "HTTP_REQUEST": "not TLS",
    "UNEXPECTED_MESSAGE": "not TLS",
    "UNSUPPORTED_PROTOCOL": "a TLS version below 1.2",
    "CERTIFICATE_VERIFY_FAILED": "a certificate that is not ours or has expired",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know our certificate",
    "TLSV1_ALERT_DECRYPT_ERROR": "it refused our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refused our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it refused our certificate",
}


@dataclass(frozen=True)
class Options:
    host: str
    port: int
    #: None: plain text, anybody.
    tls: ssl.SSLContext | None
    max_stream_ms: int
    max_connections: int
    #: Host and port of the speech-to-text server.
    stt: tuple[str, int] | None


class Refused(Exception):
    """Why a peer may not come in."""


class Receiver:
    """`run` serves until it is cancelled; `mute`, `stop` and `send` go to every device."""

    def __init__(
        self,
        options: Options,
        authority: Authority,
        devices: DeviceList,
        recordings: Recordings,
        view: View,
    ) -> None:
        self._options = options
        self._authority = authority
        self._devices = devices
        self._recordings = recordings
        self._view = view
        self._tasks: set[asyncio.Task] = set()
        self._connections: dict[int, _Connection] = {}
        self._main: asyncio.Task | None = None
        self._failure: BaseException | None = None
        self._handshakes = 0
        self._numbers = 0
        self.streams = 0
        self.kept = 0

    async def run(self, name: str) -> None:
        """Listen, tell where, and serve; `name` is the one in our certificate."""
        listener = _listen(self._options.host, self._options.port)
        self._main = asyncio.current_task()
        try:
            host, port = listener.getsockname()[:2]
            self._view.tell(
                "listening",
                host=host,
                port=port,
                name=name,
                is_secure=self._options.tls is not None,
                authority=self._authority.fingerprint,
            )
            self._start(self._expire())
            loop = asyncio.get_running_loop()
            while True:
                try:
                    peer, address = await loop.sock_accept(listener)
                except OSError as error:  # out of file descriptors, for instance
                    self._view.tell("warning", message=f"cannot accept: {error}")
                    await asyncio.sleep(1.0)
                    continue
                self._start(self._meet(peer, f"{address[0]}:{address[1]}"))
        except asyncio.CancelledError:
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def command(self, words: str) -> None:
        """An owner's word to every device: `mute`, `stop`, or `send TYPE`; others are ignored."""
        for connection in list(self._connections.values()):
            try:
                if words == "stop":
                    await connection.stop("receiver")
                elif words == "mute":
                    await connection.send(Event(protocol.MUTE))
                elif words.startswith("send "):
                    await connection.send(Event(words[5:].strip()))
            except (protocol.ProtocolError, HostToolError, OSError, asyncio.TimeoutError) as error:
                self._view.tell("warning", message=f"{words!r} was not sent: {error}")

    def _start(self, coroutine) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task) -> None:
        """A task that fails unexpectedly ends the receiver: nothing goes on half broken."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            if self._main is not None:
                self._main.cancel()

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRY_S)
            try:
                if count := self._recordings.expire():
                    self._view.tell("deleted", count=count, reason="expired")
            except HostToolError as error:
                self._view.tell("warning", message=error.message)

    async def _meet(self, peer: socket.socket, address: str) -> None:
        """From an accepted socket to the end of its connection."""
        try:
            reader, writer = await self._admit(peer)
            try:
                name, consent_tag = self._identify(writer)
            except BaseException:
                writer.transport.abort()
                raise
        except Refused as refusal:
            self._view.tell("refused", address=address, reason=str(refusal))
            return
        except HostToolError as error:  # the list of devices cannot be read
            self._view.tell("refused", address=address, reason=error.message)
            return
        self._numbers += 1
        connection = _Connection(self, self._numbers, name, consent_tag, reader, writer)
        self._connections[connection.number] = connection
        try:
            await connection.serve(address)
        finally:
            del self._connections[connection.number]

    def _identify(self, writer: asyncio.StreamWriter) -> tuple[str, str]:
        """The device's name on our list and its consent tag; raises Refused."""
        if len(self._connections) >= self._options.max_connections:
            raise Refused("too many connections")
        if self._options.tls is None:
            return _NO_DEVICE, _NO_DEVICE
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        device = self._devices.find(certificate) if certificate else None
        if device is None:
            raise Refused("its certificate is not on the list of devices")
        return device.name, self._authority.consent_tag(certificate)

    async def _admit(
        self, peer: socket.socket
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The TLS handshake; raises Refused with the peer hung up on."""
        is_full = len(self._connections) >= self._options.max_connections
        if is_full or self._handshakes >= MAX_HANDSHAKES:
            peer.close()
            raise Refused("too many connections")
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ_BYTES)
        streams = asyncio.StreamReaderProtocol(reader)
        tls = self._options.tls
        self._handshakes += 1
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: streams,
                peer,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_S if tls else None,
            )
        except ssl.SSLError as error:
            reason = _REASONS.get(error.reason or "", error.reason or "TLS failed")
            raise Refused(reason) from error
        except OSError as error:
            raise Refused("no TLS handshake in time, or hung up during it") from error
        finally:
            self._handshakes -= 1
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        return reader, asyncio.StreamWriter(transport, streams, reader, loop)


class _Connection:
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
        self._view = receiver._view
        self._name = name
        self._consent_tag = consent_tag
        self._reader = reader
        self._writer = writer
        self._transcription: Transcription | None = None
        now_s = asyncio.get_running_loop().time()
        self._session = sessions.Session(now_s, receiver._options.max_stream_ms)

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
            data = await asyncio.wait_for(self._reader.read(_READ_BYTES), left_s)
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
            if self._receiver._options.stt is not None:
                self._transcription = Transcription(self._receiver._options.stt)
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
                self._receiver._start(self._transcribe(stream.id, transcription))
            else:
                transcription.cancel()
        try:
            if action.is_complete and stream.keep_recordings and stream.audio:
                recording = self._receiver._recordings.add(
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
            count = self._receiver._recordings.delete_under(self._consent_tag)
        elif not action.share_for_training:
            self._receiver._recordings.unshare(self._consent_tag)
        self.tell("deleted", count=count, reason="consent withdrawn")
        await self.send(Event(protocol.DELETED, {"count": count}))


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=64)
    except OSError as error:
        raise HostToolError(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            "name another --port, or an address of this machine with --host",
        ) from error
    listener.setblocking(False)
    return listener
