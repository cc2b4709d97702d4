"""TLS handshakes in progress: bounded, and nobody's silence keeps others out.

Whoever is not known yet costs memory and a socket.  When there are too many, the oldest one of
the network that has the most is dropped, so that a flood drops itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

MAX_HANDSHAKES = 32
MAX_HANDSHAKES_PER_ADDRESS = 8
#: Whoever has one IPv6 address has all of its network.
_IPV6_NETWORK_BITS = 64


class Dropped(Exception):
    """This handshake was given up for a newer one."""


@dataclass(eq=False)
class _Handshake:
    network: str
    task: asyncio.Task[None]
    is_dropped: bool = False


class Handshakes:
    """Those in progress, the oldest first."""

    def __init__(
        self, most: int = MAX_HANDSHAKES, most_per_address: int = MAX_HANDSHAKES_PER_ADDRESS
    ) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._running: list[_Handshake] = []

    def __len__(self) -> int:
        return len(self._running)

    @contextlib.contextmanager
    def one(self, address: str) -> Iterator[None]:
        """Count the current task as a handshake with `address` while the block runs.

        Raises:
            Dropped: inside the block, when a newer one takes its place.
        """
        task = asyncio.current_task()
        assert task is not None
        handshake = _Handshake(network_of(address), task)
        self._make_room(handshake.network)
        self._running.append(handshake)
        try:
            yield
        except asyncio.CancelledError:
            if handshake.is_dropped:
                raise Dropped from None
            raise
        finally:
            if handshake in self._running:
                self._running.remove(handshake)

    def _make_room(self, network: str) -> None:
        """Drop the oldest one of this network, or of the one that has the most."""
        counts = Counter(handshake.network for handshake in self._running)
        if counts[network] < self._most_per_address:
            if len(self._running) < self._most:
                return
            [(network, _)] = counts.most_common(1)
        oldest = next(h for h in self._running if h.network == network)
        oldest.is_dropped = True
        self._running.remove(oldest)
        oldest.task.cancel()


def network_of(address: str) -> str:
    """Return what one peer can choose its addresses from."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, _IPV6_NETWORK_BITS), strict=False))
    return str(parsed)
