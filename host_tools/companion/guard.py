"""What every request passes before a page sees it, and what every answer carries.

The order: the Host header (a name that an attacker's DNS points here is refused), the session,
and for whatever changes something the origin and the form's token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from host_tools.companion.access import Access
from host_tools.companion.door import SIGN_IN, Door
from host_tools.companion.render import Renderer
from host_tools.companion.sessions import NETWORK, Session
from host_tools.errors import HostToolError
from host_tools.receiver.assistant import Host

#: One policy for all: nothing from elsewhere, no script and no style within a page.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
    "Server": "earnest",
}
#: The largest form of somebody who has no session: a passphrase and a code.
MAX_STRANGERS_BYTES = 8192
#: What a page that nobody looks at asks for again and again: it keeps no session alive.
_BY_ITSELF = ("/live",)
SESSION: web.RequestKey[Session] = web.RequestKey("session", Session)
_WORDS = {
    400: "The request makes no sense.",
    403: "This is not allowed.",
    404: "There is no such page.",
    405: "There is no such page.",
    409: "This is not possible now.",
    413: "The request is too large.",
    421: "The page is known under another address.",
    500: "The page failed. The receiver goes on; its log says why.",
}


class Refusal(Exception):  # noqa: N818 - a refusal is an answer
    """The answer is this status, with a sentence that helps."""

    def __init__(self, status: int, help: str) -> None:
        super().__init__(help)
        self.status = status
        self.help = help


class Guard:
    """The middleware of the page behind `door`.  `known` is told of each connection on which a
    request had a session."""

    def __init__(
        self,
        door: Door,
        access: Access,
        renderer: Renderer,
        host: Host,
        known: Callable[[asyncio.Transport], None] | None = None,
    ) -> None:
        self.door = door
        self.access = access
        self._sessions = access.sessions
        self._renderer = renderer
        self._host = host
        self._known = known

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Every answer has HEADERS; those that stream, too."""
        response.headers.update(HEADERS)

    async def let_in(
        self, request: web.Request, response: web.StreamResponse, stamp: object
    ) -> None:
        """Begin a session: its cookie is for this browser alone, and for no script.  Raises
        Refusal if there was a set-up since `stamp`, which is the door's `access.stamp()`."""
        cookie = await self.access.let_in(self.door.kind, request.remote or "", stamp)
        if cookie is None:
            raise Refusal(403, "The sign-in was set up anew meanwhile.")
        if former := self._session_of(request):
            await self.access.let_out("left", former)
        response.set_cookie(
            self.door.cookie,
            cookie,
            httponly=True,
            samesite="Strict",
            secure=self.door.is_secure or None,
            path="/",
        )

    async def let_out(self, request: web.Request, response: web.StreamResponse) -> None:
        """End the request's session."""
        await self.access.let_out("left", request[SESSION])
        self.forget(response)

    def forget(self, response: web.StreamResponse) -> None:
        """Let the browser forget its cookie."""
        response.del_cookie(
            self.door.cookie,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self.door.is_secure or None,
        )

    def is_still_in(self, request: web.Request) -> bool:
        """Return whether the session of a long request goes on."""
        return self._sessions.is_good(request[SESSION], time.monotonic())

    @property
    def middleware(self) -> Middleware:
        """What the application runs around every handler."""

        @web.middleware
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            try:
                await self._check(request)
                return await handler(request)
            except Refusal as refusal:
                return self._refuse(refusal.status, refusal.help)
            except HostToolError as error:  # a full disk, a damaged file
                return self._refuse(500, f"{error.message}: {error.hint}")
            except web.HTTPException as error:
                if error.status < 400:
                    raise
                return self._refuse(error.status, "")
            except (ConnectionError, RuntimeError, TypeError, ValueError, LookupError) as error:
                if isinstance(error, ConnectionError):  # the browser left
                    raise
                self._host.emit("warning", message=f"the page failed: {error!r}")
                return self._refuse(500, "")

        return guard

    async def _check(self, request: web.Request) -> None:
        """Raise Refusal unless the request may go on."""
        door = self.door
        if request.headers.getall("Host", []) not in [[each] for each in door.authorities]:
            raise Refusal(421, f"Use {door.address}.")
        if (request.method, request.path) in door.open:
            if request.method != "GET":
                self._check_origin(request)
                if not _is_small(request):
                    raise Refusal(413, "The form is too large.")
                await _form_of(request)
            return
        session = self._session_of(request)
        if session is None:
            if door.kind == NETWORK and request.method == "GET" and request.path == "/":
                raise web.HTTPSeeOther(SIGN_IN)
            raise Refusal(403, door.comeback)
        request[SESSION] = session
        if self._known is not None and request.transport is not None:
            self._known(request.transport)
        if request.method != "GET":
            await self._check_change(request, session)

    def _session_of(self, request: web.Request) -> Session | None:
        cookie = request.cookies.get(self.door.cookie)
        is_use = request.path not in _BY_ITSELF
        return self._sessions.find(cookie, time.monotonic(), self.door.kind, is_use=is_use)

    def _check_origin(self, request: web.Request) -> None:
        """Raise Refusal if another page asks."""
        origin = request.headers.get("Origin")
        is_ours = origin is None or origin in self.door.origins
        is_near = request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        if not is_ours or not is_near:
            raise Refusal(403, "The request came from another page.")

    async def _check_change(self, request: web.Request, session: Session) -> None:
        """Raise Refusal unless a form of this session, on this page, asks for the change."""
        self._check_origin(request)
        form = await _form_of(request)
        if not session.allows(form.get("csrf")):
            raise Refusal(403, "The form was of another session. Go back, reload, and try again.")

    def _refuse(self, status: int, help: str) -> web.Response:
        words = _WORDS.get(status, "The request was refused.")
        text = self._renderer.page("refused.html", words=words, help=help)
        return web.Response(status=status, text=text, content_type="text/html")


async def _form_of(request: web.Request) -> Mapping[str, object]:
    """Return the form that a request carries, which the framework keeps; raises Refusal."""
    try:
        return await request.post()
    except (HttpProcessingError, AssertionError, LookupError, ValueError) as error:
        raise Refusal(400, "The form cannot be read.") from error


def _is_small(request: web.Request) -> bool:
    """Return whether a stranger's form says how long it is, and is short."""
    length = request.content_length
    return length is not None and length <= MAX_STRANGERS_BYTES
