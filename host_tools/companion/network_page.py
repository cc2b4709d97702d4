"""Serves the page for other computers, over TLS, to whoever signs in: an assistant.

A connection on which nobody has signed in costs memory and a socket: there are few of them, each
for a short time, and the oldest makes way.  As on this computer, the web framework is imported
when somebody comes for the first time.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ipaddress
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from host_tools.companion import factors
from host_tools.companion.access import Access
from host_tools.companion.archive import Archive
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.door import network
from host_tools.companion.network_names import names_for
from host_tools.companion.page import END_S, bind
from host_tools.errors import HostToolError
from host_tools.receiver.admission import HANDSHAKE_S
from host_tools.receiver.assistant import Assistant, Host
from host_tools.receiver.authority import Authority, colons
from host_tools.receiver.cancellation import within
from host_tools.receiver.handshakes import Dropped, Handshakes
from host_tools.receiver.page_certificate import PageCertificate

if TYPE_CHECKING:
    from aiohttp import web

DEFAULT_PORT = 10783
#: How long a connection may be open on which nobody has signed in, in seconds.
STRANGER_S = 30.0
_LOOK_S = 0.5
_RENEW_S = 3600.0
_PAUSE_S = 1.0
_HTTPS_ONLY = """HTTP/1.1 400 Bad Request\r
Content-Type: text/plain; charset=utf-8\r
Content-Length: {length}\r
Connection: close\r
\r
{text}"""


@dataclass(frozen=True)
class Place:
    """A socket that listens for other computers, the names that they know it by, and the
    certificate of those names."""

    listener: socket.socket
    names: Sequence[str]
    certificate: PageCertificate
    tls: ssl.SSLContext


def check_set_up(data: Path, address: str) -> None:
    """Raise HostToolError if `address` is none, or if nobody could sign in there."""
    try:
        ipaddress.ip_address(address)
    except ValueError as error:
        raise HostToolError(
            f"--page-host {address!r} is not an IP address",
            "an address of this computer, or 0.0.0.0 for all; a name goes to --page-name",
        ) from error
    if factors.load(data) is None:
        raise HostToolError(
            f"the page on {address} would let nobody in: no passphrase and code are set up",
            f"run `earnest companion --setup --data {data}` first",
        )


def listen(
    data: Path, address: str, port: int | None, given: Sequence[str], authority: Authority
) -> Place:
    """Return where the page is for other computers; `given` are names that its owner adds.

    Raises:
        HostToolError: nobody could sign in, or the address cannot be had.
    """
    check_set_up(data, address)
    names = names_for(address, given)
    if not names:
        raise HostToolError(
            f"no name of this computer is known for the page on {address}",
            "say how browsers reach it: --page-name ADDRESS_OR_NAME",
        )
    certificate = PageCertificate(authority, names)
    tls = certificate.context()
    port = DEFAULT_PORT if port is None else port
    try:
        listener = bind(address, port)
    except OSError as error:
        raise HostToolError(
            f"cannot serve the page on {address} port {port}: {error.strerror or error}",
            "name an address of this computer, or another --page-port",
        ) from error
    return Place(listener, names, certificate, tls)


class NetworkPage(Assistant):
    """The page at `place`, whose socket it owns from now on."""

    def __init__(self, place: Place, access: Access, now: DevicesNow, archive: Archive) -> None:
        self._place = place
        self._access = access
        self._now = now
        self._archive = archive
        self._port = place.listener.getsockname()[1]
        self.address = network(place.names, self._port).address
        self._strangers = Handshakes()
        self._known: dict[asyncio.BaseTransport, asyncio.Event] = {}
        self._runner: web.AppRunner | None = None
        self._starting = asyncio.Lock()

    def begin(self, host: Host) -> None:
        self._access.begin(host)
        host.start(self._run(host))
        host.start(self._renew(host))
        host.emit(
            "network-page",
            address=self.address,
            names=list(self._place.names),
            certificate=colons(self._place.certificate.fingerprint),
        )

    async def _run(self, host: Host) -> None:
        """Take connections until the receiver ends."""
        loop = asyncio.get_running_loop()
        with contextlib.closing(self._place.listener) as listener:
            try:
                while True:
                    try:
                        peer, address = await loop.sock_accept(listener)
                    except OSError as error:  # out of file descriptors, for instance
                        host.emit("warning", message=f"the page cannot accept: {error}")
                        await asyncio.sleep(_PAUSE_S)
                        continue
                    host.start(self._meet(host, peer, address[0]))
            finally:
                try:
                    if self._runner is not None:
                        await self._runner.cleanup()
                finally:
                    await self._access.end()

    async def _meet(self, host: Host, peer: socket.socket, address: str) -> None:
        """From an accepted socket to a session on it, or its end."""
        transport = None
        try:
            spare = peer.dup()
        except OSError:  # out of file descriptors
            peer.close()
            return
        try:
            with self._strangers.one(address):
                server = await self._server(host)
                transport = await self._handshake(server, peer, spare)
                if transport is not None:
                    spare.close()
                    await self._watch(transport)
        except Dropped:
            if transport is not None:
                transport.abort()
        finally:
            spare.close()
            if transport is None:
                peer.close()

    async def _handshake(
        self, server: web.Server, peer: socket.socket, spare: socket.socket
    ) -> asyncio.Transport | None:
        """Return the connection; None: there is none, and who spoke plain HTTP was told so."""
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.connect_accepted_socket(
                server, peer, ssl=self._place.tls, ssl_handshake_timeout=HANDSHAKE_S
            )
        except ssl.SSLError as error:
            if error.reason == "HTTP_REQUEST":
                text = f"This page is served over https only: {self.address}\n"
                answer = _HTTPS_ONLY.format(length=len(text), text=text).encode()
                with contextlib.suppress(OSError):
                    spare.send(answer)
                    spare.shutdown(socket.SHUT_WR)
            return None
        except OSError:  # hung up, or too slow
            return None
        return transport

    async def _watch(self, transport: asyncio.Transport) -> None:
        """Wait until somebody has a session on this connection; end it if nobody has."""
        known = self._known[transport] = asyncio.Event()
        waited_s = 0.0
        try:
            while not known.is_set() and not transport.is_closing():
                if waited_s >= STRANGER_S:
                    transport.abort()
                    return
                with contextlib.suppress(asyncio.TimeoutError):
                    await within(_LOOK_S, known.wait())
                waited_s += _LOOK_S
        finally:
            del self._known[transport]

    def _know(self, transport: asyncio.BaseTransport) -> None:
        """Somebody has a session on this connection."""
        if known := self._known.get(transport):
            known.set()

    async def _server(self, host: Host) -> web.Server:
        """Return what answers requests, made for the first connection."""
        async with self._starting:
            if self._runner is None:
                serving = "host_tools.companion.serving"
                pages = await asyncio.to_thread(importlib.import_module, serving)
                made = pages.network_application(
                    self._place.names,
                    self._port,
                    self._now,
                    self._archive,
                    host,
                    self._access,
                    self._know,
                )
                runner: web.AppRunner = pages.runner(made, END_S)
                await runner.setup()
                self._runner = runner
        assert self._runner.server is not None
        return self._runner.server

    async def _renew(self, host: Host) -> None:
        """Renew the certificate when it is due, for ever."""
        while True:
            await asyncio.sleep(_RENEW_S)
            try:
                if expires := self._place.certificate.renew_if_due(self._place.tls):
                    fingerprint = colons(self._place.certificate.fingerprint)
                    host.emit("page-renewed", expires=expires, certificate=fingerprint)
            except HostToolError as error:
                host.emit("warning", message=error.message)
