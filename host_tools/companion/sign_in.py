"""Decides whether a browser on another computer may come in.

A try is counted, on the disk, before anything is checked; the passphrase and the code are both
checked, always, one try at a time in a thread of their own; a code counts once.  A receiver that
starts again knows the counts and the last code.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TypeVar

from host_tools.companion import factors, tickets
from host_tools.companion.lockout import Lockout
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.handshakes import network_of

#: Beside the tickets: never in a back-up.
STATE_FILE = "sign-in-tries.json"
#: Tries that wait for the one that is checked; with one more, that one is told to come later.
MAX_WAITING = 4
_Result = TypeVar("_Result")


class Outcome(Enum):
    RIGHT = "right"
    WRONG = "wrong"
    #: Too many failed: it was not looked at.
    LOCKED = "locked"
    BUSY = "busy"
    NOT_SET_UP = "not set up"


class SignIn:
    """The sign-ins of the receiver in `data`; `clock` gives seconds since 1970."""

    def __init__(self, data: Path, clock: Callable[[], float] = time.time) -> None:
        self._data = data
        self._path = data / tickets.FOLDER / STATE_FILE
        self._clock = clock
        # One thread: one hash at a time, and files in the order of the tries.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sign-in")
        self._waiting = 0
        self._lockout, self._last_step = self._load()

    async def attempt(self, peer: str, passphrase: str, code: str) -> tuple[Outcome, float]:
        """Return what comes of a try from the address `peer`, and how long to wait, in seconds.

        Raises HostToolError: the try cannot be counted, or the factors cannot be read.
        """
        if self._waiting >= MAX_WAITING:
            return Outcome.BUSY, 1.0
        now_s = self._clock()
        network = network_of(peer)
        wait_s = self._lockout.begin(network, now_s)
        if wait_s > 0.0:
            return Outcome.LOCKED, wait_s
        self._waiting += 1
        try:
            found, is_passphrase = await self._run(partial(self._check, self._facts(), passphrase))
            if found is None:
                return Outcome.NOT_SET_UP, 0.0
            step = found.step_of(code, now_s)
            is_fresh = step is not None and step > max(self._last_step, found.confirmed_step)
            # From here to the next await nobody else runs: a code counts once.
            if step is None or not (is_passphrase and is_fresh):
                return Outcome.WRONG, 0.0
            self._last_step = step
            self._lockout.succeeded(network, now_s)
            await self._run(partial(self._save, self._facts()))
            return Outcome.RIGHT, 0.0
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _check(self, facts: bytes, passphrase: str) -> tuple[factors.Factors | None, bool]:
        """Count first; then see whether the passphrase is right.  In the thread."""
        self._save(facts)
        found = factors.load(self._data)
        return found, found is not None and found.has_passphrase(passphrase)

    def _facts(self) -> bytes:
        return json.dumps({"last_step": self._last_step, **self._lockout.to_facts()}).encode()

    def _save(self, facts: bytes) -> None:
        owner_only_files.make_folder(self._path.parent)
        owner_only_files.write(self._path, facts)

    def _load(self) -> tuple[Lockout, int]:
        """Return the counts of the last run; where they are damaged everybody waits."""
        if not self._path.exists():
            return Lockout(), 0
        try:
            facts = json.loads(owner_only_files.read(self._path))
            return Lockout.of(facts), int(facts["last_step"])
        except (ValueError, TypeError, KeyError, AttributeError, HostToolError):
            return Lockout.closed(self._clock()), int(self._clock()) // factors.STEP_S + 1
