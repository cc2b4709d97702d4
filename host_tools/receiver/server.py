"""The receiver's server: listens, lets in the devices that it knows over TLS, and no one else.

A device has one connection: a newer one replaces the older, whose stream is dropped.
What a device that was let in may do is in `connection`.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Coroutine
from typing import Any

from firmware.satellite.protocol import ProtocolError
from host_tools.errors import HostToolError
from host_tools.receiver.admission import Refused, handshake
from host_tools.receiver.anchors import Anchors
from host_tools.receiver.assistant import Assistant
from host_tools.receiver.assistants import Assistants
from host_tools.receiver.authority import Authority
from host_tools.receiver.cancellation import cancel_all
from host_tools.receiver.connection import Connection
from host_tools.receiver.console import message_of
from host_tools.receiver.devices import Device, DeviceList
from host_tools.receiver.handshakes import Dropped, Handshakes
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.services import Counters, Options, Services
from host_tools.receiver.statuses import Statuses
from host_tools.receiver.upkeep import (
    enforce_retention,
    keep_counts,
    renew_certificate,
    share_nothing_more,
)
from host_tools.receiver.view import View
from host_tools.receiver.withdrawal import ANYBODY

#: How soon a device that is removed while it is connected is hung up on.
REMOVED_S = 2.0


class Receiver:
    """`run` serves until it is cancelled; `mute`, `stop` and `send` go to every device."""

    def __init__(
        self,
        options: Options,
        authority: Authority,
        devices: DeviceList,
        recordings: RecordingWorker,
        anchors: Anchors,
        statuses: Statuses,
        withdrawals: OwnerWithdrawals,
        view: View,
        assistants: tuple[Assistant, ...] = (),
    ) -> None:
        self._options = options
        self._authority = authority
        self._devices = devices
        self._recordings = recordings
        self._view = view
        self.counters = Counters()
        self._assistants = Assistants(assistants, view, self.start, recordings.heard)
        self._services = Services(
            options,
            recordings,
            anchors,
            statuses,
            withdrawals,
            view,
            self.start,
            self.counters,
            self._assistants,
        )
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: dict[int, Connection] = {}
        self._main: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._handshakes = Handshakes()
        self._numbers = 0

    async def run(self, name: str) -> None:
        """Listen, tell where, and serve; `name` is the one in our certificate."""
        listener = _listen(self._options.host, self._options.port)
        self._main = asyncio.current_task()
        try:
            host, port = listener.getsockname()[:2]
            self._view.emit(
                "listening",
                host=host,
                port=port,
                name=name,
                is_secure=self._options.tls is not None,
                authority=self._authority.fingerprint,
            )
            withdrawals = self._services.withdrawals
            self.start(share_nothing_more(self._recordings, withdrawals, self._view))
            self.start(enforce_retention(self._recordings, self._view))
            self.start(keep_counts(self._services.meter, self._recordings, self._view))
            if self._options.tls is not None:
                tls = self._options.tls
                self.start(renew_certificate(self._authority, tls, self._view))
                self.start(self._drop_removed())
            self._assistants.begin()
            loop = asyncio.get_running_loop()
            while True:
                try:
                    peer, address = await loop.sock_accept(listener)
                except OSError as error:  # out of file descriptors, for instance
                    self._view.emit("warning", message=f"cannot accept: {error}")
                    await asyncio.sleep(1.0)
                    continue
                self.start(self._meet(peer, address[0], address[1]))
        finally:
            listener.close()
            try:
                await cancel_all(self._tasks)
            finally:
                if self._failure is not None:
                    raise self._failure from None

    async def command(self, line: str) -> None:
        """Carry out an owner's command, one of console.COMMANDS, for every device."""
        if not line:
            return
        try:
            message = message_of(line)
        except HostToolError as error:
            self._view.emit("warning", message=f"{error.message}; {error.hint}")
            return
        if not self._connections:
            self._view.emit("warning", message=f"{line!r} reached nobody: no device is connected")
        for connection in list(self._connections.values()):
            try:
                if message is not None:
                    await connection.send(*message)
                elif not await connection.stop("receiver"):
                    connection.emit("warning", message="nothing to stop: no stream, no sound")
            except (ProtocolError, HostToolError, OSError, asyncio.TimeoutError) as error:
                self._view.emit("warning", message=f"{line!r} was not sent: {error}")

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside everything else, until the receiver ends."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        """End the receiver when a task fails unexpectedly: nothing goes on half broken."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failure = error
            if self._main is not None:
                self._main.cancel()

    async def _meet(self, peer: socket.socket, host: str, port: int) -> None:
        """From an accepted socket to the end of its connection."""
        address = f"{host}:{port}"
        try:
            with self._handshakes.one(host):
                reader, writer = await handshake(peer, self._options.tls)
        except Dropped:
            reason = "too many handshakes at a time; this was the oldest"
            self._view.emit("refused", address=address, reason=reason)
            return
        except Refused as refusal:
            self._view.emit("refused", address=address, reason=str(refusal))
            return
        try:
            await self._serve(reader, writer, address)
        finally:
            writer.transport.abort()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str
    ) -> None:
        """Serve a peer if it is a device of the list, in place of its older connection."""
        try:
            device = self._identify(writer)
            self._make_way(device)
        except Refused as refusal:
            self._view.emit("refused", address=address, reason=str(refusal))
            return
        except HostToolError as error:  # the list of devices cannot be read
            self._view.emit("refused", address=address, reason=error.message)
            return
        self._numbers += 1
        connection = Connection(self._services, self._numbers, device, reader, writer)
        self._connections[connection.number] = connection
        try:
            await connection.serve(address)
        finally:
            del self._connections[connection.number]

    def _identify(self, writer: asyncio.StreamWriter) -> Device:
        """Return the device as our list has it; raises Refused or HostToolError."""
        if self._options.tls is None:
            return ANYBODY
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        device = self._devices.find(certificate) if certificate else None
        if device is None:
            raise Refused("its certificate is not on the list of devices")
        self.start(self._adopt(self._recordings.adopt(device, certificate, self._authority)))
        return device

    def _make_way(self, device: Device) -> None:
        """Drop the device's older connection, which may be half dead; raises Refused."""
        serving = [c for c in self._connections.values() if c.dropped is None]
        if device is not ANYBODY:
            for connection in [c for c in serving if c.device.id == device.id]:
                connection.drop("replaced by a newer connection of the device")
                serving.remove(connection)
        if len(serving) >= self._options.max_connections:
            raise Refused("too many connections")

    async def _drop_removed(self) -> None:
        """End, for ever, the connections of certificates that are in the list no more: of a device
        that was removed, or from before a renewal."""
        while True:
            await asyncio.sleep(REMOVED_S)
            if not self._connections:
                continue
            try:
                listed = {device.fingerprint for device in self._devices.all()}
            except HostToolError:
                continue  # told at the next connection, which nobody gets then
            for connection in list(self._connections.values()):
                is_listed = connection.device.fingerprint in listed
                if connection.dropped is None and not is_listed:
                    connection.drop("removed from the list of devices")

    async def _adopt(self, adopting: asyncio.Future[list[str]]) -> None:
        """Wait until the device has what an earlier version kept for its certificate."""
        try:
            for left in await adopting:
                self._view.emit("warning", message=left)
        except HostToolError as error:
            self._view.emit("warning", message=error.message)


def _reason(error: OSError) -> str:
    """Return why a port cannot be had, without what `create_server` adds: the address again."""
    text: str = error.strerror or str(error)
    return text.partition(" (while attempting to bind")[0]


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=64)
    except OSError as error:
        hint = "name another --port, or an address of this machine with --host"
        if error.errno == errno.EADDRINUSE:
            hint = "is another `earnest receive` running? stop it, or name another --port"
        raise HostToolError(
            f"cannot listen on {host} port {port}: {_reason(error)}", hint
        ) from error
    listener.setblocking(False)
    return listener
