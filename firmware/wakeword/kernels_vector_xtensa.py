"""dot and depthwise with the vector unit of the ESP32-S3: 16 multiplies an instruction.

Place in the pipeline: `model` takes these on an ESP32-S3, the kernels of `kernels_xtensa` or
`kernels` elsewhere; what a kernel computes, its ranges and its bounds stand at the namesake in
`kernels`.  The rules of assembler and the calling convention are those of `kernels_xtensa`; with
n_args 0, which Python cannot ask for, `args` has the three arguments as plain words.
Importing this raises ImportError on any other chip: there the first instruction would stop it.

The unit (Espressif's ESP32-S3 technical reference manual, "Processor Instruction Extensions") has
eight registers q0 to q7 of 16 bytes and an accumulator ACCX of 40 bits.  It loads 16 bytes from an
address whose lowest 4 bits it takes for 0; `usar` keeps them in SAR_BYTE, and `src.q` takes the
16 bytes that begin there out of two neighbours.  So the model file has weights in rows of 16 n
bytes at 16-byte addresses, 128 (a weight of 0) behind the last, and this reads

* of the arena, the 16-byte words from the one that holds the first input up to 16 bytes past the
  last input's word,
* of the file, up to 32 bytes past the weights,

all of which `model_format.check` has found inside.  Arena and file must themselves lie at 16-byte
addresses: `model` looks.  What stands beside the inputs is multiplied by 128 and taken off again.
"""

import sys

import micropython
from micropython import const

if "ESP32S3" not in getattr(sys.implementation, "_machine", ""):
    raise ImportError("not an S3")

# Instructions as words without their registers: r << 12 | s << 8 | t << 4.
_CALLX8 = const(0x0000E0)  # s: function
_BEQZ = const(0x000016)  # s; | bytes skipped - 1 << 12
_LOOPNEZ = const(0x009076)  # s: count; | bytes of the body - 1 << 16

# Argument types of mp_native_from_obj (py/runtime0.h), and its place in mp_fun_table.
_INT = const(2)
_PTR8 = const(5)
_NATIVE_FROM_OBJ = const(12)


# dot: up to 4 words of 16 inputs, here exactly 4, stay in q0 to q3; more of them, or fewer, are
# copied to the workspace, aligned.  The sum of the inputs is their product with ones.  Weights are
# loaded two words before they are used.
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
    l32i_n(a4, a7, 8)
    add(a4, a3, a4)  # the op's words

    l32i(a6, a4, 8)
    add(a6, a6, a2)
    l32i(a6, a6, 0)  # the ring's position
    l32i(a7, a4, 12)
    mull(a6, a6, a7)
    l32i(a7, a4, 4)
    add(a6, a6, a7)
    add(a6, a6, a2)  # x
    l32i(a7, a4, 16)
    addi(a7, a7, 1)
    srli(a7, a7, 1)  # words of 16 inputs
    l32i(a8, a4, 32)
    add(a8, a8, a2)  # workspace
    l32i(a10, a4, 24)
    add(a10, a10, a2)  # accumulators
    l32i(a11, a4, 28)
    add(a11, a11, a3)  # weights
    l32i(a12, a4, 20)  # channels
    movi(a13, 0x40000000)
    movi(a9, 0x01010101)
    data(3, 0xEDB294)  # ee.movi.32.q q5, a9, 0
    data(3, 0xEDB694)  # ee.movi.32.q q5, a9, 1
    data(3, 0xEDBA94)  # ee.movi.32.q q5, a9, 2
    data(3, 0xEDBE94)  # ee.movi.32.q q5, a9, 3
    data(3, 0x250804)  # ee.zero.accx
    addi(a14, a7, -4)
    data(3, _BEQZ | 14 << 8 | (3 - 1) << 12)  # over the jump
    j(ANY)

    data(3, 0x810164)  # ee.ld.128.usar.ip q0, a6, 16
    data(3, 0x838164)  # ee.vld.128.ip q1, a6, 16
    data(4, 0xE012016E)  # ee.src.q.ld.ip q2, a6, 16, q0, q1
    data(4, 0xE023416E)  # ee.src.q.ld.ip q3, a6, 16, q1, q2
    data(4, 0xE034816E)  # ee.src.q.ld.ip q4, a6, 16, q2, q3
    data(3, 0xEC3334)  # ee.src.q q3, q3, q4
    data(3, 0x0A48C4)  # ee.vmulas.u8.accx q0, q5
    data(3, 0x0A49C4)  # ee.vmulas.u8.accx q1, q5
    data(3, 0x0A4AC4)  # ee.vmulas.u8.accx q2, q5
    data(3, 0x0A4BC4)  # ee.vmulas.u8.accx q3, q5
    data(3, 0xE39000)  # rur.accx_0 a9
    slli(a9, a9, 7)
    sub(a9, a13, a9)  # 2**30 - 128 * sum of x
    data(3, 0xA301B4)  # ee.vld.128.ip q4, a11, 16
    data(3, 0xA381B4)  # ee.vld.128.ip q5, a11, 16
    nop_n()
    # a channel a time, 9 instructions
    data(3, _LOOPNEZ | 12 << 8 | (28 - 1) << 16)
    data(3, 0x250804)  # ee.zero.accx
    data(4, 0xF20621BE)  # ee.vmulas.u8.accx.ld.ip q4, a11, 16, q0, q4
    data(4, 0xF28E61BE)  # ee.vmulas.u8.accx.ld.ip q5, a11, 16, q1, q5
    data(4, 0xF206A1BE)  # ee.vmulas.u8.accx.ld.ip q4, a11, 16, q2, q4
    data(4, 0xF28EE1BE)  # ee.vmulas.u8.accx.ld.ip q5, a11, 16, q3, q5
    data(3, 0xE3E000)  # rur.accx_0 a14
    add_n(a14, a14, a9)
    s32i_n(a14, a10, 0)
    addi_n(a10, a10, 4)
    # end of the loop
    j(END)

    label(ANY)
    mov(a14, a8)
    # a word of 16 inputs a time, 5 instructions
    data(3, _LOOPNEZ | 7 << 8 | (15 - 1) << 16)
    data(3, 0x810164)  # ee.ld.128.usar.ip q0, a6, 16
    data(3, 0x838064)  # ee.vld.128.ip q1, a6, 0
    data(3, 0xCC8304)  # ee.src.q q0, q0, q1
    data(3, 0x0A48C4)  # ee.vmulas.u8.accx q0, q5
    data(3, 0x8A01E4)  # ee.vst.128.ip q0, a14, 16
    # end of the loop
    data(3, 0xE39000)  # rur.accx_0 a9
    slli(a9, a9, 7)
    sub(a9, a13, a9)
    data(3, 0x8381B4)  # ee.vld.128.ip q1, a11, 16
    label(CHANNEL)
    mov_n(a6, a8)
    data(3, 0x250804)  # ee.zero.accx
    # a word of 16 inputs a time, 2 instructions
    data(3, _LOOPNEZ | 7 << 8 | (7 - 1) << 16)
    data(3, 0x830164)  # ee.vld.128.ip q0, a6, 16
    data(4, 0xF08E01BE)  # ee.vmulas.u8.accx.ld.ip q1, a11, 16, q0, q1
    # end of the loop
    data(3, 0xE3E000)  # rur.accx_0 a14
    add_n(a14, a14, a9)
    s32i_n(a14, a10, 0)
    addi_n(a10, a10, 4)
    addi(a12, a12, -1)
    bnez(a12, CHANNEL)
    label(END)
    mov(a2, a5)


# depthwise: each channel has its own inputs, so the sum of theirs would take a second accumulator;
# but 128 * (255 - x) added instead of 128 * x taken off is 255 * 128 more for every one of the 16
# in a word, whatever x is.
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
    l32i_n(a4, a7, 8)
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
    l32i(a8, a4, 20)
    addi(a8, a8, 3)
    srli(a8, a8, 2)  # words of 16 inputs
    l32i(a12, a4, 24)  # channels
    l32i(a10, a4, 28)
    add(a10, a10, a2)  # accumulators
    l32i(a11, a4, 32)
    add(a11, a11, a3)  # weights
    movi(a9, 0x80808080)
    data(3, 0xFDB294)  # ee.movi.32.q q7, a9, 0
    data(3, 0xFDB694)  # ee.movi.32.q q7, a9, 1
    data(3, 0xFDBA94)  # ee.movi.32.q q7, a9, 2
    data(3, 0xFDBE94)  # ee.movi.32.q q7, a9, 3
    movi(a13, 522240)  # 255 * 128 * 16
    mull(a13, a13, a8)
    movi(a9, 0x40000000)
    sub(a9, a9, a13)
    addi(a14, a8, -1)
    data(3, _BEQZ | 14 << 8 | (3 - 1) << 12)  # over the jump
    j(ANY)

    addi(a7, a7, -16)
    # a channel a time, 11 instructions
    data(3, _LOOPNEZ | 12 << 8 | (31 - 1) << 16)
    data(3, 0x810164)  # ee.ld.128.usar.ip q0, a6, 16
    data(3, 0x8DA764)  # ee.vld.128.xp q1, a6, a7
    data(3, 0x250804)  # ee.zero.accx
    data(4, 0xE01201BE)  # ee.src.q.ld.ip q2, a11, 16, q0, q1
    data(3, 0xDDFF04)  # ee.notq q3, q0
    data(3, 0x0A5BC4)  # ee.vmulas.u8.accx q3, q7
    data(3, 0x0A10C4)  # ee.vmulas.u8.accx q0, q2
    data(3, 0xE3E000)  # rur.accx_0 a14
    add_n(a14, a14, a9)
    s32i_n(a14, a10, 0)
    addi_n(a10, a10, 4)
    # end of the loop
    j(END)

    nop_n()
    label(ANY)
    mov_n(a13, a6)
    data(3, 0x250804)  # ee.zero.accx
    # a word of 16 inputs a time, 6 instructions
    data(3, _LOOPNEZ | 8 << 8 | (19 - 1) << 16)
    data(3, 0x8101D4)  # ee.ld.128.usar.ip q0, a13, 16
    data(3, 0x8380D4)  # ee.vld.128.ip q1, a13, 0
    data(4, 0xE01201BE)  # ee.src.q.ld.ip q2, a11, 16, q0, q1
    data(3, 0xDDFF04)  # ee.notq q3, q0
    data(3, 0x0A5BC4)  # ee.vmulas.u8.accx q3, q7
    data(3, 0x0A10C4)  # ee.vmulas.u8.accx q0, q2
    # end of the loop
    data(3, 0xE3E000)  # rur.accx_0 a14
    add_n(a14, a14, a9)
    s32i_n(a14, a10, 0)
    addi_n(a10, a10, 4)
    add_n(a6, a6, a7)
    addi(a12, a12, -1)
    bnez(a12, ANY)
    label(END)
    mov(a2, a5)
