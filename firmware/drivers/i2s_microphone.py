"""The microphone on the I2S port: started and stopped for real, read without blocking, watched.

Place in the pipeline: hands chunks of 160 int16 samples to the app.

How it reads: `machine.I2S` has three modes (extmod/machine_i2s.c).  Blocking reads hold up every
other task for up to a DMA buffer, 16 ms.  With a callback a second thread of the system fills the
buffer: stopping the port in mid-read would end in that thread as a crash, its queue is one deep,
and a callback that finds the scheduler full is lost.  Asyncio's StreamReader waits for a flag
that the DMA interrupt sets, allocates at every read, and was seen to freeze on octal SPIRAM
(micropython #16029).  So: the port is polled once, which switches it to the non-blocking mode for
good, and from then on `readinto` takes what is there, and sleeps until the DMA should have more;
neither the flag nor the stream layer is waited for.
"""

import asyncio
import select
import time
from time import ticks_diff

import micropython
from machine import I2S, Pin
from micropython import const

from . import i2s_port
from .microphone_health import (
    ALL_ZERO,
    NO_DATA,
    STUCK,
    WRONG_CHANNEL,
    MicrophoneHealth,
    is_alive,
    judge,
)
from .overruns import RingClock, empty, took
from .pcm import BYTES_PER_PAIR, LEFT, UNITY_GAIN_Q4, Converter, clear_words, is_within
from .pcm import fastest as convert

RATE_HZ = const(16000)
SAMPLES = const(160)
CHUNK_MS = const(10)
_RAW_WORDS = const(320)
_RAW_BYTES = const(1280)
_CHUNK_WORDS = const(80)
#: Without a sample for this long the port is taken for dead.
SILENT_MS = const(500)
_WAIT_MS = const(4)
#: The DMA hands over a buffer of 256 pairs at a time.
_DMA_BYTES = const(256 * 8)
_DMA_MS = const(16)
#: Reads end at the borders of DMA buffers of 256 pairs, so inside a chunk at multiples of this.
_STEP_BYTES = const(32 * 8)
_ETIMEDOUT = const(116)
_SUPPLY_LOOKS = const(100)
_SUPPLY_LOOK_US = const(200)


class I2SMicrophone:
    """One microphone; allocates its buffers once.

    sck, ws, sd: pin numbers.  channel, shift, gain_q4: see pcm.Converter.  settle_ms: how
    long silence is delivered after the start, while the microphone wakes up.  supply: the pin that
    feeds the microphone, on at level supply_on; sense: a pin that reads that supply (high: on).
    ring_bytes: 8 bytes a sample; of 32768, 256 ms, one DMA buffer of 16 ms is always being filled.
    ticks_ms: for tests.
    """

    def __init__(
        self,
        sck,
        ws,
        sd,
        channel=LEFT,
        shift=14,
        gain_q4=UNITY_GAIN_Q4,
        settle_ms=100,
        supply=None,
        supply_on=1,
        sense=None,
        port=0,
        ring_bytes=32768,
        ticks_ms=time.ticks_ms,
    ):
        self._pins = (sck, ws, sd)
        self._channel = channel
        self._converter = Converter(SAMPLES, channel, shift, gain_q4)
        self._half_scale = 1 << (30 - shift)
        self._settle_chunks = settle_ms // CHUNK_MS
        self._supply_on = supply_on
        self._port = port
        self._ring_bytes = ring_bytes
        self._ticks_ms = ticks_ms
        per_ms = BYTES_PER_PAIR * RATE_HZ // 1000
        self._ring = RingClock((ring_bytes - _DMA_BYTES) // per_ms)
        self._ring_words = self._ring.words
        self._pcm_words = self._converter.words
        self._health = MicrophoneHealth()
        #: Grows whenever `health` or `overruns` may say something new.
        self.changes = 0
        self._raw = bytearray(SAMPLES * BYTES_PER_PAIR)
        view = memoryview(self._raw)
        self._rests = tuple(view[at:] for at in range(0, len(self._raw), _STEP_BYTES))
        self._reader = _Read(self)
        self._filled = 0
        self._now_ms = 0
        self._ticks = 0
        self._last_data_ms = 0
        self._arrived_ms = 0  # when the newest of the DMA's buffers was found
        self._is_dry = True
        #: A read found too little, and nobody has waited since.
        self.is_early = False
        self._settling = 0
        self._i2s = None
        self._supply = None
        if supply is not None:
            self._supply = Pin(supply, Pin.OUT, value=1 - supply_on)
        self._sense = None if sense is None else Pin(sense, Pin.IN)
        #: The speaker, which is never on at the same time; hardware.Hardware sets it.
        self.other = None
        i2s_port.rest(self._pins)  # whatever ran before: no clock reaches the microphone

    # --- what the light and the gate rely on ---

    @micropython.native
    def is_on(self):
        """Read back: the port exists, or the supply reads on although it should not."""
        return self._i2s is not None or self._supply_is_on()

    def start(self):
        """Supply, read back, then the clock.  Raises OSError, with everything off again.

        Refuses while the speaker is on.
        """
        if self._i2s is not None:
            return
        if self.other is not None and self.other.is_on():
            raise OSError("the speaker is on")
        try:
            if self._supply is not None:
                self._supply.value(self._supply_on)
                if not self._supply_becomes(True):
                    raise OSError("the microphone's supply does not come on")
            self._port, self._i2s = i2s_port.open_port(self._port, self._new, select.POLLIN)
        except OSError:
            self.stop()
            raise
        self._filled = 0
        self._settling = self._settle_chunks
        self._converter.reset()
        self._health.reset()
        self.changes += 1
        self._ticks = self._ticks_ms()
        self._last_data_ms = self._arrived_ms = self._now_ms
        self._is_dry = True
        self._ring.empty(self._now_ms)

    def stop(self):
        """The clock, the pins, the supply.  Ask `is_on` whether it worked; raises nothing."""
        if self._i2s is not None:
            try:
                self._i2s.deinit()
                self._i2s = None
            except OSError:
                pass  # still on, and is_on() says so
        if self.other is None or not self.other.is_on():  # some boards share the clock's pins
            i2s_port.rest(self._pins)
        if self._supply is not None:
            self._supply.value(1 - self._supply_on)
            self._supply_becomes(False)
        clear_words(self._raw, _RAW_WORDS)

    # --- audio ---

    @micropython.native
    def read(self, chunk):
        """`await read(chunk)`: the next 10 ms into `chunk` (320 bytes).  Allocates nothing.

        Right after a `try_read` that came too early it waits first.  Raises OSError when the
        microphone is off, or has delivered nothing for SILENT_MS.
        """
        self._reader.chunk = chunk
        return self._reader

    @micropython.native
    def try_read(self, chunk):
        """As `read`, at once: True when `chunk` was filled, False when it is too early.

        In one piece, and in machine code: every name that it looks up costs the 10 ms.
        """
        i2s = self._i2s
        if i2s is None:
            raise OSError("the microphone is off")
        ticks = self._ticks_ms()
        now_ms = self._now_ms + ticks_diff(ticks, self._ticks)
        self._now_ms = now_ms
        self._ticks = ticks
        raw = self._raw
        filled = self._filled
        count = i2s.readinto(self._rest(filled) if filled else raw)
        if count:
            self._last_data_ms = now_ms
            if self._is_dry:
                self._is_dry = self.is_early = False
                self._arrived_ms = now_ms
            if filled + count == _RAW_BYTES:
                if filled:
                    self._filled = 0
                if took(self._ring_words, SAMPLES, now_ms):
                    self.changes += 1
                convert(raw, chunk, self._pcm_words)
                if self._settling:
                    self._settling -= 1
                    clear_words(chunk, _CHUNK_WORDS)
                elif not (self._health.is_well and is_within(self._pcm_words, self._half_scale)):
                    self._judge()
                return True
            filled += count
            self._filled = filled
        elif now_ms - self._last_data_ms > SILENT_MS:
            self._health.state = NO_DATA
            self.changes += 1
            raise OSError(_ETIMEDOUT, "no samples")
        self._is_dry = self.is_early = True
        empty(self._ring_words, now_ms - filled // BYTES_PER_PAIR // 16)
        return False

    @micropython.native
    def wait_ms(self):
        """How long to wait after `try_read` found too little: until the DMA's next buffer."""
        left_ms = self._arrived_ms + _DMA_MS - self._now_ms
        return left_ms if left_ms > 0 else _WAIT_MS

    # --- what diagnostics ask ---

    @property
    def overruns(self):
        """How often samples were lost because nobody read them in time."""
        return self._ring.overruns

    @property
    def worst_behind_ms(self):
        """The most that ever waited to be read."""
        return self._ring.worst_behind_ms

    def extremes(self):
        """(lowest, highest, clamped) of the last chunk, before DC removal; a new tuple."""
        converter = self._converter
        return converter.low, converter.high, converter.clamped

    def health(self):
        """OK, or what is wrong, of microphone_health.HEALTH_NAMES."""
        return self._health.state

    # --- inside ---

    def _rest(self, filled):
        """What is still to be filled; allocates at a border that the chip does not make."""
        if filled % _STEP_BYTES:
            return memoryview(self._raw)[filled:]
        return self._rests[filled // _STEP_BYTES]

    def _judge(self):
        """Whether the microphone lives, by the chunk that was just converted."""
        converter = self._converter
        seen = judge(converter.low, converter.high, converter.clamped, SAMPLES, self._half_scale)
        if self._health.update(seen):
            self.changes += 1
            if (seen == ALL_ZERO or seen == STUCK) and is_alive(self._raw, 1 - self._channel):
                self._health.state = WRONG_CHANNEL

    def _supply_is_on(self):
        if self._sense is not None:
            return self._sense.value() == 1
        return self._supply is not None and self._supply.value() == self._supply_on

    def _supply_becomes(self, is_on):
        """Wait up to 20 ms for the net to charge or empty; whether it did."""
        for _ in range(_SUPPLY_LOOKS):
            if self._supply_is_on() == is_on:
                return True
            time.sleep_us(_SUPPLY_LOOK_US)
        return False

    def _new(self, port):
        sck, ws, sd = self._pins
        return I2S(
            port,
            sck=Pin(sck),
            ws=Pin(ws),
            sd=Pin(sd),
            mode=I2S.RX,
            bits=32,
            format=I2S.STEREO,
            rate=RATE_HZ,
            ibuf=self._ring_bytes,
        )


class _Read:
    """The awaitable of `read`, one for all reads: a coroutine per read would allocate."""

    def __init__(self, microphone):
        self._microphone = microphone
        self._done = StopIteration()
        self.chunk = None

    def __iter__(self):
        return self

    def __await__(self):
        return self

    def __next__(self):
        microphone = self._microphone
        if not microphone.is_early and microphone.try_read(self.chunk):
            self._done.__traceback__ = None
            raise self._done
        microphone.is_early = False
        # MicroPython's sleep is its own iterator; the stubs say coroutine.
        asyncio.sleep_ms(microphone.wait_ms()).__next__()  # type: ignore[attr-defined]
