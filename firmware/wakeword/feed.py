"""Bytes of any length in, whole chunks to the engine: for who cannot read 10 ms at a time.

Place in the pipeline: before `engine`, for a program that is not the satellite, whose driver makes
chunks itself.  Takes 16-bit samples and the 32-bit slots that an I2S port delivers, one channel or
one of two, little-endian; keeps what is left over, even half a sample, for the next call.
"""

from array import array

import micropython
from micropython import const

from .engine import CHUNK_SAMPLES

MIN_SHIFT, MAX_SHIFT = const(8), const(16)
MAX_CHANNELS = const(2)

# Words of the kernel's block.
_AT = const(0)  # bytes of the data that are used up
_END = const(1)  # bytes of the data
_STRIDE = const(2)  # bytes from a sample to the channel's next
_FIRST = const(3)  # bytes before the channel's sample
_SHIFT = const(4)  # 0: samples of 16 bits
_FILLED = const(5)  # samples in the chunk
_KEPT = const(6)  # bytes of a sample that has begun
_SAMPLE = const(7)  # the first of two words with these bytes
_WORDS = const(9)


class Feed:
    """Give an `engine.Engine` audio as it comes, at 16 kHz.

    bits: 16, or 32 for the slots of an I2S port, from which `>> shift` (8..16; 16 is the top 16
    bits, each less is +6 dB) makes samples, clamped.  channels: 1, or 2 where two take turns;
    channel: which of them is heard, 0 the first (left).  Raises ValueError for anything else.
    """

    def __init__(self, engine, bits=16, channels=1, channel=0, shift=14):
        if bits not in (16, 32):
            raise ValueError("bits must be 16 or 32")
        if not 0 <= channel < channels <= MAX_CHANNELS:
            raise ValueError("1 or 2 channels, and one of them")
        if not MIN_SHIFT <= shift <= MAX_SHIFT:
            raise ValueError("shift must be 8..16")
        self.engine = engine
        sample_bytes = bits // 8
        words = array("i", bytes(4 * _WORDS))
        words[_STRIDE] = sample_bytes * channels
        words[_FIRST] = sample_bytes * channel
        words[_SHIFT] = shift if bits == 32 else 0
        self._words = words
        self._chunk = bytearray(2 * CHUNK_SAMPLES)

    def reset(self):
        """Forget what was left over, and reset the engine."""
        self._words[_FILLED] = self._words[_KEPT] = 0
        self.engine.reset()

    @micropython.native
    def process(self, data, size=None):
        """Take the first `size` bytes of `data`, all of them by default; return the index of the
        model that detected in them, or -1.

        data: bytes, bytearray or a memoryview of these, of any length and at any address.  Where
        several detect, the first counts; a model detects once a second at most.  Allocates
        nothing.  Raises TypeError for what is not bytes, ValueError for a size beyond it.
        """
        have = len(data)
        if isinstance(data, array):
            raise TypeError("memoryview(bytes) of an array is what has bytes")
        if size is None:
            size = have
        elif not 0 <= size <= have:
            raise ValueError("size is not within the data")
        words = self._words
        words[_AT] = 0
        words[_END] = size
        chunk = self._chunk
        detected = -1
        while fill(data, chunk, words):
            heard = self.engine.process(chunk)
            if detected < 0:
                detected = heard
        return detected


# The reference, s the signed sample of a channel, of 16 or 32 bits, little-endian:
#     out = s                                             of 16 bits
#     out = min(max(s >> shift, -32768), 32767)           of 32 bits
# r = 1 when the chunk is full (160 samples), else 0: all of the data is used, and what has begun
# of a sample is kept in p.  x: the data, at any address; out: 320 bytes, aligned to 2; p: the
# words above, all >= 0.  Bounds: the highest byte is taken as -128..127, so the sum is within
# int32; the lowest byte goes, as the shift is >= 8, so |v| <= 2**23.  Feed guarantees stride,
# first and shift, and that the data has the bytes it is said to have.
@micropython.viper
def fill(x: ptr8, out: ptr16, p: ptr32) -> int:
    stride = p[2]
    first = p[3]
    shift = p[4]
    filled = p[5]
    kept = p[6]
    data = int(x)
    end = data + p[1]
    x = ptr8(data + p[0])
    out = ptr16(int(out) + (filled << 1))
    while filled < 160:
        rest = 0
        if kept or end - int(x) < stride:  # one sample, put together
            part = ptr8(int(p) + 28)
            while kept < stride:
                if int(x) == end:
                    p[0] = p[1]
                    p[5] = filled
                    p[6] = kept
                    return 0
                part[kept] = x[0]
                x = ptr8(int(x) + 1)
                kept += 1
            kept = 0
            rest = int(x)
            x = part
            stop = int(x) + stride
        else:  # all that are there, as far as the chunk goes
            stop = int(x) + (160 - filled) * stride
            if stop > end:
                stop = end
        filled -= int(out) >> 1
        stop -= stride - 1 - first  # beyond where the last sample begins
        x = ptr8(int(x) + first)
        if shift:
            while int(x) < stop:
                v = ((x[3] ^ 0x80) - 0x80 << 24 | x[2] << 16 | x[1] << 8) >> shift
                if v + 32768 >> 16:
                    v = -32768 if v < 0 else 32767
                out[0] = v
                out = ptr16(int(out) + 2)
                x = ptr8(int(x) + stride)
        else:
            while int(x) < stop:
                out[0] = x[1] << 8 | x[0]
                out = ptr16(int(out) + 2)
                x = ptr8(int(x) + stride)
        filled += int(out) >> 1
        x = ptr8(int(x) - first)
        if rest:
            x = ptr8(rest)
    p[0] = int(x) - data
    p[5] = 0
    p[6] = 0
    return 1
