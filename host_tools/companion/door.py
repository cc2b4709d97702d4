"""The two ways to the page: on this computer with a ticket, from another one with a sign-in."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from host_tools.companion.sessions import LOOPBACK, NETWORK

SIGN_IN = "/sign-in"
_HTTPS_PORT = 443
_FILES = (("GET", "/static/style.css"), ("GET", "/static/icon.svg"))


@dataclass(frozen=True)
class Door:
    """Where a page is served, and what is asked of whoever comes.

    `kind` is one of receiver_log.SESSIONS: a session of the other kind counts for nothing here.
    `address` is the page's; `authorities` are the Host headers that it goes by; `open` is what
    needs no session, each (method, path); `comeback` tells those without one what to do.
    """

    kind: str
    address: str
    authorities: frozenset[str]
    cookie: str
    open: frozenset[tuple[str, str]]
    comeback: str

    @property
    def is_secure(self) -> bool:
        return self.address.startswith("https:")

    @property
    def origins(self) -> frozenset[str]:
        """What the Origin header of our own pages is."""
        scheme = self.address.partition("//")[0]
        return frozenset(f"{scheme}//{authority}" for authority in self.authorities)


def loopback(address: str) -> Door:
    """Return the way on this computer, to a page at `address`, as in http://127.0.0.1:10781."""
    authority = address.partition("//")[2]
    port = authority.rpartition(":")[2]
    return Door(
        LOOPBACK,
        address,
        frozenset({authority, f"localhost:{port}"}),
        # A browser sends a cookie to every port of a host: the name keeps two receivers apart.
        f"earnest-{port}",
        frozenset({("GET", "/enter"), *_FILES}),
        "Run `earnest companion` on this computer: it opens the page.",
    )


def network(names: Sequence[str], port: int) -> Door:
    """Return the way from other computers, for these names of hosts and IP addresses."""
    hosts = [in_address(name) for name in names]
    found = {f"{host}:{port}" for host in hosts}
    if port == _HTTPS_PORT:
        found.update(hosts)
    return Door(
        NETWORK,
        f"https://{hosts[0]}:{port}",
        frozenset(found),
        # With this prefix a browser takes the cookie over TLS and for this host alone.
        f"__Host-earnest-{port}",
        frozenset({("GET", SIGN_IN), ("POST", SIGN_IN), *_FILES}),
        "Sign in first.",
    )


def in_address(name: str) -> str:
    """Return a host's name or IP address as it stands in an address."""
    try:
        parsed = ipaddress.ip_address(name)
    except ValueError:
        return name
    return f"[{parsed}]" if parsed.version == 6 else str(parsed)
