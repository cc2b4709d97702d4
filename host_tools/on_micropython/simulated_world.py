"""Simulated drivers: the same few methods as firmware/drivers, and a world of sound and scenarios.

Runs inside MicroPython.  Time is the position in the input: the microphone, when on, delivers the
next 10 ms of it; when off, the same 10 ms pass unheard.  So a simulated minute is the same on
every run.  What happens goes to `emit(event, **fields)`, in order.  docs/simulate.md has the
scenario's actions.
"""

import asyncio
import struct

# Tasks that may run or sleep for a time, but not those that wait for an event or a socket.
# MicroPython's asyncio has no public name for it.
from asyncio.core import _task_queue as runnable

from drivers.debounce import SwitchDebounce
from drivers.storage import Files

CHUNK_BYTES = 320
CHUNK_MS = 10
SAMPLES_PER_MS = 16

#: What happens once; every other action sets something that stays.
_MOMENTS = ("press", "request", "speak", "speak-stop", "chime", "volume", "cable", "power-loss")
#: What the receiver does of its own accord; `simulated_network` carries it out.
RECEIVER_ACTIONS = ("request", "speak", "speak-stop", "chime", "volume")

#: What is left of 10 ms after the work on a chunk: more than half of it, says `earnest bench`.
SPARE_US = 5000
#: Sound waits this long in the microphone's ring, then it is lost.
RING_US = 256000
#: What MicroPython keeps of the cable until it is read; more is lost.
TYPED_BYTES = 259
#: What is always free on the disk, unless it is full.
DISK_BYTES = 1 << 20


class EndOfInput(Exception):
    """The sound is over, and with it the simulation."""


class PowerLoss(Exception):
    """The scenario cuts the power."""


class SimulatedWorld:
    """Sound, time and what people do.

    `scenario` is a list of (t_ms, action, value), sorted; `switch` is whether the mute switch
    stands on mute before it, None without one.  `start_ms` is when this power-on is, in the
    time of the input, and `reported_ms` how far the power-on before has reported.
    """

    def __init__(self, stream, scenario, emit, start_ms=0, reported_ms=-1, switch=None):
        self._stream = stream
        self._scenario = scenario
        self._next = 0
        self.emit = emit
        self.start_ms = start_ms
        self.chunks = 0
        self.presses = 0
        self.switch = switch
        self.rgb = (0, 0, 0)  # what the light shows
        self.light_fails = False
        self.light_is_wrong = False
        self.microphone_fails = False
        self.microphone_is_stuck = False
        self.speaker_fails = False
        self.speaker_is_stuck = False
        self.speaker = None  # whose time_passed() is called every 10 ms
        self.disk_is_full = False
        self.network = "up"
        self.network_delay_ms = 0
        self.receiver_consents = True
        self.requests = []  # (action, value) of RECEIVER_ACTIONS
        self.typed = b""  # on the cable, not yet read
        self.cable_host = "reads"
        self.late_us = 0  # how long sound has waited in the ring
        self.lost = []  # (from, to): samples of the input that the ring could not hold
        self._sleepers = []  # (when, in ms; asyncio.Event)
        self.wire = None  # the connection, whose time_passed() is called every 10 ms
        self._unheard = bytearray(CHUNK_BYTES)
        while self._next < len(scenario) and scenario[self._next][0] <= start_ms:
            t_ms, action, value = scenario[self._next]
            if t_ms > reported_ms:
                emit("scenario", action=action, value=value)
            if start_ms == 0 or action not in _MOMENTS:
                self._act(action, value)
            self._next += 1

    @property
    def now_ms(self):
        """Device time: samples of input that have passed since power-on, in ms."""
        return self.chunks * CHUNK_MS

    @property
    def input_ms(self):
        """Time of the input, which power losses do not set back."""
        return self.start_ms + self.chunks * CHUNK_MS

    @property
    def is_patient(self):
        """Whether the network is as it should be, so that waiting for it ends."""
        return self.network == "up" and not self.network_delay_ms and self.receiver_consents

    def pass_by(self, chunk=None):
        """Let 10 ms of sound go by, into `chunk` if someone listens; then act the scenario."""
        chunk = chunk or self._unheard
        if self._stream.readinto(chunk) != CHUNK_BYTES:
            raise EndOfInput
        self.chunks += 1
        if self.speaker is not None:
            self.speaker.time_passed(chunk)
        self.late_us = max(0, self.late_us - SPARE_US)
        for sleeper in list(self._sleepers):
            if sleeper[0] <= self.now_ms:
                self._sleepers.remove(sleeper)
                sleeper[1].set()
        while self._next < len(self._scenario) and self._scenario[self._next][0] <= self.input_ms:
            _, action, value = self._scenario[self._next]
            self._next += 1
            self.emit("scenario", action=action, value=value)
            self._act(action, value)
        if self.wire is not None:
            self.wire.time_passed()

    def hold_up(self, took_us):
        """Something other than the audio took this long; sound goes on into the ring."""
        self.late_us += took_us

    async def sleep_ms(self, ms):
        """For a task beside the audio: until `ms` of sound have passed, in steps of 10 ms."""
        event = asyncio.Event()
        self._sleepers.append((self.now_ms + ms, event))
        await event.wait()

    def _act(self, action, value):
        if action == "press":
            self.presses += 1
        elif action in RECEIVER_ACTIONS:
            self.requests.append((action, value))
        elif action == "power-loss":
            raise PowerLoss
        elif action == "switch":
            self.switch = None if value == "absent" else value == "muted"
        elif action == "light-fails":
            self.light_fails = value
        elif action == "light-wrong":
            self.light_is_wrong = value
        elif action == "microphone-fails":
            self.microphone_fails = value
        elif action == "microphone-stuck":
            self.microphone_is_stuck = value
        elif action == "speaker-fails":
            self.speaker_fails = value
        elif action == "speaker-stuck":
            self.speaker_is_stuck = value
        elif action == "disk-full":
            self.disk_is_full = value
        elif action == "network":
            self.network = value
        elif action == "network-delay-ms":
            self.network_delay_ms = value
        elif action == "receiver-consents":
            self.receiver_consents = value
        elif action == "cable":
            typed = self.typed + bytes(ord(character) for character in value)
            self.typed = typed[:TYPED_BYTES]
        elif action == "cable-host":
            self.cable_host = value
        else:
            raise ValueError(action)


class Clock:
    """Device time."""

    def __init__(self, world, let_network_settle):
        self._world = world
        self._let_network_settle = let_network_settle

    def now_ms(self):
        return self._world.now_ms

    def ticks_us(self):
        return self._world.now_ms * 1000 + self._world.late_us

    async def sleep_ms(self, ms):
        """Let `ms` (at least 10) pass unheard."""
        for _ in range(max(1, ms // CHUNK_MS)):
            await self._let_network_settle()
            self._world.pass_by()


class Microphone:
    """Delivers the sound while it is on; before every chunk `let_network_settle` is awaited."""

    def __init__(self, world, let_network_settle):
        self._world = world
        self._let_network_settle = let_network_settle
        self._is_on = False
        self._chunk = None
        self.overruns = self.changes = 0

    def health(self):
        """Always well."""
        return 0

    def start(self):
        if self._world.microphone_fails:
            raise OSError("no such port")
        speaker = self._world.speaker
        if speaker is not None and speaker.is_on():
            raise OSError("the speaker is on")
        self._is_on = True
        self._world.emit("mic", on=True)

    def stop(self):
        if self._is_on and not self._world.microphone_is_stuck:
            self._is_on = False
            self._world.emit("mic", on=False)

    def is_on(self):
        return self._is_on

    def try_read(self, chunk):
        """Nothing is there before it was waited for."""
        return False

    async def read(self, chunk):
        """Fill `chunk`, 320 bytes of int16."""
        await self._let_network_settle()
        if self._world.microphone_fails:
            raise OSError("no data")
        if self._world.late_us > RING_US:
            self.overruns += 1
            self.changes += 1
            first = self._world.input_ms * SAMPLES_PER_MS
            while self._world.late_us > RING_US - 1000 * CHUNK_MS:  # what the ring could not hold
                self._world.late_us -= 1000 * CHUNK_MS - SPARE_US
                self._world.pass_by()
            last = self._world.input_ms * SAMPLES_PER_MS
            self._world.lost.append((first, last))
            self._world.emit("lost", samples_from=first, samples_to=last)
        self._world.pass_by(chunk)
        self._chunk = chunk

    def extremes(self):
        """Lowest and highest sample of the chunk read last, and how many were clamped: none."""
        samples = struct.unpack("<160h", self._chunk)
        return min(samples), max(samples), 0


class LightDriver:
    """Three numbers, kept.  On request of the scenario it stays as it is and does not answer, or
    shows the opposite of what it is told, which reading it back finds.
    """

    def __init__(self, world, has_colour):
        self._world = world
        self.has_colour = has_colour
        self._wanted = (0, 0, 0)

    def show(self, r, g, b):
        if self._world.light_fails:
            raise OSError("light does not answer")
        self._wanted = (r, g, b)
        is_wrong = self._world.light_is_wrong
        self._world.rgb = (255 - r, 255 - g, 255 - b) if is_wrong else self._wanted

    def is_ok(self):
        return not self._world.light_fails and self._world.rgb == self._wanted


class Controls:
    """The board's button and mute switch; without a board a button, and a switch when the scenario
    moves it.
    """

    def __init__(self, world, has_button):
        self._world = world
        self._debounce = SwitchDebounce()
        self.has_button = has_button

    def are_still(self):
        world = self._world
        if world.presses or world.switch:
            return False
        return world.switch is None or self._debounce.is_settled()

    def was_pressed(self):
        if not self._world.presses:
            return False
        self._world.presses -= 1
        return True

    def is_held(self):
        return False

    def press_was_missed(self):
        return False  # in this world a press waits until somebody looks

    def switch_muted(self):
        if self._world.switch is None:
            return None
        return self._debounce.update(self._world.switch, self._world.now_ms)

    def switch_was_moved(self):
        was_moved, self._debounce.was_moved = self._debounce.was_moved, False
        return was_moved


class Disk(Files):
    """A folder of the host, which may be full."""

    def __init__(self, folder, world):
        Files.__init__(self, folder)
        self._world = world

    def _put(self, path, mode, data):
        if self._world.disk_is_full:
            raise OSError(28)
        Files._put(self, path, mode, data)

    def free_bytes(self):
        return 0 if self._world.disk_is_full else DISK_BYTES


class Wifi:
    """What `status` asks of it: the scenario's network."""

    attempts = renewals = 0

    def __init__(self, world):
        self._world = world

    def status(self):
        return "no access point" if self._world.network == "down" else "connected"


class Watchdog:
    """Counts."""

    def __init__(self):
        self.fed = 0

    def feed(self):
        self.fed += 1


async def yield_to_tasks(turns=4):
    """Let the other tasks run; return as soon as none of them has anything to do."""
    for _ in range(turns):
        if runnable.peek() is None:
            return
        await asyncio.sleep_ms(0)
