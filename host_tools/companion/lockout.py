"""Who may try to sign in, and when: waits that grow with every failure and heal by themselves.

Pure: time is passed in, in seconds since 1970, since the counts outlive the receiver.  A try
counts as a failure from its beginning until it turns out right, so tries at the same time count.
What is refused for a wait is not checked and does not prolong the wait.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

#: The first wait; each further failure doubles it.
FIRST_S = 2.0
#: Networks that failures are counted for; the one that failed longest ago makes way.
MAX_NETWORKS = 256
#: Networks that somebody signed in from: strangers' failures keep nobody out who comes from there.
MAX_KNOWN = 16
KNOWN_S = 30 * 86400.0


@dataclass(frozen=True)
class Limit:
    """`free` failures have no wait; no wait is longer than `most_s`; all failures are forgotten
    when none came for `forget_s`."""

    free: int
    most_s: float
    forget_s: float

    def wait_s(self, failures: int) -> float:
        """Return how long after its last failure the next try may come."""
        if failures < self.free:
            return 0.0
        doublings = min(failures - self.free, 20)
        return min(self.most_s, FIRST_S * math.pow(2.0, doublings))


#: Of one address, or one IPv6 network.
ONE = Limit(free=5, most_s=900.0, forget_s=86400.0)
#: Of all networks together that nobody ever signed in from.
STRANGERS = Limit(free=20, most_s=300.0, forget_s=3600.0)


@dataclass
class Count:
    failures: int = 0
    last_s: float = 0.0

    def wait_s(self, limit: Limit, now_s: float) -> float:
        """Return how long to wait from now on."""
        self.last_s = min(self.last_s, now_s)  # the clock was set back
        if now_s - self.last_s >= limit.forget_s:
            self.failures = 0
        return max(0.0, self.last_s + limit.wait_s(self.failures) - now_s)

    def add(self, now_s: float) -> None:
        self.failures += 1
        self.last_s = now_s


class Lockout:
    """The counts; `network` is what one peer can choose its addresses from."""

    def __init__(self) -> None:
        self._counts: dict[str, Count] = {}
        self._strangers = Count()
        self._known: dict[str, float] = {}

    def begin(self, network: str, now_s: float) -> float:
        """Count a try, and return 0; or count nothing, and return how long to wait."""
        count = self._counts.get(network) or Count()
        wait_s = count.wait_s(ONE, now_s)
        is_known = self._is_known(network, now_s)
        if not is_known:
            wait_s = max(wait_s, self._strangers.wait_s(STRANGERS, now_s))
        if wait_s > 0.0:
            return wait_s
        count.add(now_s)
        if not is_known:
            self._strangers.add(now_s)
        self._counts.pop(network, None)
        self._counts[network] = count  # the last one of the dict
        while len(self._counts) > MAX_NETWORKS:
            del self._counts[next(iter(self._counts))]
        return 0.0

    def succeeded(self, network: str, now_s: float) -> None:
        """The try was right: it is no failure, and this network is known from now on."""
        self._counts.pop(network, None)
        if not self._is_known(network, now_s):
            self._strangers.failures = max(0, self._strangers.failures - 1)
        self._known.pop(network, None)
        self._known[network] = now_s
        while len(self._known) > MAX_KNOWN:
            del self._known[next(iter(self._known))]

    def _is_known(self, network: str, now_s: float) -> bool:
        return now_s - self._known.get(network, -math.inf) < KNOWN_S

    def to_facts(self) -> dict[str, Any]:
        """Return the counts for a file of JSON."""
        return {
            "networks": {name: [c.failures, c.last_s] for name, c in self._counts.items()},
            "strangers": [self._strangers.failures, self._strangers.last_s],
            "known": self._known,
        }

    @staticmethod
    def of(facts: dict[str, Any]) -> Lockout:
        """Return the counts of a file; raises KeyError, TypeError, ValueError."""
        made = Lockout()
        for name, (failures, last_s) in facts["networks"].items():
            made._counts[str(name)] = Count(int(failures), float(last_s))
        failures, last_s = facts["strangers"]
        made._strangers = Count(int(failures), float(last_s))
        made._known = {str(name): float(s) for name, s in facts["known"].items()}
        return made

    @staticmethod
    def closed(now_s: float) -> Lockout:
        """Return counts of which nothing is known: everybody waits the longest wait."""
        made = Lockout()
        made._strangers = Count(STRANGERS.free + 20, now_s)
        return made
