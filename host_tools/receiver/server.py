"""The receiver's server: listens, lets in the devices that it knows over TLS, and no one else.

Limits what comes in before anybody is known: handshakes at a time, their length, connections.
What a device that was let in may do is in `connection`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Coroutine
from typing import Any

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver.authority import Authority
from host_tools.receiver.connection import READ_BYTES, Connection
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.services import Counters, Options, Services
from host_tools.receiver.view import View

HANDSHAKE_S = 10.0
MAX_HANDSHAKES = 32
WRITE_BUFFER_BYTES = 4096
EXPIRY_S = 60.0
_NO_DEVICE = "insecure"

_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "no certificate",
    "WRONG_VERSION_NUMBER": "not TLS",
    "HTTP_REQUEST": "not TLS",
    "UNEXPECTED_MESSAGE": "not TLS",
    "UNSUPPORTED_PROTOCOL": "a TLS version below 1.2",
    "CERTIFICATE_VERIFY_FAILED": "a certificate that is not ours or has expired",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not know our certificate "
    "(was the board provisioned with another --data?)",
    "TLSV1_ALERT_DECRYPT_ERROR": "it refused our certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it refused our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it refused our certificate",
}


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
        self.counters = Counters()
        self._services = Services(options, recordings, view, self.start, self.counters)
        self._tasks: set[asyncio.Task] = set()
        self._connections: dict[int, Connection] = {}
        self._main: asyncio.Task | None = None
        self._failure: BaseException | None = None
        self._handshakes = 0
        self._numbers = 0

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
            self.start(self._expire())
            loop = asyncio.get_running_loop()
            while True:
                try:
                    peer, address = await loop.sock_accept(listener)
                except OSError as error:  # out of file descriptors, for instance
                    self._view.tell("warning", message=f"cannot accept: {error}")
                    await asyncio.sleep(1.0)
                    continue
                self.start(self._meet(peer, f"{address[0]}:{address[1]}"))
        except asyncio.CancelledError:
            if self._failure is not None:
                raise self._failure from None
            raise
        finally:
            listener.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def command(self, line: str) -> None:
        """Carry out an owner's command for every device: `mute`, `stop`, or `send TYPE`."""
        verb, _, kind = line.partition(" ")
        if not line:
            return
        if verb not in ("mute", "stop", "send") or (verb == "send") != bool(kind):
            message = f"unknown command {line!r}; it is mute, stop, or send TYPE"
            self._view.tell("warning", message=message)
            return
        if not self._connections:
            self._view.tell("warning", message=f"{line!r} reached nobody: no device is connected")
        for connection in list(self._connections.values()):
            try:
                if verb == "stop":
                    if not await connection.stop("receiver"):
                        connection.tell("warning", message="nothing to stop: no stream is running")
                elif verb == "mute":
                    await connection.send(protocol.MUTE)
                elif verb == "send":
                    await connection.send(kind.strip())
            except (protocol.ProtocolError, HostToolError, OSError, asyncio.TimeoutError) as error:
                self._view.tell("warning", message=f"{line!r} was not sent: {error}")

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run it beside everything else, until the receiver ends."""
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
        connection = Connection(self._services, self._numbers, name, consent_tag, reader, writer)
        self._connections[connection.number] = connection
        try:
            await connection.serve(address)
        finally:
            del self._connections[connection.number]
            writer.transport.abort()

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
        reader = asyncio.StreamReader(limit=READ_BYTES)
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


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=64)
    except OSError as error:
        hint = "name another --port, or an address of this machine with --host"
        if error.errno == errno.EADDRINUSE:
            hint = "is another `earnest receive` running? stop it, or name another --port"
        raise HostToolError(
            f"cannot listen on {host} port {port}: {error.strerror or error}", hint
        ) from error
    listener.setblocking(False)
    return listener
