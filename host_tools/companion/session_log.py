"""Tells the receiver's own log who signed in and out, and how many tries failed.

A sign-in that cannot be recorded does not happen; a sign-out happens all the same.  Failed tries
are many when somebody guesses: the first is recorded at once, the others together.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from host_tools.companion.sessions import Session
from host_tools.errors import HostToolError
from host_tools.receiver.assistant import Host
from host_tools.receiver.receiver_log import ReceiverLog, address_of

#: Failed tries become one record in this time, in seconds: 144 records a day at most.
TOGETHER_S = 600.0


@dataclass
class Failures:
    """Tries that failed since the receiver started: how many, and the last one."""

    total: int = 0
    last_s: float = 0.0
    last_address: str = ""


class SessionLog:
    """Writes in a thread of the event loop's, never in the loop."""

    def __init__(self, data: Path) -> None:
        self._log = ReceiverLog(data)
        self.host: Host | None = None
        self.failures = Failures()
        self._failed = self._refused = 0
        self._addresses: set[str] = set()
        self._told_s = float("-inf")

    async def signed_in(self, session: Session) -> None:
        """Raises HostToolError: then nobody may be let in."""
        fields = {"session": session.kind, "id": session.id}
        if session.address:
            fields["address"] = address_of(session.address)
        await asyncio.to_thread(self._log.add, "sign-in", **fields)

    async def signed_out(self, why: str, ended: list[Session]) -> None:
        """Tell of sessions that ended, for `why`: one of receiver_log.SIGN_OUTS."""
        fields: dict[str, object] = {"why": why, "sessions": len(ended)}
        if len(ended) == 1:
            fields["id"] = ended[0].id
        try:
            await asyncio.to_thread(self._log.add, "sign-out", **fields)
        except HostToolError as error:
            self._emit("warning", message=error.message)

    async def failed(self, address: str, *, is_refused: bool) -> None:
        """Count a try that was wrong, or that was not looked at since it had to wait."""
        self.failures = Failures(self.failures.total + 1, time.time(), address)
        self._refused += is_refused
        self._failed += not is_refused
        if len(self._addresses) < 2:
            self._addresses.add(address)
        if time.monotonic() - self._told_s >= TOGETHER_S:
            await self.tell()

    async def tell(self) -> None:
        """Record what was counted."""
        if not self._failed and not self._refused:
            return
        fields: dict[str, object] = {"count": self._failed, "refused": self._refused}
        if len(self._addresses) == 1:
            fields["address"] = address_of(next(iter(self._addresses)))
        self._failed = self._refused = 0
        self._addresses.clear()
        self._told_s = time.monotonic()
        self._emit("sign-in-failed", **fields)
        try:
            await asyncio.to_thread(self._log.add, "sign-in-failed", **fields)
        except HostToolError as error:
            self._emit("warning", message=error.message)

    async def run(self) -> None:
        """Record what was counted from time to time, for ever."""
        while True:
            await asyncio.sleep(TOGETHER_S)
            await self.tell()

    def _emit(self, event: str, **fields: object) -> None:
        if self.host is not None:
            self.host.emit(event, **fields)
