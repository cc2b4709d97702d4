"""`end_of_speech.loudness` in assembler, for the ESP32-S3; its formula and bound stand there.

Place in the pipeline: `end_of_speech` takes it where it can be loaded, which is as a .mpy in which
the build has marked it as viper (docs/xtensa.md); as a .py file it is a SyntaxError.  For the
calling convention and the words see wakeword/kernels_xtensa.py.
"""

import micropython
from micropython import const

_CALLX8 = const(0x0000E0)  # s << 8: function
_LOOPNEZ = const(0x009076)  # s << 8: count; | bytes of the body - 1 << 16

_INT = const(2)
_PTR16 = const(6)
_NATIVE_FROM_OBJ = const(12)
_NATIVE_TO_OBJ = const(16)


@micropython.asm_xtensa
def loudness(a2, a3, a4, a5):
    mov(a7, a5)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a10, a7, 0)
    movi(a11, _PTR16)
    data(3, _CALLX8 | 6 << 8)
    l16si(a3, a10, 0)  # the sample before
    movi(a4, 0)
    movi(a7, 160)
    # a sample a time, 8 instructions
    data(3, _LOOPNEZ | 7 << 8 | (20 - 1) << 16)
    l16si(a8, a10, 0)
    sub(a9, a8, a3)
    mov_n(a3, a8)
    abs_(a8, a8)
    abs_(a9, a9)
    add_n(a4, a4, a8)
    add_n(a4, a4, a9)
    addi_n(a10, a10, 2)
    # end of the loop
    mov(a10, a4)
    movi(a11, _INT)
    l32i(a6, a5, _NATIVE_TO_OBJ)
    data(3, _CALLX8 | 6 << 8)
    mov(a2, a10)
