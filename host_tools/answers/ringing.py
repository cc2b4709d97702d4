"""Rings the timers that are over, on the devices that set them, until somebody reacts.

A device rings by itself for half a minute, with pauses in which it hears its wake word; the
receiver asks it again a few times.  A timer whose device is away or muted waits, and is told late.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

from host_tools.answers import spoken
from host_tools.answers.timers import Timer, Timers
from host_tools.errors import HostToolError
from host_tools.receiver.assistant import TIMER, ConnectionLost, Host, Satellite, SpeakRefused

#: How often a device is asked to ring, 30 s each.
MAX_RINGS = 6
#: How soon what is over is noticed, at most.
TICK_S = 0.25
#: Later than this, it is said how late.
LATE_S = 15.0
#: After this long nobody waits any more.
MAX_LATE_S = 24 * 3600.0
#: A refusal that ends by itself is tried again so often, a second apart.
_TRIES, _BUSY_S = 30, 1.0

_PASSING = ("busy", "log")

#: Why a sound ends although nobody reacted; whatever else ends the ringing.
_UNHEARD = ("end", "limit", "late")

Say = Callable[[str], AsyncIterator[bytes]]


class Ringing:
    """Watches the timers; `run` does so until it is cancelled."""

    def __init__(
        self, timers: Timers, satellites: dict[str, Satellite], host: Host, say: Say
    ) -> None:
        """`satellites` are the connected devices, by their id: kept by the caller."""
        self._timers = timers
        self._satellites = satellites
        self._host = host
        self._say = say
        #: The devices on which something rings or is about to.
        self._active: set[str] = set()

    async def run(self) -> None:
        """Ring what is over."""
        while True:
            try:
                self._timers.follow_clock()
                self._start_due()
            except HostToolError as error:  # a full disk
                self._host.emit("warning", message=f"timers: {error.message}")
                await asyncio.sleep(10.0)
            await asyncio.sleep(TICK_S)

    def _start_due(self) -> None:
        long_over = [t for t in self._timers.due() if -self._timers.left_s(t) > MAX_LATE_S]
        self._forget(long_over, "nobody was there")
        for device in {timer.device for timer in self._timers.due()} - self._active:
            satellite = self._satellites.get(device)
            status = satellite.status if satellite is not None else None
            if satellite is not None and status is not None and status.listening:
                self._active.add(device)
                self._host.start(self._ring(satellite))

    async def _ring(self, satellite: Satellite) -> None:
        """Tell what is over on one device, and ring; what is over meanwhile is told in between."""
        told: list[Timer] = []
        new: list[Timer] = []
        why = ""
        try:
            for _ in range(MAX_RINGS):
                new = [timer for timer in self._timers.due() if timer.device == satellite.id]
                if new:
                    why = await self._speak(satellite, self._words(new))
                    # Somebody heard it, or nobody is there: a restart does not tell it again.
                    self._forget(new, None)
                    told += new
                    if why not in _UNHEARD:
                        break
                why = (await satellite.chime("timer")).why
                if why not in _UNHEARD:
                    break
            for timer in told:
                self._host.emit("timer-rang", device=satellite.name, timer=timer.title, ended=why)
        except SpeakRefused as refusal:
            self._forget(new, f"{satellite.name} does not ring: {refusal.why}")
        except ConnectionLost:
            pass  # it rings when the device is back
        finally:
            self._active.discard(satellite.id)

    async def _speak(self, satellite: Satellite, words: str) -> str:
        for left in reversed(range(_TRIES)):
            try:
                return (await satellite.speak(TIMER, self._say(words))).why
            except SpeakRefused as refusal:
                if refusal.why not in _PASSING or not left:
                    raise
                await asyncio.sleep(_BUSY_S)
        raise AssertionError("unreachable")

    def _words(self, timers: list[Timer]) -> str:
        """Return what is said, such as "Your pizza timer is over."; lateness is not hidden."""
        said = []
        for timer in timers:
            late_s = -self._timers.left_s(timer)
            if late_s < LATE_S:
                said.append(f"Your {timer.title} is over.")
            else:
                ago = spoken.duration(late_s)
                said.append(f"Your {timer.title} was over {ago} ago; I could not tell you then.")
        return " ".join(said)

    def _forget(self, timers: list[Timer], why: str | None) -> None:
        try:
            self._timers.remove(timers)
        except HostToolError as error:
            self._host.emit("warning", message=f"timers: {error.message}")
        if why is not None:
            for timer in timers:
                self._host.emit("timer-lost", timer=timer.title, reason=why)
