"""`pcm.convert` in assembler, for the ESP32-S3; its formula, ranges and bounds stand there.

Place in the pipeline: `pcm` takes it where it can be loaded, which is as a .mpy in which the build
has marked it as viper (docs/xtensa.md); as a .py file it is a SyntaxError.  For the calling
convention and the words see wakeword/kernels_xtensa.py.
"""

import micropython
from micropython import const

# Instructions as words without their registers: r << 12 | s << 8 | t << 4.
_CALLX8 = const(0x0000E0)  # s: function
_LOOPNEZ = const(0x009076)  # s: count; | bytes of the body - 1 << 16
_SRA = const(0xB10000)  # r = t >> the shift amount register, signed
_MIN = const(0x430000)  # r = min(s, t)
_MAX = const(0x530000)
_MINU = const(0x630000)

_PTR32 = const(7)
_NATIVE_FROM_OBJ = const(12)


# The shift stays in the shift amount register: shifts by a constant do not use it.
@micropython.asm_xtensa
def convert(a2, a3, a4, a5):
    mov(a7, a5)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a5, a5, 0)  # None
    s32i(a5, a1, 4)
    l32i(a10, a7, 0)
    movi(a11, _PTR32)
    data(3, _CALLX8 | 6 << 8)
    mov(a2, a10)  # raw
    l32i(a10, a7, 4)
    movi(a11, _PTR32)
    data(3, _CALLX8 | 6 << 8)
    mov(a3, a10)  # out
    l32i(a10, a7, 8)
    movi(a11, _PTR32)
    data(3, _CALLX8 | 6 << 8)
    mov(a11, a10)  # the parameters

    l32i(a8, a11, 4)
    slli(a8, a8, 2)
    add(a2, a2, a8)  # the channel's first word
    l32i(a8, a11, 8)
    ssr(a8)
    movi(a6, 1)
    slli(a6, a6, 31)
    srl(a6, a6)  # low: 2**31 >> shift
    neg(a7, a6)  # high
    l32i(a5, a11, 12)  # gain
    l32i(a4, a11, 16)
    movi(a9, 0x20000000)
    sub(a4, a4, a9)  # dc
    movi(a12, 32767)
    movi(a13, -32768)
    movi(a14, 1)
    movi(a15, 0)  # clamped
    l32i(a10, a11, 0)
    nop_n()
    # a sample a time, 17 instructions
    data(3, _LOOPNEZ | 10 << 8 | (46 - 1) << 16)
    l32i_n(a8, a2, 0)
    data(3, _SRA | 8 << 12 | 8 << 4)
    data(3, _MIN | 6 << 12 | 6 << 8 | 8 << 4)
    data(3, _MAX | 7 << 12 | 7 << 8 | 8 << 4)
    srai(a9, a4, 9)
    sub(a8, a8, a9)
    add_n(a4, a4, a8)
    mull(a8, a8, a5)
    srai(a8, a8, 4)
    data(3, _MIN | 9 << 12 | 8 << 8 | 12 << 4)
    data(3, _MAX | 9 << 12 | 9 << 8 | 13 << 4)
    s16i(a9, a3, 0)
    sub(a8, a8, a9)
    data(3, _MINU | 8 << 12 | 8 << 8 | 14 << 4)
    add_n(a15, a15, a8)
    addi_n(a2, a2, 8)
    addi_n(a3, a3, 2)
    # end of the loop
    movi(a9, 0x20000000)
    add(a4, a4, a9)
    s32i(a4, a11, 16)
    add(a6, a6, a9)
    s32i(a6, a11, 20)
    add(a7, a7, a9)
    s32i(a7, a11, 24)
    s32i(a15, a11, 28)
    l32i(a2, a1, 4)
