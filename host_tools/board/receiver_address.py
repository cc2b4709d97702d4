"""Where a board finds its receiver: checked before it is written to a board that cannot ask.

Place: between what the owner typed and the configuration, which allows any name or address.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from host_tools.errors import HostToolError

_IPV4_LIKE = re.compile(r"[0-9.]+")
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HINT = "give an IP address such as 192.168.1.20, or a name such as receiver.local"


@dataclass(frozen=True)
class Address:
    """A name or address that a board can look up; `port` where it was given with it."""

    host: str
    port: int | None = None


def parse(text: str) -> Address:
    """Take `HOST`, `HOST:PORT` or `[IPv6]:PORT` apart; raises HostToolError for what cannot be
    the receiver of a board."""
    text = text.strip()
    host, port = text, None
    if match := re.fullmatch(r"\[(.*)\](?::(\d+))?", text) or re.fullmatch(r"([^:]*):(\d+)", text):
        host, port = match[1], int(match[2]) if match[2] else None
        if port is not None and not 1 <= port <= 65535:
            raise HostToolError(f"port {port} does not exist", "a port is 1 to 65535")
    _require(text, host)
    return Address(host, port)


def this_computer() -> str:
    """Return this computer's address in its network, "" when there is none; sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def _require(text: str, host: str) -> None:
    address: ipaddress.IPv4Address | ipaddress.IPv6Address | None = None
    if _IPV4_LIKE.fullmatch(host) or ":" in host:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            raise HostToolError(f"{text} is not an IP address", _HINT) from None
    elif not all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split(".")):
        raise HostToolError(f"{text!r} cannot be a receiver's address", f"no spaces; {_HINT}")
    is_itself = address is not None and (address.is_loopback or address.is_unspecified)
    if is_itself or host.lower().removesuffix(".") in ("localhost", "localhost.localdomain"):
        own = this_computer()
        raise HostToolError(
            f"{host} is the board itself, not your receiver",
            "give the address of the receiver's computer in your network"
            + (f"; this computer's is {own}" if own else ""),
        )
    if address is not None and address.is_multicast:
        raise HostToolError(f"{host} is a multicast address, not a computer's", _HINT)
