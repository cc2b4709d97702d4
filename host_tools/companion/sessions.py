"""Who is looking: the sessions of browsers that used a ticket.

Pure: time is passed in.  Sessions live in memory, so they end with the receiver; of the cookie
only its SHA-256 is kept.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

#: A session ends when nothing was asked for this long, and in any case at this age, in seconds.
IDLE_S = 2 * 3600.0
MAX_AGE_S = 12 * 3600.0
#: The oldest makes way for one more.
MAX_SESSIONS = 16
_TOKEN_BYTES = 32


@dataclass
class Session:
    """`csrf` goes into every form of this session; a request without it changes nothing."""

    began_s: float
    used_s: float
    csrf: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False)
    is_over: bool = False

    def allows(self, csrf: object) -> bool:
        """Return whether a form carried this session's token."""
        is_text = isinstance(csrf, str) and csrf.isascii()
        return is_text and hmac.compare_digest(str(csrf), self.csrf)


class Sessions:
    """All sessions; `now_s` is monotonic."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, Session] = {}

    def begin(self, now_s: float) -> str:
        """Return the cookie of a new session."""
        self._sweep(now_s)
        while len(self._sessions) >= MAX_SESSIONS:
            self._end(next(iter(self._sessions)))
        cookie = secrets.token_urlsafe(_TOKEN_BYTES)
        self._sessions[_digest(cookie)] = Session(now_s, now_s)
        return cookie

    def find(self, cookie: str | None, now_s: float) -> Session | None:
        """Return the session of a cookie, which is in use again."""
        self._sweep(now_s)
        session = self._sessions.get(_digest(cookie)) if cookie else None
        if session is not None:
            session.used_s = now_s
        return session

    def end(self, session: Session) -> None:
        """End a session: its cookie is worth nothing from now on."""
        for key, other in list(self._sessions.items()):
            if other is session:
                self._end(key)

    def is_good(self, session: Session, now_s: float) -> bool:
        """Return whether a session goes on; asking does not prolong it."""
        self._sweep(now_s)
        return not session.is_over

    def _sweep(self, now_s: float) -> None:
        for key, session in list(self._sessions.items()):
            if now_s - session.used_s >= IDLE_S or now_s - session.began_s >= MAX_AGE_S:
                self._end(key)

    def _end(self, key: bytes) -> None:
        self._sessions.pop(key).is_over = True


def _digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode(errors="replace")).digest()
