"""What every request passes before a page sees it, and what every answer carries.

The order: the Host header (a name that an attacker's DNS points here is refused), the session,
and for whatever changes something the origin and the form's token.
"""

from __future__ import annotations

import time

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Handler, Middleware

from host_tools.companion.render import Renderer
from host_tools.companion.sessions import Session, Sessions
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
#: Ways without a session: the entrance, and what a refusal looks like.
OPEN = ("/enter", "/static/style.css", "/static/icon.svg")
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
    """The middleware of the page at `address`, as in http://127.0.0.1:10781."""

    def __init__(self, address: str, sessions: Sessions, renderer: Renderer, host: Host) -> None:
        self.address = address
        authority = address.partition("//")[2]
        port = authority.rpartition(":")[2]
        self._authorities = {authority, f"localhost:{port}"}
        self._sessions = sessions
        self._renderer = renderer
        self._host = host
        # A browser sends a cookie to every port of a host: the name keeps two receivers apart.
        self._cookie = f"earnest-{port}"

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Every answer has HEADERS; those that stream, too."""
        response.headers.update(HEADERS)

    def let_in(self, response: web.StreamResponse) -> None:
        """Begin a session: its cookie is for this browser alone, and for no script."""
        response.set_cookie(
            self._cookie,
            self._sessions.begin(time.monotonic()),
            httponly=True,
            samesite="Strict",
            path="/",
        )

    def let_out(self, request: web.Request, response: web.StreamResponse) -> None:
        """End the request's session."""
        self._sessions.end(request[SESSION])
        response.del_cookie(self._cookie, path="/", httponly=True, samesite="Strict")

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
        if request.headers.getall("Host", []) not in [[each] for each in self._authorities]:
            raise Refusal(421, f"Use {self.address}.")
        if request.path in OPEN and request.method == "GET":
            return
        session = self._sessions.find(request.cookies.get(self._cookie), time.monotonic())
        if session is None:
            raise Refusal(403, "Run `earnest companion` on this computer: it opens the page.")
        request[SESSION] = session
        if request.method != "GET":
            await self._check_change(request, session)

    async def _check_change(self, request: web.Request, session: Session) -> None:
        """Raise Refusal unless a form of this session, on this page, asks for the change."""
        ours = {f"http://{authority}" for authority in self._authorities}
        origin = request.headers.get("Origin")
        is_ours = origin is None or origin in ours
        is_near = request.headers.get("Sec-Fetch-Site", "same-origin") == "same-origin"
        if not is_ours or not is_near:
            raise Refusal(403, "The request came from another page.")
        try:
            form = await request.post()
        except (HttpProcessingError, AssertionError, LookupError, ValueError) as error:
            raise Refusal(400, "The form cannot be read.") from error
        if not session.allows(form.get("csrf")):
            raise Refusal(403, "The form was of another session. Go back, reload, and try again.")

    def _refuse(self, status: int, help: str) -> web.Response:
        words = _WORDS.get(status, "The request was refused.")
        text = self._renderer.page("refused.html", words=words, help=help)
        return web.Response(status=status, text=text, content_type="text/html")
