"""The routes of the page: which address shows what, and what a form does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping

from aiohttp import web

from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.guard import SESSION, Guard, Refusal
from host_tools.companion.render import Renderer, static_files
from host_tools.companion.tickets import Tickets
from host_tools.errors import HostToolError
from host_tools.receiver.assistant import ConnectionLost
from host_tools.receiver.cancellation import within

#: How often a live view looks again though nothing changed, in seconds: its session may be over.
LOOK_AGAIN_S = 15.0
#: Changes within this time are shown together.
TOGETHER_S = 0.05
#: All live views together take at most one part in this many, and one, of the event loop's time:
#: audio comes in the same loop.
REST = 2
#: Live views at a time; one more is refused.
MAX_LIVE = 16
#: A browser that takes nothing for this long is gone, in seconds: others need the place.
STUCK_S = 30.0


class Pages:
    """`add_to` gives an application the routes."""

    def __init__(
        self, guard: Guard, tickets: Tickets | None, now: DevicesNow, renderer: Renderer
    ) -> None:
        self._guard = guard
        self._tickets = tickets
        self._now = now
        self._renderer = renderer
        self._static: Mapping[str, tuple[bytes, str]] = static_files()
        self._live = 0
        self._is_closing = False

    def add_to(self, application: web.Application) -> None:
        application.add_routes(
            [
                web.get("/", self._show_now, allow_head=False),
                web.get("/live", self._stream, allow_head=False),
                web.get("/static/{name}", self._static_file, allow_head=False),
                web.post("/devices/{id}/mute", self._mute),
                web.post("/leave", self._leave),
            ]
        )
        if self._tickets is not None:
            application.add_routes([web.get("/enter", self._enter, allow_head=False)])

    def close(self) -> None:
        """End the live views: the receiver stops."""
        self._is_closing = True
        self._now.wake_watchers()

    async def _enter(self, request: web.Request) -> web.StreamResponse:
        """Exchange a one-time ticket for a session."""
        assert self._tickets is not None
        stamp = self._guard.access.stamp()
        if not self._tickets.take(request.query.get("ticket", "")):
            raise Refusal(
                403,
                "This link was used before, or is too old. Run `earnest companion` on this "
                "computer for a new one.",
            )
        # Not a redirect: the cookie is for requests from our own pages, and a link on a page of
        # somebody else's began this one.
        text = self._renderer.page("entered.html")
        response = web.Response(text=text, content_type="text/html")
        await self._guard.let_in(request, response, stamp)
        return response

    async def _leave(self, request: web.Request) -> web.StreamResponse:
        """End the session, and its live views."""
        text = self._renderer.page(
            "refused.html",
            words="You left the page.",
            help=self._guard.door.comeback,
        )
        response = web.Response(text=text, content_type="text/html")
        await self._guard.let_out(request, response)
        self._now.wake_watchers()
        return response

    async def _show_now(self, request: web.Request) -> web.StreamResponse:
        text = self._renderer.page(
            "now.html",
            devices=self._now.all(),
            strays=self._now.strays(),
            csrf=request[SESSION].csrf,
            here="now",
        )
        return web.Response(text=text, content_type="text/html")

    async def _mute(self, request: web.Request) -> web.StreamResponse:
        satellite = self._now.satellite(request.match_info["id"])
        if satellite is None:
            raise Refusal(409, "The device is not connected. Press its button, or use its switch.")
        try:
            await self._now.mute(satellite)
        except (ConnectionLost, OSError, asyncio.TimeoutError) as error:
            raise Refusal(
                409, "The device did not take it. Press its button, or use its switch."
            ) from error
        return web.Response(status=303, headers={"Location": "/"})

    async def _static_file(self, request: web.Request) -> web.StreamResponse:
        found = self._static.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        content, kind = found
        return web.Response(body=content, content_type=kind, charset="utf-8")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        """Send what the devices do, whenever it changes, as server-sent events."""
        if self._live >= MAX_LIVE:
            raise Refusal(409, "Too many windows show this page.")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        self._live += 1
        changed = self._now.watch()
        try:
            await response.prepare(request)
            shown = b""
            while self._guard.is_still_in(request) and not self._is_closing:
                changed.clear()
                began_s = time.monotonic()
                event = self._event(request[SESSION].csrf)
                rest_s = REST * self._live * (time.monotonic() - began_s)
                news = event if event != shown else b": still here\n\n"
                await within(STUCK_S, response.write(news))
                shown = event
                await _wait(changed, max(TOGETHER_S, rest_s))
        except ConnectionError:  # the browser left
            pass
        except asyncio.TimeoutError:  # it is asleep, or does not want to read
            if request.transport is not None:
                request.transport.abort()
        finally:
            self._now.forget(changed)
            self._live -= 1
        return response

    def _event(self, csrf: str) -> bytes:
        try:
            devices, strays = self._now.all(), self._now.strays()
        except HostToolError as error:  # the list of devices cannot be read
            return f"data: {json.dumps({'said': error.message})}\n\n".encode()
        html = self._renderer.page("devices.html", devices=devices, strays=strays, csrf=csrf)
        said = " ".join(device.summary for device in devices)
        return f"data: {json.dumps({'html': html, 'said': said})}\n\n".encode()


async def _wait(changed: asyncio.Event, moment_s: float) -> None:
    """Wait for a change, and a moment for what comes with it; or until it is time to look."""
    try:
        await within(LOOK_AGAIN_S, changed.wait())
    except asyncio.TimeoutError:
        return
    await asyncio.sleep(moment_s)
