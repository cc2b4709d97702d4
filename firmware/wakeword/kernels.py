"""The model's kernels: every multiply of a wake-word model happens in this file.

Place in the pipeline: `model.Model` calls these in the order of the model file's ops; each
reads and writes one arena (all activations and history) and reads one immutable model buffer.
Imports nothing but micropython.

Conventions, for all kernels:

* Signature `kernel(arena, model, at)`; `at` is the byte offset of the op's words in the model
  buffer.  Word numbers below are those of docs/model-format.md; `model_format.check` has proved
  every offset in range before a kernel runs.
* Activations and weights are *offset binary*: the byte `value + 128` of an int8 `value`, so
  that no load needs a sign extension.  The offset leaves the sums as `-128 * sum(x)` and a
  constant of the output channel.
* `int` is the machine word: 32 bits on the chip.  No intermediate leaves int32; what bounds
  them stands at each kernel and is proved from the actual weights, output channel by output
  channel, by host_tools/models/bounds.py.
* Words are read through ptr32, which is zero-extended on a 64-bit host and signed on the chip,
  so every stored word is non-negative: what may be negative is stored with 2**30 added.
* In a .mpy only the first two locals live in registers.  Hence the first two arguments, which
  start as the addresses of arena and model, become the moving pointers `x` and `w` of the inner
  loops.
"""

import micropython


# The reference, in plain Python, for each output channel c (TFLite reference_integer_ops/conv.h
# and fully_connected.h, the accumulator without its bias):
#     acc[c] = sum(x[i] * (w[c][i] - 128) for i in range(8 * blocks))
# computed as sum(x * w) - 128 * sum(x), since all x are shared by the channels. x, w: uint8.  The
# layer's input is padded to a multiple of 8 with weights of 128 (zero), whatever lies there; the
# rows of weights to a multiple of 16.
# Bounds: sum(x * w) <= 255 * sum(w) < 2**31 and |acc| < 2**30, by bounds.py.  Stored: acc + 2**30,
# a word each.
@micropython.viper
def dot(x: ptr8, w: ptr8, at: int):
    p = ptr32(int(w) + at)
    arena = int(x)
    position = ptr32(arena + p[2])
    start = arena + p[1] + position[0] * p[3]
    blocks = p[4]
    channels = p[5]
    out = ptr32(arena + p[6])
    w = ptr8(int(w) + p[7])
    padding = (blocks & 1) << 3

    x = ptr8(start)
    total = 0
    i = blocks
    while i:
        total += x[0] + x[1] + x[2] + x[3] + x[4] + x[5] + x[6] + x[7]
        x = ptr8(int(x) + 8)
        i -= 1
    one = 1
    total = (one << 30) - (total << 7)

    while channels:
        x = ptr8(start)
        s = total
        i = blocks
        while i:
            s += (
                x[0] * w[0]
                + x[1] * w[1]
                + x[2] * w[2]
                + x[3] * w[3]
                + x[4] * w[4]
                + x[5] * w[5]
                + x[6] * w[6]
                + x[7] * w[7]
            )
            x = ptr8(int(x) + 8)
            w = ptr8(int(w) + 8)
            i -= 1
        w = ptr8(int(w) + padding)
        out[0] = s
        out = ptr32(int(out) + 4)
        channels -= 1


# The reference, for each channel c (TFLite reference_integer_ops/depthwise_conv.h, without the
# bias):
#     acc[c] = sum(x[c][k] * (w[c][k] - 128) for k in range(4 * blocks))
# x: uint8, each channel's history contiguous, `p[4]` bytes from channel to channel; w: uint8,
# padded with 128 to a multiple of 16. Bounds: as for dot.  Stored: acc + 2**30, a word each.
@micropython.viper
def depthwise(x: ptr8, w: ptr8, at: int):
    p = ptr32(int(w) + at)
    arena = int(x)
    position = ptr32(arena + p[2])
    row = arena + p[1] + position[0] * p[3]
    pitch = p[4]
    blocks = p[5]
    channels = p[6]
    out = ptr32(arena + p[7])
    w = ptr8(int(w) + p[8])
    padding = (0 - (blocks << 2)) & 15
    one = 1
    offset = one << 30
    while channels:
        x = ptr8(row)
        s = offset
        i = blocks
        while i:
            s += (
                x[0] * w[0]
                + x[1] * w[1]
                + x[2] * w[2]
                + x[3] * w[3]
                - ((x[0] + x[1] + x[2] + x[3]) << 7)
            )
            x = ptr8(int(x) + 4)
            w = ptr8(int(w) + 4)
            i -= 1
        w = ptr8(int(w) + padding)
        out[0] = s
        out = ptr32(int(out) + 4)
        row += pitch
        channels -= 1


# The reference, for each channel (gemmlowp fixedpoint.h; TFLite MultiplyByQuantizedMultiplier,
# double rounding):
#     a = (acc + bias) << left
#     r = (a * multiplier + 2**30) >> 31                      SaturatingRoundingDoublingHighMul
#     r = sign(r) * ((abs(r) + ((1 << right) >> 1)) >> right)   RoundingDivideByPOT
#     out = min(max(r + zero, low), high)
# With multiplier = 2**30 + m (a normalised multiplier is at least 2**30), a = ah * 2**15 + al, m =
# mh * 2**15 + ml, all of al, mh, ml < 2**15:
#     (a * multiplier + 2**30) >> 31 == (a + 1 + (a * m >> 30)) >> 1
#     a * m >> 30 == ah * mh + ((ah * ml + al * mh + (al * ml >> 15)) >> 15)
# Bounds, with |a| < 2**30 by bounds.py: |ah| <= 2**15, so ah * mh and ah * ml lie within 2**30, al
# * mh and al * ml below 2**30, their sums within 2**31; a + 1 + (a * m >> 30) within 2**31.  right
# <= 30, left <= 30. A channel of the table is three words: bias + 2**30, m, left << 8 | right.
# bias has the input's offset folded in.
@micropython.viper
def requantise(t: ptr32, p: ptr32, at: int):
    arena = int(t)
    model = int(p)
    p = ptr32(model + at)
    acc = ptr32(arena + p[1])
    out = ptr8(arena + p[2])
    pitch = p[3]
    channels = p[4]
    zero = p[5]
    low = p[6]
    high = p[7]
    t = ptr32(model + p[8])
    one = 1
    offset = one << 30
    while channels:
        shift = t[2]
        a = (acc[0] - offset + (t[0] - offset)) << (shift >> 8)
        m = t[1]
        ah = a >> 15
        al = a & 0x7FFF
        mh = m >> 15
        m &= 0x7FFF
        a = (a + 1 + ah * mh + ((ah * m + al * mh + ((al * m) >> 15)) >> 15)) >> 1
        shift &= 31
        half = (one << shift) >> 1
        if a < 0:
            a = zero - ((half - a) >> shift)
        else:
            a = zero + ((half + a) >> shift)
        if a < low:
            a = low
        if a > high:
            a = high
        out[0] = a
        out = ptr8(int(out) + pitch)
        acc = ptr32(int(acc) + 4)
        t = ptr32(int(t) + 12)
        channels -= 1


# Writes one row into a ring of p[5] rows that is kept twice, one copy after the other, so that the
# newest rows always lie contiguous, oldest first, from the ring's position on.  The reference:
#     for c in range(channels):
#         at = position * row_bytes + c * pitch
#         ring[at] = ring[at + rows * row_bytes] = source[c]
#     position = (position + advance) % rows
# A row's values may come from several sources, one op each; the last of them advances (p[8] is 1,
# else 0). Bounds: all are addresses and counts that model_format.check has held against the
# arena's size.
@micropython.viper
def push(x: ptr8, y: ptr8, at: int):
    p = ptr32(int(y) + at)
    arena = int(x)
    position = ptr32(arena + p[4])
    rows = p[5]
    row_bytes = p[6]
    pitch = p[7]
    channels = p[2]
    now = position[0]
    mirror = rows * row_bytes
    y = ptr8(arena + p[3] + now * row_bytes)
    x = ptr8(arena + p[1])
    while channels:
        y[0] = x[0]
        y[mirror] = x[0]
        x = ptr8(int(x) + 1)
        y = ptr8(int(y) + pitch)
        channels -= 1
    now += p[8]
    if now == rows:
        now = 0
    position[0] = now


# Any elementwise op on int8 (LOGISTIC, QUANTIZE) is a table of 256 bytes.  The reference:
#     out[i] = table[x[i]]
@micropython.viper
def lookup(x: ptr8, y: ptr8, at: int):
    p = ptr32(int(y) + at)
    arena = int(x)
    table = ptr8(int(y) + p[4])
    count = p[2]
    x = ptr8(arena + p[1])
    y = ptr8(arena + p[3])
    while count:
        y[0] = table[x[0]]
        x = ptr8(int(x) + 1)
        y = ptr8(int(y) + 1)
        count -= 1


# One feature slice into the arena's input: arena[at + i] = values[i] for i in range(40).
@micropython.viper
def load(y: ptr8, x: ptr8, at: int):
    y = ptr8(int(y) + at)
    count = 5
    while count:
        y[0] = x[0]
        y[1] = x[1]
        y[2] = x[2]
        y[3] = x[3]
        y[4] = x[4]
        y[5] = x[5]
        y[6] = x[6]
        y[7] = x[7]
        x = ptr8(int(x) + 8)
        y = ptr8(int(y) + 8)
        count -= 1
