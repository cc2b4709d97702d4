"""From what the I2S port delivers to samples: channel, shift, DC removal, gain, clamp.

Place in the pipeline: `i2s_microphone` calls `convert` once a chunk; everything after it sees
int16 only.  Pure: imports nothing but micropython, array and its assembler, so it runs on any
MicroPython.

The port delivers pairs of 32-bit words, left first; a MEMS microphone puts its 24 bits at the top
of its word and the other word belongs to nobody (or to a second microphone).
"""

from array import array

import micropython
from micropython import const

LEFT, RIGHT = const(0), const(1)
CHANNEL_NAMES = ("left", "right")
BYTES_PER_PAIR = const(8)
MIN_SHIFT, MAX_SHIFT = const(12), const(15)
UNITY_GAIN_Q4, MAX_GAIN_Q4 = const(16), const(255)

# Words of the parameter block.
_SAMPLES = const(0)
_CHANNEL = const(1)
_SHIFT = const(2)
_GAIN_Q4 = const(3)
_DC = const(4)
_LOW = const(5)
_HIGH = const(6)
_CLAMPED = const(7)
_BIAS = const(1 << 29)


class Converter:
    """Turns chunks of `samples` pairs into int16 samples, remembering the DC offset in between.

    channel: LEFT or RIGHT.  shift: 12..15 bits from 32; 16 would be the top 16 bits, each less is
    +6 dB (14 is what ESPHome does, +12 dB); the limit keeps a living microphone's own noise above
    one step, so that silence never looks dead.  gain_q4: 1..255, sixteenths.
    """

    def __init__(self, samples, channel=LEFT, shift=14, gain_q4=UNITY_GAIN_Q4):
        if channel not in (LEFT, RIGHT):
            raise ValueError("channel must be LEFT or RIGHT")
        if not MIN_SHIFT <= shift <= MAX_SHIFT:
            raise ValueError("shift must be 12..15")
        if not 1 <= gain_q4 <= MAX_GAIN_Q4:
            raise ValueError("gain_q4 must be 1..255")
        self.samples = samples
        #: What `fastest` and `is_within` below take, for who calls them every 10 ms.
        self.words = array("i", (samples, channel, shift, gain_q4, _BIAS, 0, 0, 0))

    def reset(self):
        """Forget the DC offset."""
        self.words[_DC] = _BIAS

    def convert(self, raw, out):
        """`raw`: 8 bytes a pair; `out`: int16 little-endian samples.  Allocates nothing."""
        fastest(raw, out, self.words)

    def is_within(self, half_scale):
        """As the function of this name, of the last chunk."""
        return is_within(self.words, half_scale) != 0

    @property
    def low(self):
        """The lowest shifted sample of the last chunk, DC included: -2**19..2**19 - 1."""
        return self.words[_LOW] - _BIAS

    @property
    def high(self):
        """The highest shifted sample of the last chunk, DC included."""
        return self.words[_HIGH] - _BIAS

    @property
    def clamped(self):
        """How many samples of the last chunk had to be clamped to int16."""
        return self.words[_CLAMPED]


# The reference, for each pair, w the signed 32-bit word of the chosen channel:
#     v = w >> shift
#     y = v - (dc >> 9);  dc += y         one-pole high-pass, corner 16000 / (2 pi 512) = 5 Hz
#     out = min(max(y * gain >> 4, -32768), 32767)
# raw: pairs of uint32, aligned; out: int16; p: the words above, dc, low and high with 2**29 added
# so that no stored word is negative (ptr32 loads are signed on the chip, zero-extended on the
# host).  Bounds, with shift >= 12: |v| <= 2**19; dc goes a 512th of the way to 512 * v each time,
# so |dc| <= 2**28 + 2**9; |y| <= 2**20 + 1, so |y * gain| < 2**29.  Converter.__init__ guarantees
# shift and gain, the caller the sizes of raw and out.
@micropython.viper
def convert(raw: ptr32, out: ptr16, p: ptr32):
    one = 1
    bias = one << 29
    count = p[0]
    shift = p[2]
    gain = p[3]
    dc = p[4] - bias
    half = one << (31 - shift)
    mask = half + half - 1
    low = half
    high = 0 - half
    clamped = 0
    raw = ptr32(int(raw) + (p[1] << 2))
    while count:
        v = (((raw[0] >> shift) & mask) ^ half) - half
        if v < low:
            low = v
        if v > high:
            high = v
        v -= dc >> 9
        dc += v
        v = (v * gain) >> 4
        if v > 32767:
            v = 32767
            clamped += 1
        if v < -32768:
            v = -32768
            clamped += 1
        out[0] = v
        raw = ptr32(int(raw) + 8)
        out = ptr16(int(out) + 2)
        count -= 1
    p[4] = dc + bias
    p[5] = low + bias
    p[6] = high + bias
    p[7] = clamped


# r = 1 when the last chunk moved, within +-half_scale, unclamped, which microphone_health.judge
# calls OK; else 0.  p: the words above.
@micropython.viper
def is_within(p: ptr32, half_scale: int) -> int:
    one = 1
    bias = one << 29
    low = p[_LOW]
    high = p[_HIGH]
    if low == high or low < bias - half_scale or high >= bias + half_scale or p[_CLAMPED] != 0:
        return 0
    return 1


# buffer[i] = 0 for i in range(words); buffer aligned to 4, words a multiple of 8
@micropython.viper
def clear_words(buffer: ptr32, words: int):
    while words:
        buffer[0] = 0
        buffer[1] = 0
        buffer[2] = 0
        buffer[3] = 0
        buffer[4] = 0
        buffer[5] = 0
        buffer[6] = 0
        buffer[7] = 0
        buffer = ptr32(int(buffer) + 32)
        words -= 8


try:
    from .pcm_xtensa import convert as fastest
except (ImportError, SyntaxError):  # not there, or not an ESP32-S3
    fastest = convert
