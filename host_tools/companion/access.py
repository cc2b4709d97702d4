"""Who is in: what the page on this computer and the one for other computers share."""

from __future__ import annotations

import time
from pathlib import Path

from host_tools.companion import factors
from host_tools.companion.session_log import SessionLog
from host_tools.companion.sessions import Session, Sessions
from host_tools.companion.sign_in import SignIn
from host_tools.receiver.assistant import Host


class Access:
    """The sessions of the receiver in `data`, their records, and the sign-ins from elsewhere."""

    def __init__(self, data: Path, sign_in: SignIn | None = None) -> None:
        self.data = data
        self.sessions = Sessions(lambda: factors.stamp(data))
        self.log = SessionLog(data)
        self.sign_in = sign_in or SignIn(data)

    def begin(self, host: Host) -> None:
        """The receiver serves from now on."""
        if self.log.host is None:
            self.log.host = host
            host.start(self.log.run())

    def stamp(self) -> object:
        """Return what differs after every set-up."""
        return factors.stamp(self.data)

    async def let_in(self, kind: str, address: str, stamp: object) -> str | None:
        """Record and begin a session; return its cookie, or None if there was a set-up since
        `stamp`.  Raises HostToolError: it cannot be recorded, so nobody is in."""
        now_s = time.monotonic()
        session = Session(now_s, now_s, kind, address)
        await self.log.signed_in(session)
        if self.stamp() != stamp:
            return None
        return self.sessions.add(session)

    async def let_out(self, why: str, *sessions: Session) -> None:
        """End sessions and record it; `why` is one of receiver_log.SIGN_OUTS."""
        self.sessions.end(*sessions)
        await self.log.signed_out(why, list(sessions))

    async def end(self) -> None:
        """The receiver ends: what was counted is recorded."""
        await self.log.tell()
        self.sign_in.close()
