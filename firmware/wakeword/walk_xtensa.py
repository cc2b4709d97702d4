"""Calls kernels from machine code, for the ESP32-S3: one call of Python's instead of many.

Place in the pipeline: `model` and `frontend` take these where the kernels in assembler can be
loaded, since only those can be called so.  `walk` has its namesake in walk.py, its reference;
`make_slice` is what `frontend.Frontend.process` does elsewhere.  As a .py file this is a
SyntaxError, as those are.

How a kernel is called: a function object's fourth word (mp_obj_fun_bc_t, py/objfun.h) is the
address of its machine code, and what MicroPython itself does with a viper function is to call that
address with (function object, n_args, n_kw, args).  Here n_args is 0, which tells the kernel that
`args` are plain words and not objects; then it converts nothing, and its result is one, too.  A
function that knows nothing of this, of bytecode or of viper, must not be given to these.

A tuple is (type, length, items...), a small integer n the word 2 * n + 1 (py/objtuple.h, obj.h).
Nothing is allocated and nothing raised in between, so no object can move or go meanwhile.
"""

import micropython
from micropython import const

_CALLX8 = const(0x0000E0)  # s: function
_BNEZ = const(0x000056)  # s; | bytes skipped - 1 << 12

# As in kernels_xtensa.
_UINT = const(3)
_PTR8 = const(5)
_NATIVE_FROM_OBJ = const(12)
_NATIVE_TO_OBJ = const(16)
# Of a function object, a tuple, a pair in it.
_CODE = const(12)
_LENGTH = const(4)
_ITEMS = const(8)
_KERNEL = const(8)
_AT = const(12)


# walk(program, arena, model, values).  a1 + 4, 8, 12: the present kernel's arguments.
@micropython.asm_xtensa
def walk(a2, a3, a4, a5):
    mov(a7, a5)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a10, a7, 4)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 4)  # arena
    l32i(a10, a7, 8)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    mov(a3, a10)  # model
    l32i(a10, a7, 12)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a1, 8)  # the slice, for the first kernel
    l32i(a4, a7, 0)
    l32i(a2, a5, 0)  # None
    l32i(a5, a4, _LENGTH)
    addi(a4, a4, _ITEMS)
    # an op a time, 14 instructions
    label(OP)
    l32i(a8, a4, 0)
    l32i(a10, a8, _KERNEL)
    l32i(a9, a8, _AT)
    srai(a9, a9, 1)
    s32i(a9, a1, 12)
    l32i(a8, a10, _CODE)
    movi(a11, 0)
    movi(a12, 0)
    addi(a13, a1, 4)
    data(3, _CALLX8 | 8 << 8)
    s32i(a3, a1, 8)
    addi(a4, a4, 4)
    addi(a5, a5, -1)
    bnez(a5, OP)


# make_slice(kernels, words, chunk, out).  kernels: window, fft, energies, filter_bank, compress;
# words: uint32[20], the four arguments of each of them, of which the chunk, `out` and the shift
# that window returns are put in here.
@micropython.asm_xtensa
def make_slice(a2, a3, a4, a5):
    mov(a7, a5)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a10, a7, 4)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    mov(a4, a10)  # words
    l32i(a10, a7, 8)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a4, 4)  # window's chunk
    l32i(a10, a7, 12)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    s32i(a10, a4, 76)  # compress's out
    l32i(a3, a7, 0)
    addi(a3, a3, _ITEMS)
    l32i(a2, a5, 0)  # None
    mov(a7, a4)
    movi(a5, 5)
    # a kernel a time
    label(KERNEL)
    l32i(a10, a3, 0)
    l32i(a8, a10, _CODE)
    movi(a11, 0)
    movi(a12, 0)
    mov(a13, a7)
    data(3, _CALLX8 | 8 << 8)
    addi(a3, a3, 4)
    addi(a7, a7, 16)
    addi(a5, a5, -1)
    addi(a8, a5, -4)
    data(3, _BNEZ | 8 << 8 | (6 - 1) << 12)  # but after window
    s32i(a10, a4, 28)  # fft's shift
    s32i(a10, a4, 60)  # filter_bank's
    bnez(a5, KERNEL)


# address(buffer): where a buffer lies, as an integer.  Buffers do not move.
@micropython.asm_xtensa
def address(a2, a3, a4, a5):
    mov(a7, a5)
    l32i(a5, a2, 4)
    l32i(a5, a5, 12)
    l32i(a5, a5, 0)  # mp_fun_table
    l32i(a6, a5, _NATIVE_FROM_OBJ)
    l32i(a10, a7, 0)
    movi(a11, _PTR8)
    data(3, _CALLX8 | 6 << 8)
    movi(a11, _UINT)
    l32i(a6, a5, _NATIVE_TO_OBJ)
    data(3, _CALLX8 | 6 << 8)
    mov(a2, a10)
