"""Simulated drivers: the same few methods as firmware/drivers, and a world of sound and scripts.

Runs inside MicroPython.  Time is the position in the input: the microphone, when on, delivers the
next 10 ms of it; when off, the same 10 ms pass unheard.  So a simulated minute is the same on
every run.  What happens is told to `tell(kind, *fields)`, in order.
"""

import asyncio

CHUNK_BYTES = 320
CHUNK_MS = 10


class EndOfInput(Exception):
    """The sound is over, and with it the simulation."""


class PowerLoss(Exception):
    """The script cuts the power."""


class World:
    """Sound, time and what people do.  `script` is a list of (t_ms, action, value), sorted."""

    def __init__(self, stream, script, tell):
        self._stream = stream
        self._script = script
        self._next = 0
        self.tell = tell
        self.chunks = 0
        self.presses = 0
        self.switch = None
        self.light_fails = False
        self.light_is_stuck = False
        self.network_is_up = True
        self.network_delay_ms = 0
        self.requests = []
        self._unheard = bytearray(CHUNK_BYTES)

    @property
    def now_ms(self):
        """Device time: samples of input that have passed, in ms."""
        return self.chunks * CHUNK_MS

    def pass_by(self, chunk=None):
        """Let 10 ms of sound go by, into `chunk` if someone listens; then do what is scripted."""
        chunk = chunk or self._unheard
        if self._stream.readinto(chunk) != CHUNK_BYTES:
            raise EndOfInput
        self.chunks += 1
        while self._next < len(self._script) and self._script[self._next][0] <= self.now_ms:
            self._act(*self._script[self._next][1:])
            self._next += 1

    def _act(self, action, value):
        self.tell("script", action, value)
        if action == "press":
            self.presses += 1
        elif action == "switch":
            self.switch = value
        elif action == "light-fails":
            self.light_fails = value
        elif action == "network":
            self.network_is_up = value
        elif action == "network-delay-ms":
            self.network_delay_ms = value
        elif action == "request":
            self.requests.append(value)
        elif action == "power-loss":
            raise PowerLoss


class Clock:
    """Device time."""

    def __init__(self, world, settle):
        self._world = world
        self._settle = settle

    def now_ms(self):
        return self._world.now_ms

    def ticks_us(self):
        return self._world.now_ms * 1000

    async def sleep_ms(self, ms):
        """Let `ms` (at least 10) pass unheard."""
        for _ in range(max(1, ms // CHUNK_MS)):
            await self._settle()
            self._world.pass_by()


class Microphone:
    """Delivers the sound while it is on.  `settle` waits for the network to have done its part."""

    def __init__(self, world, settle):
        self._world = world
        self._settle = settle
        self._is_on = False
        self.overruns = 0

    def start(self):
        self._is_on = True
        self._world.tell("mic", True)

    def stop(self):
        if self._is_on:
            self._is_on = False
            self._world.tell("mic", False)

    def is_on(self):
        return self._is_on

    async def read(self, chunk):
        """Fill `chunk`, 320 bytes of int16."""
        await self._settle()
        self._world.pass_by(chunk)


class LightDriver:
    """Three numbers, kept; fails on request of the script."""

    has_colour = True

    def __init__(self, world):
        self._world = world
        self.rgb = (0, 0, 0)

    def show(self, r, g, b):
        if self._world.light_fails:
            raise OSError("light does not answer")
        self.rgb = (r, g, b)

    def is_ok(self):
        return not self._world.light_fails


class Controls:
    """One button and, when the script moves it, a mute switch."""

    def __init__(self, world):
        self._world = world

    def was_pressed(self):
        if not self._world.presses:
            return False
        self._world.presses -= 1
        return True

    def switch_muted(self):
        return self._world.switch


class Watchdog:
    """Counts."""

    def __init__(self):
        self.fed = 0

    def feed(self):
        self.fed += 1


async def breathe(turns=4):
    """Let the other tasks run."""
    for _ in range(turns):
        await asyncio.sleep(0)
