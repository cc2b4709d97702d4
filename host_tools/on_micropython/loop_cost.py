"""Runs the application's loop, idle and then streaming, for whoever counts what a chunk costs.

    loop_cost.py STEPS MODEL...

Runs inside MicroPython.  The microphone's driver, the application, the streamer and the engine are
the firmware's; below them are a port, a connection and a storage that do as little as possible and
allocate nothing.  Calls gc.collect() before and after STEPS chunks of each state, so that a
profiler can tell them apart: connected and idle first, then a stream.
"""

import asyncio
import gc
import io
import sys


class Port(io.IOBase):
    """The I2S port: every second look finds a chunk of silence that is not quite silent."""

    RX = STEREO = 0

    def __init__(self, *_pins, **_settings):
        self._is_due = False

    def ioctl(self, _request, _argument):
        return 0

    def readinto(self, buffer):
        self._is_due = not self._is_due
        if not self._is_due:
            return 0
        buffer[3] ^= 1
        return len(buffer)

    def deinit(self):
        pass


class Pin:
    IN = OUT = PULL_DOWN = PULL_UP = IRQ_RISING = IRQ_FALLING = 0

    def __init__(self, *_settings, **_more):
        pass

    def value(self, *_level):
        return 1

    def irq(self, *_settings):
        pass


class Machine:
    I2S = Port
    Pin = Pin


sys.modules["machine"] = Machine

import main  # noqa: E402
from drivers.controls import Controls  # noqa: E402
from drivers.i2s_microphone import I2SMicrophone  # noqa: E402
from satellite import protocol  # noqa: E402
from satellite.config import Config  # noqa: E402
from wakeword.model import read  # noqa: E402

_WARM_UP_STEPS = 60
_STREAM = "000000000000004d"  # 77, the only random number here


class Board:
    """The drivers, by the names of satellite/ports.py; time goes on with the chunks."""

    overruns = attempts = renewals = 0
    has_colour = True
    reset = "power"
    wifi = speaker = None

    def __init__(self):
        self.mic = I2SMicrophone(0, 1, 2, settle_ms=0, ticks_ms=self.ticks_ms)
        self.light = self.clock = self.watchdog = self.storage = self
        self.controls = Controls(0, now_ms=self.now_ms)
        self._ms = 0
        self.answer = asyncio.Event()
        self.text = b""

    # clock
    def ticks_ms(self):
        return self._ms

    def now_ms(self):
        return self._ms

    def ticks_us(self):
        return 0

    def sleep_ms(self, ms):
        self._ms += ms
        return asyncio.sleep_ms(0)

    # watchdog
    def feed(self):
        self._ms += 10
        self.app.turn()

    # light
    def show(self, r, g, b):
        pass

    def is_ok(self):
        return True

    # storage
    def read(self, _name, _limit):
        return None

    def size(self, _name):
        return -1

    def write_atomic(self, _name, _data):
        pass

    append = rename = write_atomic

    def remove(self, _name):
        pass

    def free_bytes(self):
        return 1 << 20

    def random_number(self):
        return 77

    # the connection
    async def connect(self):
        link = Link()
        return link, link


class Link:
    """The receiver: answers a ping and a consent, and takes all the rest."""

    out_buf = b""

    def __init__(self):
        self._event = asyncio.Event()
        self._answer = b""

    def write(self, data):
        if data[9] == 112:  # {"type":"ping"
            self._say(protocol.encode(protocol.PONG))
        elif data[9] == 99:  # {"type":"consent"
            self._say(protocol.encode(protocol.CONSENT_ACCEPTED, {"stream": _STREAM}))

    def _say(self, answer):
        self._answer += answer
        self._event.set()

    async def read(self, _count):
        await self._event.wait()
        self._event.clear()
        answer, self._answer = self._answer, b""
        return answer

    def drain(self):
        return asyncio.sleep_ms(0)

    def close(self):
        pass

    def wait_closed(self):
        return asyncio.sleep_ms(0)


class End(Exception):
    """All was counted."""


class Counted(main.App):
    """The application, which leaves its state at the chunks that are counted."""

    steps = 0
    at = 0
    is_counting = False

    def turn(self):
        """Another turn of the loop is over."""
        self.at += 1
        if self.at == _WARM_UP_STEPS:
            self._count(main_gate.IDLE)
        elif self.at == _WARM_UP_STEPS + self.steps:
            self._count(main_gate.IDLE)
            self._gate.wake(77)
            self._gate.speech()
        elif self.at == 2 * _WARM_UP_STEPS + self.steps:
            self._count(main_gate.STREAMING)
        elif self.at == 2 * (_WARM_UP_STEPS + self.steps):
            self._count(main_gate.STREAMING)
            raise End

    def _count(self, state):
        assert self._gate.state == state and self.parts.streamer.is_connected
        gc.collect()


def _never_muted():
    return False


from satellite import gate as main_gate  # noqa: E402


def run(steps, *models):
    kinds = main.Kinds()
    kinds.app = Counted
    board = Board()
    app = board.app = main.build(
        board, Config.defaults(), [read(model) for model in models], kinds
    )
    app.steps = int(steps)
    app.parts.mute_store.load = _never_muted
    try:
        asyncio.run(app.run())
    except End:
        print("sent", app.parts.gate.sent_bytes)


run(*sys.argv[1:])
