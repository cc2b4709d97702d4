"""The speaker: an amplifier on an I2S port, written without waiting, silent unless it is started.

Place in the pipeline: takes chunks of 160 int16 samples from the app, at the volume they sound at.

How it writes (ports/esp32/machine_i2s.c and the driver below it): the port is polled once, which
switches it to the non-blocking mode for good; from then on `write` takes what fits into the DMA
buffers, maybe a part of a chunk, and returns.  The DMA never stops: what it has played it clears,
so when nobody writes it plays silence.  The buffers are played in turns, so the first chunk sounds
when the first buffer's turn comes again, and after an underrun a buffer that was not filled up
would be played a whole turn late: it is filled up with silence.

What closes: the amplifier, then the clock, at `stop` and at every fault.  What opens: the clock
with silence, then the amplifier.
"""

import select
import time

import micropython
from machine import I2S, Pin
from micropython import const

from . import i2s_port

RATE_HZ = const(16000)
_PER_MS = const(16)
_CHUNK_SAMPLES = const(160)
_CHUNK_BYTES = const(320)
#: The port takes whole DMA buffers of 256 samples of 16 bits.
_DMA_SAMPLES = const(256)
_DMA_BYTES = const(512)
#: A port that takes nothing for this long is taken for dead.
STUCK_MS = const(500)
_ETIMEDOUT = const(116)


# target[i] = source[i] for 320 bytes, aligned to 4; words go from load to store unchanged.
@micropython.viper
def copy_chunk(source: ptr32, target: ptr32):
    turns = 10
    while turns:
        target[0] = source[0]
        target[1] = source[1]
        target[2] = source[2]
        target[3] = source[3]
        target[4] = source[4]
        target[5] = source[5]
        target[6] = source[6]
        target[7] = source[7]
        source = ptr32(int(source) + 32)
        target = ptr32(int(target) + 32)
        turns -= 1


class I2SSpeaker:
    """One amplifier; allocates its buffers once; off when it is made.

    sck, ws, sd: pin numbers; sd is the data.  enable: the pin of the amplifier's shutdown or mute,
    on at level enable_on.  port: the I2S port to try first.  ring_bytes: of DMA, 32 bytes a
    millisecond.  ticks_ms: for tests.
    """

    def __init__(
        self, sck, ws, sd, enable, enable_on=1, port=1, ring_bytes=8192, ticks_ms=time.ticks_ms
    ):
        self._enable_on = enable_on
        self._enable = Pin(enable, Pin.OUT, value=1 - enable_on)  # first: whatever ran before
        self._pins = (sck, ws, sd)
        self._port = port
        self._ring_bytes = ring_bytes
        self._ring_samples = max(ring_bytes // _DMA_BYTES, 2) * _DMA_SAMPLES
        #: What it holds at most, the DMA buffers and a chunk, in whole chunks.
        self.buffer_ms = (self._ring_samples // _CHUNK_SAMPLES + 2) * 10
        self._ticks_ms = ticks_ms
        self._out = bytearray(_CHUNK_BYTES)
        self._silence = bytes(_DMA_BYTES)
        self._left = 0  # bytes of `_out` that the port has not taken
        self._now_ms = 0
        self._ticks = 0
        self._start_ms = 0
        self._last_taken_ms = 0
        self._at = 0  # where the next sample will sound, in samples since the start
        self._first = 0
        self._i2s = None
        self.late = 0
        #: The microphone, which is never on at the same time; hardware.Hardware sets it.
        self.other = None
        i2s_port.rest(self._pins)

    # --- what the light and the gate rely on ---

    def is_on(self):
        """Read back: the port exists, or the amplifier's pin reads on."""
        return self._i2s is not None or self._enable.value() == self._enable_on

    def start(self):
        """The clock with silence, then the amplifier.  Raises OSError, with everything off again.

        Refuses while the microphone is on.
        """
        if self._i2s is not None:
            return
        if self.other is not None and self.other.is_on():
            raise OSError("the microphone is on")
        try:
            if self.is_on():
                raise OSError("the amplifier cannot be switched off")
            self._port, self._i2s = i2s_port.open_port(self._port, self._new, select.POLLOUT)
            self._enable.value(self._enable_on)
            if self._enable.value() != self._enable_on:
                raise OSError("the amplifier does not come on")
        except OSError:
            self.stop()
            raise
        self._left = 0
        self._ticks = self._ticks_ms()
        self._start_ms = self._last_taken_ms = self._now_ms
        self._at = self._first = self._ring_samples  # the first buffer's second turn

    def stop(self):
        """The amplifier, the clock, the pins; drops what waits.  Raises nothing: ask `is_on`."""
        self._enable.value(1 - self._enable_on)
        if self._i2s is not None:
            try:
                self._i2s.deinit()
                self._i2s = None
            except OSError:
                pass  # still on, and is_on() says so
        if self.other is None or not self.other.is_on():  # some boards share the clock's pins
            i2s_port.rest(self._pins)
        self._left = 0
        for i in range(_CHUNK_BYTES):
            self._out[i] = 0

    # --- audio ---

    def write(self, chunk):
        """Take 10 ms, a bytearray of 320 bytes, without waiting; allocates nothing.

        Return True when all of it was taken, False when there is no room for it yet.
        Raises OSError when it is off or cannot play, with everything off.
        """
        if self._i2s is None:
            raise OSError("the speaker is off")
        ticks = self._ticks_ms()
        self._now_ms += time.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        if self._left:
            self._give()
            if self._left:
                return False
        copy_chunk(chunk, self._out)
        self._left = _CHUNK_BYTES
        self._give()
        return True

    # --- inside ---

    def _give(self):
        """Give the port what it has room for; whatever fails, everything is off before it says."""
        try:
            self._push(self._i2s)
        except OSError:
            self.stop()
            raise

    def _push(self, i2s):
        self._catch_up(i2s)
        left = self._left
        count = i2s.write(self._out, _CHUNK_BYTES - left, left) or 0
        if count:
            self._last_taken_ms = self._now_ms
        elif self._now_ms - self._last_taken_ms > STUCK_MS:
            raise OSError(_ETIMEDOUT, "the speaker takes no samples")
        self._left = left - count
        self._at += count >> 1

    def _catch_up(self, i2s):
        """After an underrun: count it, and go on with a whole buffer, the next that is played."""
        played = (self._now_ms - self._start_ms) * _PER_MS
        at = self._at
        if played // _DMA_SAMPLES < at // _DMA_SAMPLES:
            return
        if at != self._first:
            self.late += 1
            if at % _DMA_SAMPLES:
                i2s.write(self._silence, 2 * (at % _DMA_SAMPLES), _DMA_BYTES)
        self._at = self._first = (played // _DMA_SAMPLES + 1) * _DMA_SAMPLES

    def _new(self, port):
        sck, ws, sd = self._pins
        return I2S(
            port,
            sck=Pin(sck),
            ws=Pin(ws),
            sd=Pin(sd),
            mode=I2S.TX,
            bits=16,
            format=I2S.MONO,
            rate=RATE_HZ,
            ibuf=self._ring_bytes,
        )
