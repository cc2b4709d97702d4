"""The chip's `machine`, as far as the drivers use it: pins, PWM, I2S and watchdog that behave.

For: tests of firmware/drivers in the host's MicroPython (put tests/fakes before everything else on
the path).  No recording stubs: wrong use raises what the chip raises, and the state of every pin
can be looked at.  `reset()` starts a new chip.

Modelled after ports/esp32 of MicroPython 1.28: a port can be open once; an object made anew for
an open port closes it first, unless a soft reset lost track of it; reads wait until the port was
polled; samples come in DMA buffers of 256 pairs, and the oldest of a full ring is lost in silence.
A port that writes plays its DMA buffers in turns and clears what it has played; the one that is
being filled belongs to the writer until it is full.
"""

import io
import time

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
#: The chip's own number, which is also its MAC address: nothing that leaves may tell it.
UNIQUE_ID = b"\x7c\xdf\xa1\x5e\x0b\x93"
_DMA_PAIRS = 256
#: Ticks wrap after the third day, whatever the host's period is.
_FIRST_TICKS_MS = time.ticks_add(0, -3 * 86400000)
_EPERM, _EINVAL, _EBUSY = 1, 22, 0x105


class World:
    """The outside: levels on wires, the sound at the microphone, time, what is broken."""

    def __init__(self):
        self.now_us = 0
        self.levels = {}  # wire: level driven from outside
        self.shorted = {}  # wire: level whatever is driven
        self.nets = {}  # wire: Net it is connected to
        self.users = {}  # wire: what uses it inside the chip
        self.pins = {}
        self.irqs = {}  # wire: (handler, trigger)
        self.ports = [None, None]
        self.leaked = [False, False]  # in use, and nobody has the object
        self.bus_is_dead = False
        self.reads_may_wait = False  # else a read before the first poll is an error
        self.pwm_lag_looks = 0
        self.pwm_is_stuck = False
        self.cause = PWRON_RESET
        self.freq_hz = 160000000
        self.registers = {0x60008038: 1}  # power-on
        self.rtc_memory = b""
        self.fed = 0
        self.wdt_timeout_ms = None
        self.sound = lambda n: (0, 0)  # pair n -> (left, right), signed 32 bits
        self.events = []

    def sleep_ms(self, ms):
        self.now_us += 1000 * ms

    def drive(self, wire, level):
        """Another level from outside, and the interrupt that comes with it."""
        before, self.levels[wire] = self.levels.get(wire), level
        handler, trigger = self.irqs.get(wire, (None, 0))
        edge = Pin.IRQ_RISING if level else Pin.IRQ_FALLING
        if handler and before != level and trigger & edge:
            handler(self.pins[wire])

    def ticks_ms(self):
        return time.ticks_add(_FIRST_TICKS_MS, self.now_us // 1000)


world = World()


def reset():
    """A new chip and a quiet world."""
    world.__init__()


def soft_reset(loses_ports=False):
    """Objects are gone; the finaliser of a port ran, or (loses_ports) did not."""
    for port in (0, 1):
        if world.ports[port] is not None:
            if loses_ports:
                world.leaked[port] = True
            else:
                world.ports[port].deinit()
        world.ports[port] = None


class Net:
    """What another pin switches on at level `on`: it follows after so many looks at it."""

    def __init__(self, switch, on, looks=0):
        self._switch, self._on, self._looks = switch, on, looks
        self._level = self._seen = 0
        self._waited = 0

    def level(self):
        now = 1 if Pin(self._switch).value() == self._on else 0
        if now != self._seen:
            self._seen, self._waited = now, 0
        if self._waited >= self._looks:
            self._level = now
        self._waited += 1
        return self._level


class Pin:
    IN, OUT = 1, 3
    PULL_UP, PULL_DOWN = 2, 1
    IRQ_RISING, IRQ_FALLING = 1, 2

    def __new__(cls, number, *arguments, **keywords):
        if not 0 <= number <= 48 or 22 <= number <= 25:
            raise ValueError("invalid pin")
        pin = world.pins.get(number)
        if pin is None:
            pin = object.__new__(cls)
            pin.number, pin.mode, pin.pull, pin.driven = number, None, None, 0
            world.pins[number] = pin
        return pin

    def __init__(self, number, mode=None, pull=-1, value=None):
        if mode is not None:
            self.mode = mode
            world.users.pop(number, None)  # the port, if any, is disconnected from the wire
            if mode == Pin.IN:
                world.events.append((number, "in"))
        if pull != -1:
            self.pull = pull
        if value is not None:
            self.driven = value
            world.events.append((number, value))

    def value(self, level=None):
        if level is None:
            return self._level()
        self.driven = 1 if level else 0
        world.events.append((self.number, self.driven))

    def irq(self, handler=None, trigger=IRQ_FALLING | IRQ_RISING):
        world.irqs[self.number] = (handler, trigger)

    def _level(self):
        if self.number in world.shorted:
            return world.shorted[self.number]
        if self.mode == Pin.OUT:
            return self.driven
        if self.number in world.nets:
            return world.nets[self.number].level()
        if self.number in world.levels:
            return world.levels[self.number]
        return 1 if self.pull == Pin.PULL_UP else 0


class PWM:
    def __init__(self, pin, freq=None, duty_u16=0):
        self._pin = pin
        self.freq_hz = freq
        self._duty = self._old = 0
        self._looks = 0
        self.duty_u16(duty_u16)
        world.users[pin.number] = self

    def duty_u16(self, duty=None):
        if duty is None:
            if world.pwm_is_stuck or self._looks < world.pwm_lag_looks:
                self._looks += 1
                return self._old
            return self._duty & 0xFFF8  # 13 bits at 10 kHz
        if not 0 <= duty <= 65535:
            raise ValueError("duty_u16 must be from 0 to 65536")
        if not world.pwm_is_stuck:
            self._old = self._duty
        self._duty = duty
        self._looks = 0


class _Player:
    """The DMA of a port that writes: `samples` have sounded, silence included."""

    def __init__(self, rate, ibuf):
        self._rate = rate
        self._buffers = [bytearray(2 * _DMA_PAIRS) for _ in range(max(ibuf // 512, 2))]
        self._began_us = world.now_us
        self._free = []  # played buffers, oldest first; one less than all can wait
        self._filling = None
        self._filled = 0
        self._sounded = 0  # bytes
        self.samples = bytearray()

    def pass_time(self):
        """Let sound what has sounded by now."""
        until = 2 * ((world.now_us - self._began_us) * self._rate // 1000000)
        while self._sounded < until:
            block, at = divmod(self._sounded, 2 * _DMA_PAIRS)
            buffer = self._buffers[block % len(self._buffers)]
            count = min(2 * _DMA_PAIRS - at, until - self._sounded)
            self.samples.extend(buffer[at : at + count])
            self._sounded += count
            if at + count == 2 * _DMA_PAIRS:
                buffer[:] = bytes(2 * _DMA_PAIRS)
                if len(self._free) == len(self._buffers) - 1:
                    self._free.pop(0)
                self._free.append(buffer)

    def take(self, data):
        """How many bytes fit, without waiting."""
        self.pass_time()
        done = 0
        while done < len(data):
            if self._filling is None:
                if not self._free:
                    break
                self._filling, self._filled = self._free.pop(0), 0
            count = min(2 * _DMA_PAIRS - self._filled, len(data) - done)
            self._filling[self._filled : self._filled + count] = data[done : done + count]
            self._filled += count
            done += count
            if self._filled == 2 * _DMA_PAIRS:
                self._filling = None
        return done


class I2S(io.IOBase):
    RX, TX = 1, 2
    MONO, STEREO = 0, 1

    def __init__(self, port, *, sck, ws, sd, mode, bits, format, rate, ibuf):
        if port not in (0, 1):
            raise ValueError("invalid id")
        if world.ports[port] is not None:
            world.ports[port].deinit()
        world.ports[port] = self
        if mode not in (I2S.RX, I2S.TX):
            raise ValueError("invalid mode")
        if bits not in (16, 32) or format not in (I2S.MONO, I2S.STEREO):
            raise ValueError("invalid bits or format")
        self.port, self.is_open = port, False
        if world.leaked[port] or world.bus_is_dead:
            raise OSError(_EBUSY, "no free channel")
        self._pair_bytes = bits // 8 * (2 if format == I2S.STEREO else 1)
        self.mode = mode
        if self._pair_bytes != (8 if mode == I2S.RX else 2):
            raise ValueError("only reading 32-bit stereo and writing 16-bit mono are modelled")
        self.is_open, self.waits = True, True
        self._rate = rate
        self._wires = [pin.number for pin in (sck, ws, sd)]
        for number in self._wires:
            world.users[number] = self
            world.pins[number].mode = world.pins[number].pull = None
        self._began_us = world.now_us
        self._taken = 0
        self._ring_pairs = max(ibuf // 2048, 2) * _DMA_PAIRS - _DMA_PAIRS
        self.lost = 0
        self.player = _Player(rate, ibuf) if mode == I2S.TX else None
        self.is_stuck = False
        world.events.append(("clock", 1))

    def ioctl(self, request, argument):
        """The host's select asks Python streams here; MP_STREAM_POLL is 3."""
        if request == 3:
            self.waits = False
            if argument & ~(1 if self.mode == I2S.RX else 4):
                raise OSError(_EPERM)
            return argument if self.player or self._waiting() else 0
        return -1

    def write(self, buffer, offset=0, length=None):
        if not self.is_open:
            raise OSError(_EINVAL)
        if self.mode != I2S.TX:
            raise OSError(_EPERM)
        if self.waits:
            raise RuntimeError("this write would block the other tasks")
        if length is None:
            length = len(buffer)
        return 0 if self.is_stuck else self.player.take(buffer[offset : offset + length])

    def _waiting(self):
        pairs = (world.now_us - self._began_us) * self._rate // 1000000
        ready = pairs // _DMA_PAIRS * _DMA_PAIRS
        if ready - self._taken > self._ring_pairs:
            self.lost += ready - self._taken - self._ring_pairs
            self._taken = ready - self._ring_pairs
        return ready - self._taken

    def readinto(self, buffer):
        if not self.is_open:
            raise OSError(_EINVAL)
        if self.mode != I2S.RX:
            raise OSError(_EPERM)
        if len(buffer) % 8:
            raise OSError(_EINVAL)
        wanted = len(buffer) // 8
        if self.waits:
            if not world.reads_may_wait:
                raise RuntimeError("this read would block the other tasks")
            while self._waiting() < wanted:
                world.sleep_ms(1)
        count = min(wanted, self._waiting())
        at = 0
        for n in range(self._taken, self._taken + count):
            for word in world.sound(n):
                for shift in (0, 8, 16, 24):
                    buffer[at] = word >> shift & 255
                    at += 1
        self._taken += count
        return 8 * count

    def deinit(self):
        if self.is_open:
            self.is_open = False
            if self.player:
                self.player.pass_time()
            for number in self._wires:
                if world.users.get(number) is self:
                    world.users.pop(number)
            world.events.append(("clock", 0))


class WDT:
    def __init__(self, timeout=5000):
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        world.wdt_timeout_ms = timeout

    def feed(self):
        world.fed += 1


class RTC:
    """Its memory keeps over every reset but power-on."""

    def memory(self, data=None):
        if data is None:
            return world.rtc_memory
        if len(data) > 2048:
            raise ValueError("buffer too long")
        world.rtc_memory = bytes(data)


class _Memory:
    def __getitem__(self, address):
        return world.registers[address]


mem32 = _Memory()


def freq(hz=None):
    if hz is None:
        return world.freq_hz
    if hz not in (80000000, 160000000, 240000000):
        raise ValueError("frequency must be 80MHz, 160MHz or 240MHz")
    world.freq_hz = hz


def unique_id():
    return UNIQUE_ID


def reset_cause():
    return world.cause
