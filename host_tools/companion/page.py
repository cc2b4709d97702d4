"""Serves the page beside the receiver: an assistant, so its failure ends nothing else.

The web framework is imported when somebody opens the page for the first time: a receiver whose
page nobody opens starts as fast as one without it, and is no larger.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import importlib
import os
import socket
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING

from host_tools.companion.access import Access
from host_tools.companion.archive import Archive
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.tickets import Tickets
from host_tools.errors import HostToolError
from host_tools.receiver.assistant import Assistant, Host

if TYPE_CHECKING:
    from aiohttp import web

#: The addresses of this computer alone.
LOOPBACK = ("127.0.0.1", "::1")
DEFAULT_PORT = 10781
#: How long what is being answered may take when the receiver stops.
END_S = 0.5


class Page(Assistant):
    """The page on a listening socket, which it owns from now on.

    `now` is an assistant of its own.  With `is_shown` the owner gets a link with a ticket, on a
    terminal that only they read; with `is_opened` the browser opens as well.
    """

    def __init__(
        self,
        listener: socket.socket,
        tickets: Tickets,
        now: DevicesNow,
        archive: Archive,
        access: Access,
        *,
        is_shown: bool = False,
        is_opened: bool = False,
    ) -> None:
        self._listener = listener
        self._tickets = tickets
        self._now = now
        self._archive = archive
        self._access = access
        self._is_shown = is_shown
        self._is_opened = is_opened
        host, port = listener.getsockname()[:2]
        self.address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def begin(self, host: Host) -> None:
        try:
            self._tickets.announce(self.address)
        except HostToolError:
            self._listener.close()
            raise
        self._access.begin(host)
        host.start(self._run(host))
        shown = self._tickets.link() if self._is_shown else self.address
        host.emit("page", address=shown)
        if self._is_opened:
            # A thread that nobody waits for: a browser may take its time, and the end may not.
            threading.Thread(target=self._open, daemon=True, name="browser").start()

    def _open(self) -> None:
        with contextlib.suppress(HostToolError):  # the link is printed as well
            open_browser(self._tickets)

    async def _run(self, host: Host) -> None:
        """Wait for the first browser; from then on the framework serves."""
        with contextlib.closing(self._listener):
            try:
                loop = asyncio.get_running_loop()
                first, _ = await loop.sock_accept(self._listener)
                await self._serve(host, first)
            finally:
                self._tickets.retract()

    async def _serve(self, host: Host, first: socket.socket) -> None:
        """Serve until the receiver ends."""
        pages = await asyncio.to_thread(importlib.import_module, "host_tools.companion.serving")
        made = pages.application(
            self.address, self._tickets, self._now, self._archive, host, self._access
        )
        runner: web.AppRunner = pages.runner(made, END_S)
        try:
            await runner.setup()
            assert runner.server is not None
            loop = asyncio.get_running_loop()
            await loop.connect_accepted_socket(runner.server, first)
            await pages.serve_on(runner, self._listener)
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()


def has_browser() -> bool:
    """Return whether a window can be opened here: not over ssh, not without a display."""
    if "SSH_CONNECTION" in os.environ:
        return False
    is_x11_or_wayland = any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return sys.platform in ("win32", "darwin") or is_x11_or_wayland


def open_browser(tickets: Tickets) -> None:
    """Open the page with a new ticket.  The ticket travels in a file of the owner's, since every
    user of this computer can read a command line.  One that would fill this terminal is not
    opened."""
    with contextlib.suppress(webbrowser.Error):
        browser = webbrowser.get()
        if type(browser) is not webbrowser.GenericBrowser:  # as are lynx and w3m
            browser.open(tickets.doorway().as_uri())


def listen(host: str, port: int | None) -> socket.socket:
    """Return a socket that listens on this computer alone; `port` None: DEFAULT_PORT, or a free
    one where that is taken.

    Raises:
        HostToolError: another computer could reach it, or it cannot be had.
    """
    host = "127.0.0.1" if host == "localhost" else host
    if host not in LOOPBACK:
        raise HostToolError(f"{host!r} is not an address of this computer alone")
    try:
        return bind(host, DEFAULT_PORT if port is None else port)
    except OSError as error:
        if port is None and error.errno == errno.EADDRINUSE:
            with contextlib.suppress(OSError):
                return bind(host, 0)
        raise HostToolError(
            f"cannot serve the page on {host} port {port or DEFAULT_PORT}: "
            f"{error.strerror or error}",
            "name another --page-port, or do without: --no-page",
        ) from error


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens there; raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=32)
    listener.setblocking(False)
    return listener
