"""The names and addresses that other computers know this one by: those of the page's certificate,
and the Host headers that it answers."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable, Sequence

from host_tools.errors import HostToolError
from host_tools.receiver.authority import check_name

#: Nothing is sent there: the system only says which of our addresses it would send from.
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def names_for(address: str, given: Sequence[str]) -> list[str]:
    """Return the names of a page that listens on `address`, an IP address: those that its owner
    gave come first.  Raises HostToolError for what is no name."""
    parsed = ipaddress.ip_address(address)
    names = [checked(name) for name in given]
    names += _own_addresses(parsed.version) if parsed.is_unspecified else [str(parsed)]
    names += _own_names()
    return list(dict.fromkeys(names))


def checked(name: str) -> str:
    """Return a name of a host or an IP address in its one spelling; raises HostToolError."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return check_name(name.lower())


def _own_names() -> Iterable[str]:
    name = socket.gethostname().lower()
    with contextlib.suppress(HostToolError):
        if check_name(name).partition(".")[0] != "localhost":
            yield name
            if "." not in name:
                yield check_name(f"{name}.local")


def _own_addresses(version: int) -> list[str]:
    """Return this computer's addresses for others: the one that it sends from comes first."""
    found = []
    for family, elsewhere in _ELSEWHERE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((elsewhere, 9))
            found.append(str(asking.getsockname()[0]))
    with contextlib.suppress(OSError):
        for *_, where in socket.getaddrinfo(socket.gethostname(), None):
            found.append(str(where[0]))
    addresses = [ipaddress.ip_address(each) for each in found if "%" not in each]
    return [
        str(each)
        for each in dict.fromkeys(addresses)
        if not each.is_loopback and not each.is_link_local and each.version == version
    ]
