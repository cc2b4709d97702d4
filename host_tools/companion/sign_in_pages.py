"""The form that lets a browser on another computer in.  It needs no script."""

from __future__ import annotations

import math

from aiohttp import web

from host_tools.companion.door import SIGN_IN
from host_tools.companion.guard import Guard
from host_tools.companion.render import Renderer
from host_tools.companion.sign_in import Outcome

_SAID = {
    Outcome.WRONG: (403, "The passphrase or the code is wrong. A code counts once."),
    Outcome.LOCKED: (429, "Too many tries failed. Try again in {wait}."),
    Outcome.BUSY: (503, "Somebody else is signing in. Try again in {wait}."),
    Outcome.NOT_SET_UP: (
        403,
        "Nobody can sign in yet. At the receiver: `earnest companion --setup`.",
    ),
}


class SignInPages:
    """`add_to` gives an application the routes."""

    def __init__(self, guard: Guard, renderer: Renderer) -> None:
        self._guard = guard
        self._renderer = renderer

    def add_to(self, application: web.Application) -> None:
        application.add_routes(
            [
                web.get(SIGN_IN, self._ask, allow_head=False),
                web.post(SIGN_IN, self._sign_in),
            ]
        )

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        return self._form(200, "")

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        access = self._guard.access
        form = await request.post()
        passphrase, code = (str(form.get(name, "")) for name in ("passphrase", "code"))
        stamp = access.stamp()
        peer = request.remote or ""
        outcome, wait_s = await access.sign_in.attempt(peer, passphrase, "".join(code.split()))
        if outcome is not Outcome.RIGHT:
            await access.log.failed(peer, is_refused=outcome is not Outcome.WRONG)
            status, said = _SAID[outcome]
            answer = self._form(status, said.format(wait=_in_words(wait_s)))
            if wait_s:
                answer.headers["Retry-After"] = str(math.ceil(wait_s))
            return answer
        answer = web.Response(status=303, headers={"Location": "/"})
        await self._guard.let_in(request, answer, stamp)
        return answer

    def _form(self, status: int, said: str) -> web.Response:
        text = self._renderer.page("sign_in.html", said=said)
        return web.Response(status=status, text=text, content_type="text/html")


def _in_words(wait_s: float) -> str:
    if wait_s <= 60.0:
        seconds = max(1, math.ceil(wait_s))
        return f"{seconds} second{'' if seconds == 1 else 's'}"
    return f"{math.ceil(wait_s / 60.0)} minutes"
