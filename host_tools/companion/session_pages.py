"""Who is in: every session with its address and times, and how to end one or all."""

from __future__ import annotations

import time

from aiohttp import web

from host_tools.companion import set_up
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.guard import SESSION, Guard, Refusal
from host_tools.companion.render import Renderer
from host_tools.companion.sessions import LOOPBACK


class SessionPages:
    """`add_to` gives an application the routes."""

    def __init__(self, guard: Guard, now: DevicesNow, renderer: Renderer) -> None:
        self._guard = guard
        self._now = now
        self._renderer = renderer

    def add_to(self, application: web.Application) -> None:
        application.add_routes(
            [
                web.get("/sessions", self._show, allow_head=False),
                web.post("/sessions/end", self._end_all),
                web.post("/sessions/{id}/end", self._end),
            ]
        )
        if self._guard.door.kind == LOOPBACK:
            route = web.get("/sessions/code.svg", self._code, allow_head=False)
            application.add_routes([route])

    async def _show(self, request: web.Request) -> web.StreamResponse:
        access = self._guard.access
        now_s = time.monotonic()
        to_unix_s = time.time() - now_s
        text = self._renderer.page(
            "sessions.html",
            here="sessions",
            csrf=request[SESSION].csrf,
            sessions=access.sessions.all(now_s),
            mine=request[SESSION],
            to_unix_s=to_unix_s,
            failed=access.log.failures,
            is_offered=self._offer() is not None,
        )
        return web.Response(text=text, content_type="text/html")

    async def _end(self, request: web.Request) -> web.StreamResponse:
        """End one session."""
        access = self._guard.access
        id = request.match_info["id"]
        found = [each for each in access.sessions.all(time.monotonic()) if each.id == id]
        if not found:
            raise Refusal(409, "This session has ended already.")
        await access.let_out("ended", *found)
        self._now.wake_watchers()
        return web.Response(status=303, headers={"Location": "/sessions"})

    async def _end_all(self, request: web.Request) -> web.StreamResponse:
        """End every session, this one too."""
        access = self._guard.access
        found = access.sessions.all(time.monotonic())
        await access.let_out("everywhere", *found)
        self._now.wake_watchers()
        text = self._renderer.page(
            "refused.html", words="Everybody was signed out.", help=self._guard.door.comeback
        )
        response = web.Response(text=text, content_type="text/html")
        self._guard.forget(response)
        return response

    async def _code(self, request: web.Request) -> web.StreamResponse:
        """The QR code of a set-up that is going on, on this computer alone."""
        uri = self._offer()
        if uri is None:
            raise web.HTTPNotFound
        return web.Response(body=set_up.qr_svg(uri), content_type="image/svg+xml")

    def _offer(self) -> str | None:
        is_here = self._guard.door.kind == LOOPBACK
        return set_up.offer(self._guard.access.data) if is_here else None
