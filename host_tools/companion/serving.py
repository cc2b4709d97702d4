"""Puts the page together: guard, pages, and the framework's limits."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence

from aiohttp import web

from host_tools.companion import door
from host_tools.companion.access import Access
from host_tools.companion.archive import Archive
from host_tools.companion.check_pages import CheckPages
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.donation_pages import DonationPages
from host_tools.companion.guard import Guard
from host_tools.companion.pages import Pages
from host_tools.companion.render import Renderer
from host_tools.companion.session_pages import SessionPages
from host_tools.companion.sign_in_pages import SignInPages
from host_tools.companion.tickets import Tickets
from host_tools.companion.timeline import TimelinePages
from host_tools.companion.withdraw_pages import WithdrawPages
from host_tools.receiver.assistant import Host

#: The largest form: a device's log has 17 files, 280 KiB.
MAX_BODY_BYTES = 384 * 1024
#: The longest address and header line: a ticket has 43 characters.
MAX_LINE_BYTES = 4096


def application(
    address: str,
    tickets: Tickets,
    now: DevicesNow,
    archive: Archive,
    host: Host,
    access: Access,
) -> web.Application:
    """Return the page at `address`, on this computer."""
    renderer = Renderer()
    guard = Guard(door.loopback(address), access, renderer, host)
    return _application(guard, tickets, now, archive, renderer, host)


def network_application(
    names: Sequence[str],
    port: int,
    now: DevicesNow,
    archive: Archive,
    host: Host,
    access: Access,
    known: Callable[[asyncio.Transport], None],
) -> web.Application:
    """Return the page for other computers, which know this one by `names`; `known` is told of
    each connection that somebody who signed in uses."""
    renderer = Renderer()
    guard = Guard(door.network(names, port), access, renderer, host, known)
    made = _application(guard, None, now, archive, renderer, host)
    SignInPages(guard, renderer).add_to(made)
    return made


def _application(
    guard: Guard,
    tickets: Tickets | None,
    now: DevicesNow,
    archive: Archive,
    renderer: Renderer,
    host: Host,
) -> web.Application:
    pages = Pages(guard, tickets, now, renderer)
    made = web.Application(middlewares=[guard.middleware], client_max_size=MAX_BODY_BYTES)
    made.on_response_prepare.append(guard.add_headers)

    async def close(_: web.Application) -> None:
        pages.close()

    made.on_shutdown.append(close)
    pages.add_to(made)
    SessionPages(guard, now, renderer).add_to(made)
    TimelinePages(archive, now, renderer).add_to(made)
    CheckPages(archive, now).add_to(made)
    DonationPages(archive, renderer).add_to(made)
    WithdrawPages(archive, now, renderer, host).add_to(made)
    return made


def runner(made: web.Application, end_s: float) -> web.AppRunner:
    """Return what serves the page; it logs no request, since the first one carries a ticket."""
    return web.AppRunner(
        made,
        access_log=None,
        handle_signals=False,
        handler_cancellation=True,
        shutdown_timeout=end_s,
        max_line_size=MAX_LINE_BYTES,
        max_field_size=MAX_LINE_BYTES,
    )


async def serve_on(runner: web.AppRunner, listener: socket.socket) -> None:
    """Take connections of a listening socket from now on."""
    await web.SockSite(runner, listener).start()
