"""Copy, move and clear chunks of 320 bytes, in words.

Place in the pipeline: below the gate's buffers.  Chunks are aligned to 4, as any bytearray is and
any slice of one at a multiple of 4; only `move_chunk` takes a target that is not, byte by byte.
Eight words a turn: in a .mpy only the first two locals are registers, so a turn of one word would
take three times the instructions.  Words go from load to store as they are, and are never
negative here: what an int32 is does not matter.
"""

import micropython


# target[i] = source[i] for i in range(320)
@micropython.viper
def copy_chunk(target: ptr32, source: ptr32):
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
        target = ptr32(int(target) + 32)
        source = ptr32(int(source) + 32)
        turns -= 1


# target[i] = source[i]; source[i] = 0
@micropython.viper
def move_chunk(target: ptr32, source: ptr32):
    if int(target) & 3:
        to = ptr8(int(target))
        rest = ptr8(int(source))
        i = 0
        while i < 320:
            to[i] = rest[i]
            rest[i] = 0
            i += 1
    else:
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
            source[0] = 0
            source[1] = 0
            source[2] = 0
            source[3] = 0
            source[4] = 0
            source[5] = 0
            source[6] = 0
            source[7] = 0
            target = ptr32(int(target) + 32)
            source = ptr32(int(source) + 32)
            turns -= 1


# target[i] = 0
@micropython.viper
def clear_chunk(target: ptr32):
    turns = 10
    while turns:
        target[0] = 0
        target[1] = 0
        target[2] = 0
        target[3] = 0
        target[4] = 0
        target[5] = 0
        target[6] = 0
        target[7] = 0
        target = ptr32(int(target) + 32)
        turns -= 1
