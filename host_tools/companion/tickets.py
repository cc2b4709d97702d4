"""One-time tickets: how a browser gets in for the first time.

Whoever may read the receiver's folder may look at the page.  A ticket is a random token; the
folder holds an empty file named after its SHA-256.  Using it removes the file, which succeeds
once only, for all processes together.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import time
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files

FOLDER = "page"
#: How long a ticket is good, in seconds.
TICKET_S = 600.0
_ADDRESS_FILE = "address.json"
_TOKEN_BYTES = 32
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_ADDRESS = re.compile(r"http://(127\.0\.0\.1|\[::1\]):[0-9]{1,5}")
_DOORWAY_FILE = "open.html"
_DOORWAY = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Earnest</title>
<meta http-equiv="refresh" content="0; url={link}"></head>
<body><a href="{link}">Open the page</a></body></html>
"""
_SUFFIX = ".ticket"


class Tickets:
    """The tickets in the folder `data`/page, and the address of the page that takes them."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def issue(self) -> str:
        """Return a new token that is good once, for TICKET_S; raises HostToolError."""
        self._sweep()
        owner_only_files.make_folder(self._folder)
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        owner_only_files.write(self._path(token), b"")
        return token

    def take(self, token: str) -> bool:
        """Use a token up; returns whether it was good until now."""
        self._sweep()
        if not _TOKEN.fullmatch(token):
            return False
        try:
            self._path(token).unlink()
        except OSError:
            return False
        return True

    def announce(self, address: str) -> None:
        """Let `earnest companion` know where the page is; raises HostToolError."""
        owner_only_files.make_folder(self._folder)
        content = json.dumps({"address": address}).encode()
        owner_only_files.write(self._folder / _ADDRESS_FILE, content)

    def retract(self) -> None:
        """The page is served no more."""
        for name in (_ADDRESS_FILE, _DOORWAY_FILE):
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()

    def link(self) -> str:
        """Return an address with a new ticket; raises HostToolError if no page is served."""
        path = self._folder / _ADDRESS_FILE
        hint = "start `earnest receive`, without --no-page and with the same --data"
        if not path.exists():
            raise HostToolError("no receiver serves its page", hint)
        try:
            address = json.loads(owner_only_files.read(path))["address"]
        except (ValueError, TypeError, KeyError):
            address = ""
        if not isinstance(address, str) or not _ADDRESS.fullmatch(address):
            raise HostToolError(f"{path} is damaged", hint)
        return entrance(address, self.issue())

    def doorway(self) -> Path:
        """Return a file for the owner alone that leads a browser to `link`; raises as that."""
        path = self._folder.absolute() / _DOORWAY_FILE
        owner_only_files.write(path, _DOORWAY.format(link=self.link()).encode())
        return path

    def _path(self, token: str) -> Path:
        return self._folder / (hashlib.sha256(token.encode()).hexdigest() + _SUFFIX)

    def _sweep(self) -> None:
        """Remove what is too old, or from a clock that was ahead."""
        now_s = time.time()
        for path in self._folder.glob("*" + _SUFFIX):
            with contextlib.suppress(OSError):
                if not 0 <= now_s - path.stat().st_mtime + 1 <= TICKET_S + 1:
                    path.unlink()


def entrance(address: str, token: str) -> str:
    """Return where a browser uses a ticket."""
    return f"{address}/enter?ticket={token}"
