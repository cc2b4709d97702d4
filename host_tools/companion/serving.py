"""Puts the page together: guard, pages, and the framework's limits."""

from __future__ import annotations

import socket

from aiohttp import web

from host_tools.companion.archive import Archive
from host_tools.companion.check_pages import CheckPages
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.donation_pages import DonationPages
from host_tools.companion.guard import Guard
from host_tools.companion.pages import Pages
from host_tools.companion.render import Renderer
from host_tools.companion.sessions import Sessions
from host_tools.companion.tickets import Tickets
from host_tools.companion.timeline import TimelinePages
from host_tools.companion.withdraw_pages import WithdrawPages
from host_tools.receiver.assistant import Host

#: The largest form: a device's log has 17 files, 280 KiB.
MAX_BODY_BYTES = 384 * 1024
#: The longest address and header line: a ticket has 43 characters.
MAX_LINE_BYTES = 4096


def application(
    address: str, tickets: Tickets, now: DevicesNow, archive: Archive, host: Host
) -> web.Application:
    """Return the page at `address`."""
    renderer = Renderer()
    guard = Guard(address, Sessions(), renderer, host)
    pages = Pages(guard, tickets, now, renderer)
    made = web.Application(middlewares=[guard.middleware], client_max_size=MAX_BODY_BYTES)
    made.on_response_prepare.append(guard.add_headers)

    async def close(_: web.Application) -> None:
        pages.close()

    made.on_shutdown.append(close)
    pages.add_to(made)
    TimelinePages(archive, now, renderer).add_to(made)
    CheckPages(archive, now).add_to(made)
    DonationPages(archive, renderer).add_to(made)
    WithdrawPages(archive, now, renderer, host).add_to(made)
    return made


def runner(
    address: str, tickets: Tickets, now: DevicesNow, archive: Archive, host: Host, end_s: float
) -> web.AppRunner:
    """Return what serves the page; it logs no request, since the first one carries a ticket."""
    return web.AppRunner(
        application(address, tickets, now, archive, host),
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
