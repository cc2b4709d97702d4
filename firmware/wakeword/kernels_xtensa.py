"""The model's kernels that pay in assembler, for the ESP32-S3; each has its namesake in `kernels`.

Place in the pipeline: `model` takes these where they can be loaded, the viper kernels elsewhere;
what a kernel computes, its ranges and its bounds stand at the namesake, which stays the reference.
A board loads this file only as a .mpy in which the build has marked the functions as viper (see
docs/xtensa.md); as a .py file it is a SyntaxError there, and `model` falls back.

Calling convention: viper's, f(function object, n_args, n_kw, args) in a2 to a5.  Each function
first fetches its arguments through mp_fun_table: arena, model (as addresses) and `at`, to a2, a3,
a4, then the op's words.  callx8 destroys a8 to a15 and nothing else.  The result is None.
With n_args 0, which no Python code asks for, `args` has the three arguments as plain words and
the result is worthless: so `walk_xtensa` calls them, without the conversions.

`data(3, ...)` encodes instructions the assembler has no name for; all are in the configuration of
both the S3's LX7 (core-isa.h: MAC16, MINMAX, LOOPS) and qemu's dc233c.  The first
instruction of a loop must not cross a 4-byte word on the chip (qemu does not care), so a loop
instruction stands at 1 or 2 modulo 4; tests/xtensa checks that, and nops set it right.
"""

import micropython
from micropython import const

# Instructions as words without their registers: r << 12 | s << 8 | t << 4.
_CALLX8 = const(0x0000E0)  # s: function
_MAX = const(0x530000)  # r = max(s, t)
_MIN = const(0x430000)  # r = min(s, t)
_MOVEQZ = const(0x830000)  # r = s if t is 0
_ADDX2 = const(0x900000)  # r = 2 * s + t
_SRA = const(0xB10000)  # r = t >> the shift amount register, signed
_LOW_15 = const(0xE40000)  # EXTUI r, t, 0, 15: r = t & 0x7FFF
_WSR_M2 = const(0x132200)
_RSR_M2 = const(0x032200)
_LOOPNEZ = const(0x009076)  # s: count; | bytes of the body - 1 << 16
_WSR_ACCLO = const(0x131000)  # t: the accumulator's low word
_RSR_ACCLO = const(0x031000)
_LDINC_M0 = const(0x800004)  # s += 4; m0 = word at s
_LDINC_M1 = const(0x801004)
_MULA_AA_LL = const(0x780004)  # accumulator += low half of s * low half of t, both signed
_MULA_M0_LL = const(0x680004)  # accumulator += low half of m0 * low half of t
_MULA_M1_LL = const(0x684004)
_MULA_M0_HH_LDINC_M0 = const(0x4B0004)  # += upper halves of m0 and t; then s += 4, m0 = word at s
_MULA_M1_HH_LDINC_M1 = const(0x4B5004)

# Argument types of mp_native_from_obj (py/runtime0.h), and its place in mp_fun_table.
_INT = const(2)
_PTR8 = const(5)
_NATIVE_FROM_OBJ = const(12)


# dot: first the inputs, each a byte, are unpacked into the workspace as pairs of 16-bit halves, in
# the order in which the bytes of a weight word fall when every second one is masked out:
#     (x0, x2), (x1, x3), (x4, x6), (x5, x7), ...
# Then 4 multiplies take 8 instructions: a word of weights, split into (w0, w2) and (w1, w3), and
# four multiply-accumulates of which two load the next inputs on the way.
# The last of these reads two words beyond the workspace, which lie in the arena and are not used.
@micropython.asm_xtensa
def dot(a2, a3, a4, a5):
    mov(a7, a5)
    bnone(a3, a3, NATIVE)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a10, a7, 0)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 4)
    l32i(a10, a7, 4)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 8)
    l32i(a10, a7, 8)
    movi(a11, _INT)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 12)
    addi(a7, a1, 4)
    l32i(a5, a5, 0)  # None
    label(NATIVE)
    l32i_n(a2, a7, 0)  # arena
    l32i_n(a3, a7, 4)  # model
    l32i(a4, a7, 8)
    add(a4, a3, a4)  # the op's words

    l32i(a6, a4, 8)
    add(a6, a6, a2)
    l32i(a6, a6, 0)  # the ring's position
    l32i(a7, a4, 12)
    mull(a6, a6, a7)
    l32i(a7, a4, 4)
    add(a6, a6, a7)
    add(a6, a6, a2)  # x
    l32i(a7, a4, 16)  # blocks of 8
    l32i(a8, a4, 32)
    add(a8, a8, a2)  # workspace
    movi(a9, 0)  # sum of x
    mov(a10, a8)
    # 4 inputs a time, 2 * blocks of them, in 16 instructions
    slli(a7, a7, 1)
    data(3, _LOOPNEZ | 7 << 8 | (40 - 1) << 16)
    l8ui(a11, a6, 0)
    l8ui(a12, a6, 1)
    l8ui(a13, a6, 2)
    l8ui(a14, a6, 3)
    add_n(a9, a9, a11)
    add_n(a9, a9, a12)
    add_n(a9, a9, a13)
    add_n(a9, a9, a14)
    slli(a13, a13, 16)
    slli(a14, a14, 16)
    add_n(a11, a11, a13)
    add_n(a12, a12, a14)
    s32i_n(a11, a10, 0)
    s32i_n(a12, a10, 4)
    addi(a10, a10, 8)
    addi(a6, a6, 4)

    slli(a9, a9, 7)
    movi(a10, 0x40000000)
    sub(a9, a10, a9)  # 2**30 - 128 * sum of x
    l32i(a10, a4, 24)
    add(a10, a10, a2)  # accumulators
    l32i(a11, a4, 28)
    add(a11, a11, a3)  # weights
    l32i(a12, a4, 20)  # channels
    slli(a3, a7, 30)
    srli(a3, a3, 15)
    srli(a3, a3, 13)  # 8 bytes more in a row of weights where blocks of 8 are odd, else 0
    movi(a13, 0x00FF00FF)
    addi(a8, a8, -4)
    movi(a2, 0)
    label(CHANNEL)
    mov_n(a6, a8)
    data(3, _WSR_ACCLO | 2 << 4)
    data(3, _LDINC_M0 | 6 << 8)
    data(3, _LDINC_M1 | 6 << 8)
    # 4 inputs a time, 9 instructions; not unrolled further, because qemu 7.2 keeps a stale copy of
    # m0 within a block of straight code
    data(3, _LOOPNEZ | 7 << 8 | (25 - 1) << 16)
    l32i_n(a14, a11, 0)
    and_(a15, a14, a13)
    srli(a14, a14, 8)
    and_(a14, a14, a13)
    data(3, _MULA_M0_LL | 15 << 4)
    data(3, _MULA_M0_HH_LDINC_M0 | 6 << 8 | 15 << 4)
    data(3, _MULA_M1_LL | 14 << 4)
    data(3, _MULA_M1_HH_LDINC_M1 | 6 << 8 | 14 << 4)
    addi_n(a11, a11, 4)
    # end of the loop
    data(3, _RSR_ACCLO | 14 << 4)
    add_n(a11, a11, a3)
    add_n(a14, a14, a9)
    s32i_n(a14, a10, 0)
    addi_n(a10, a10, 4)
    addi(a12, a12, -1)
    bnez(a12, CHANNEL)
    mov(a2, a5)


# depthwise: a multiply-accumulate of signed halves takes w - 128 as it is, so there is no sum of x
# to take off: 4 instructions a multiply.
@micropython.asm_xtensa
def depthwise(a2, a3, a4, a5):
    mov(a7, a5)
    bnone(a3, a3, NATIVE)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a10, a7, 0)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 4)
    l32i(a10, a7, 4)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 8)
    l32i(a10, a7, 8)
    movi(a11, _INT)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 12)
    addi(a7, a1, 4)
    l32i(a5, a5, 0)  # None
    label(NATIVE)
    l32i_n(a2, a7, 0)  # arena
    l32i_n(a3, a7, 4)  # model
    l32i(a4, a7, 8)
    add(a4, a3, a4)  # the op's words

    l32i(a6, a4, 8)
    add(a6, a6, a2)
    l32i(a6, a6, 0)  # the ring's position
    l32i(a7, a4, 12)
    mull(a6, a6, a7)
    l32i(a7, a4, 4)
    add(a6, a6, a7)
    add(a6, a6, a2)  # the first channel's x
    l32i(a7, a4, 16)  # pitch
    l32i(a8, a4, 20)  # blocks of 4
    l32i(a9, a4, 24)  # channels
    l32i(a10, a4, 28)
    add(a10, a10, a2)  # accumulators
    l32i(a11, a4, 32)
    add(a11, a11, a3)  # weights
    neg(a3, a8)
    slli(a3, a3, 30)
    srli(a3, a3, 15)
    srli(a3, a3, 13)  # bytes more in a row of weights, to a multiple of 16
    movi(a2, 0x40000000)
    label(CHANNEL)
    mov_n(a12, a6)
    data(3, _WSR_ACCLO | 2 << 4)
    # 4 inputs a time, 18 instructions
    data(3, _LOOPNEZ | 8 << 8 | (54 - 1) << 16)
    l8ui(a14, a11, 0)
    l8ui(a13, a12, 0)
    addi(a14, a14, -128)
    data(3, _MULA_AA_LL | 13 << 8 | 14 << 4)
    l8ui(a14, a11, 1)
    l8ui(a13, a12, 1)
    addi(a14, a14, -128)
    data(3, _MULA_AA_LL | 13 << 8 | 14 << 4)
    l8ui(a14, a11, 2)
    l8ui(a13, a12, 2)
    addi(a14, a14, -128)
    data(3, _MULA_AA_LL | 13 << 8 | 14 << 4)
    l8ui(a14, a11, 3)
    l8ui(a13, a12, 3)
    addi(a14, a14, -128)
    data(3, _MULA_AA_LL | 13 << 8 | 14 << 4)
    addi(a11, a11, 4)
    addi(a12, a12, 4)
    # end of the loop
    data(3, _RSR_ACCLO | 14 << 4)
    add_n(a11, a11, a3)
    s32i_n(a14, a10, 0)
    addi_n(a10, a10, 4)
    add_n(a6, a6, a7)
    addi(a9, a9, -1)
    bnez(a9, CHANNEL)
    mov(a2, a5)


# requantise, as its namesake but for the last rounding:
#     ((2 * r + (r >> 31) >> right) + 1) >> 1
# is r / 2**right with ties away from zero.  The 1 less than 2 * r makes a negative tie fall, and
# vanishes where right is 0; |r| < 2**30, so nothing wraps.
# There are no registers to spare: m2 keeps None.
@micropython.asm_xtensa
def requantise(a2, a3, a4, a5):
    mov(a7, a5)
    bnone(a3, a3, NATIVE)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a10, a7, 0)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 4)
    l32i(a10, a7, 4)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 8)
    l32i(a10, a7, 8)
    movi(a11, _INT)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 12)
    addi(a7, a1, 4)
    l32i(a5, a5, 0)  # None
    label(NATIVE)
    l32i_n(a2, a7, 0)  # arena
    l32i_n(a3, a7, 4)  # model
    l32i(a4, a7, 8)
    add(a4, a3, a4)  # the op's words

    l32i(a6, a4, 4)
    add(a6, a6, a2)  # accumulators
    l32i(a7, a4, 8)
    add(a7, a7, a2)  # out
    l32i(a2, a4, 12)  # pitch
    l32i(a8, a4, 16)  # channels
    l32i(a9, a4, 32)
    add(a3, a9, a3)  # table
    l32i(a9, a4, 20)  # zero
    l32i(a10, a4, 24)  # low
    l32i(a11, a4, 28)  # high
    mov(a4, a8)
    movi(a8, 1)
    slli(a8, a8, 31)  # twice the 2**30 that is added to what is stored
    data(3, _WSR_M2 | 5 << 4)
    # a channel a time, 39 instructions
    data(3, _LOOPNEZ | 4 << 8 | (100 - 1) << 16)
    l32i_n(a12, a6, 0)
    l32i_n(a13, a3, 0)
    l32i_n(a14, a3, 4)  # m
    l32i_n(a15, a3, 8)  # left << 8 | right
    add_n(a12, a12, a13)
    add_n(a12, a12, a8)
    srli(a13, a15, 8)
    ssl(a13)
    sll(a12, a12)  # a
    srai(a13, a12, 15)  # ah
    data(3, _LOW_15 | 4 << 12 | 12 << 4)  # al
    srli(a15, a14, 15)  # mh
    data(3, _LOW_15 | 14 << 12 | 14 << 4)  # ml
    mull(a5, a4, a14)
    srai(a5, a5, 15)
    mull(a14, a13, a14)
    add_n(a5, a5, a14)
    mull(a4, a4, a15)
    add_n(a5, a5, a4)
    srai(a5, a5, 15)
    mull(a13, a13, a15)
    add_n(a5, a5, a13)
    add_n(a12, a12, a5)
    addi_n(a12, a12, 1)
    srai(a13, a12, 1)  # r
    srai(a12, a12, 31)
    data(3, _ADDX2 | 12 << 12 | 13 << 8 | 12 << 4)
    l32i_n(a15, a3, 8)
    ssr(a15)
    data(3, _SRA | 12 << 12 | 12 << 4)
    addi_n(a12, a12, 1)
    srai(a12, a12, 1)
    add_n(a12, a12, a9)
    data(3, _MAX | 12 << 12 | 12 << 8 | 10 << 4)
    data(3, _MIN | 12 << 12 | 12 << 8 | 11 << 4)
    s8i(a12, a7, 0)
    addi_n(a6, a6, 4)
    add_n(a7, a7, a2)
    addi_n(a3, a3, 12)
    # end of the loop
    data(3, _RSR_M2 | 2 << 4)


@micropython.asm_xtensa
def push(a2, a3, a4, a5):
    mov(a7, a5)
    bnone(a3, a3, NATIVE)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a10, a7, 0)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 4)
    l32i(a10, a7, 4)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 8)
    l32i(a10, a7, 8)
    movi(a11, _INT)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 12)
    addi(a7, a1, 4)
    l32i(a5, a5, 0)  # None
    label(NATIVE)
    l32i_n(a2, a7, 0)  # arena
    l32i_n(a3, a7, 4)  # model
    l32i(a4, a7, 8)
    add(a4, a3, a4)  # the op's words

    l32i(a6, a4, 16)
    add(a6, a6, a2)  # where the position is kept
    l32i(a7, a6, 0)  # position
    l32i(a8, a4, 20)  # rows
    l32i(a9, a4, 24)  # bytes of a row
    mull(a10, a7, a9)
    l32i(a11, a4, 12)
    add(a10, a10, a11)
    add(a10, a10, a2)  # in the first copy
    mull(a9, a8, a9)
    add(a9, a9, a10)  # in the second copy
    l32i(a11, a4, 4)
    add(a11, a11, a2)  # source
    l32i(a12, a4, 28)  # pitch
    l32i(a13, a4, 8)  # channels
    # a channel a time, 6 instructions
    data(3, _LOOPNEZ | 13 << 8 | (15 - 1) << 16)
    l8ui(a14, a11, 0)
    s8i(a14, a10, 0)
    s8i(a14, a9, 0)
    addi_n(a11, a11, 1)
    add_n(a10, a10, a12)
    add_n(a9, a9, a12)
    # end of the loop
    l32i(a14, a4, 32)
    add(a7, a7, a14)
    sub(a8, a8, a7)
    movi(a9, 0)
    data(3, _MOVEQZ | 7 << 12 | 9 << 8 | 8 << 4)
    s32i(a7, a6, 0)
    mov(a2, a5)


@micropython.asm_xtensa
def lookup(a2, a3, a4, a5):
    mov(a7, a5)
    bnone(a3, a3, NATIVE)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a10, a7, 0)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 4)
    l32i(a10, a7, 4)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 8)
    l32i(a10, a7, 8)
    movi(a11, _INT)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 12)
    addi(a7, a1, 4)
    l32i(a5, a5, 0)  # None
    label(NATIVE)
    l32i_n(a2, a7, 0)  # arena
    l32i_n(a3, a7, 4)  # model
    l32i(a4, a7, 8)
    add(a4, a3, a4)  # the op's words

    l32i(a6, a4, 4)
    add(a6, a6, a2)  # x
    l32i(a7, a4, 12)
    add(a7, a7, a2)  # y
    l32i(a8, a4, 8)  # count
    l32i(a9, a4, 16)
    add(a9, a9, a3)  # table
    # a byte a time, 6 instructions
    data(3, _LOOPNEZ | 8 << 8 | (15 - 1) << 16)
    l8ui(a10, a6, 0)
    add_n(a10, a10, a9)
    l8ui(a10, a10, 0)
    s8i(a10, a7, 0)
    addi_n(a6, a6, 1)
    addi_n(a7, a7, 1)
    # end of the loop
    mov(a2, a5)


# load: the source is the slice in place of the model.
@micropython.asm_xtensa
def load(a2, a3, a4, a5):
    mov(a7, a5)
    bnone(a3, a3, NATIVE)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a10, a7, 0)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 4)
    l32i(a10, a7, 4)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 8)
    l32i(a10, a7, 8)
    movi(a11, _INT)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 12)
    addi(a7, a1, 4)
    l32i(a5, a5, 0)  # None
    label(NATIVE)
    l32i(a2, a7, 0)  # arena
    l32i(a3, a7, 4)  # the slice
    l32i(a4, a7, 8)
    add(a4, a2, a4)  # its place

    movi(a8, 40)
    # a byte a time, 4 instructions
    data(3, _LOOPNEZ | 8 << 8 | (10 - 1) << 16)
    l8ui(a10, a3, 0)
    s8i(a10, a4, 0)
    addi_n(a3, a3, 1)
    addi_n(a4, a4, 1)
    # end of the loop
    mov(a2, a5)
