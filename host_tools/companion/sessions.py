"""Who is looking: the sessions of browsers that used a ticket on this computer, and of those on
other computers that signed in.

Pure: time is passed in.  Sessions live in memory, so they end with the receiver; of the cookie
only its SHA-256 is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from host_tools.receiver import receiver_log

LOOPBACK, NETWORK = receiver_log.SESSIONS
#: A session ends when nothing was asked for this long, and in any case at this age, in seconds.
IDLE_S = 2 * 3600.0
#: On another computer: a phone is lost more easily.
NETWORK_IDLE_S = 1800.0
MAX_AGE_S = 12 * 3600.0
#: The oldest makes way for one more.
MAX_SESSIONS = 16
_TOKEN_BYTES = 32


@dataclass
class Session:
    """`csrf` goes into every form of this session; a request without it changes nothing.

    `id` tells it from others and opens nothing; `address` is where it began.
    """

    began_s: float
    used_s: float
    kind: str = LOOPBACK
    address: str = ""
    id: str = field(default_factory=lambda: secrets.token_hex(4))
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False)
    is_over: bool = False

    @property
    def idle_s(self) -> float:
        return IDLE_S if self.kind == LOOPBACK else NETWORK_IDLE_S

    def allows(self, csrf: object) -> bool:
        """Return whether a form carried this session's token."""
        is_text = isinstance(csrf, str) and csrf.isascii()
        return is_text and hmac.compare_digest(str(csrf), self.csrf)


class Sessions:
    """All sessions; `now_s` is monotonic.  When what `stamp` returns changes, all have ended: who
    may sign in was set up anew."""

    def __init__(self, stamp: Callable[[], object] = lambda: None) -> None:
        self._sessions: dict[bytes, Session] = {}
        self._stamp = stamp
        self._stamped = stamp()

    def begin(self, now_s: float, kind: str = LOOPBACK, address: str = "") -> str:
        """Return the cookie of a new session."""
        return self.add(Session(now_s, now_s, kind, address))

    def add(self, session: Session) -> str:
        """Let a session begin; return its cookie."""
        self._sweep(session.began_s)
        while len(self._sessions) >= MAX_SESSIONS:
            self._end(next(iter(self._sessions)))
        cookie = secrets.token_urlsafe(_TOKEN_BYTES)
        self._sessions[_digest(cookie)] = session
        return cookie

    def find(
        self, cookie: str | None, now_s: float, kind: str = LOOPBACK, *, is_use: bool = True
    ) -> Session | None:
        """Return the session of a cookie; one of another kind is none.  With `is_use` it goes on
        from now."""
        self._sweep(now_s)
        session = self._sessions.get(_digest(cookie)) if cookie else None
        if session is None or session.kind != kind:
            return None
        if is_use:
            session.used_s = now_s
        return session

    def all(self, now_s: float) -> list[Session]:
        """Return every session, the oldest first."""
        self._sweep(now_s)
        return list(self._sessions.values())

    def end(self, *sessions: Session) -> None:
        """End sessions: their cookies are worth nothing from now on."""
        for key, session in list(self._sessions.items()):
            if any(session is ended for ended in sessions):
                self._end(key)

    def is_good(self, session: Session, now_s: float) -> bool:
        """Return whether a session goes on; asking does not prolong it."""
        self._sweep(now_s)
        return not session.is_over

    def _sweep(self, now_s: float) -> None:
        stamp = self._stamp()
        is_void, self._stamped = stamp != self._stamped, stamp
        for key, session in list(self._sessions.items()):
            is_idle = now_s - session.used_s >= session.idle_s
            if is_void or is_idle or now_s - session.began_s >= MAX_AGE_S:
                self._end(key)

    def _end(self, key: bytes) -> None:
        self._sessions.pop(key).is_over = True


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode(errors="replace")).digest()
