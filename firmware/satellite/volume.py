"""How loud the speaker is: a percentage to a gain, and a gain applied to a chunk.

Place in the pipeline: the last step before the speaker's driver; what was scaled is what sounds.
"""

import micropython

UNITY_Q15 = 32768


def gain_of(percent):
    """Return the gain for 0..100 %, in Q15: 0 is silence, 100 is unity (32768).

    The square of the percentage, because loudness is heard by ratios: 50 % is -12 dB, 10 % is
    -40 dB.  Raises ValueError for anything else.
    """
    if not 0 <= percent <= 100:
        raise ValueError("volume of %d %%" % percent)
    return (percent * percent * UNITY_Q15 + 5000) // 10000


# The reference, for each of the count_bytes / 2 samples x, int16, in place:
#     x = (x * gain_q15 + (1 << 14)) >> 15        rounded to nearest, halves up
# chunk: int16, aligned to 2; count_bytes: even; gain_q15: 0..32768.  |x * gain_q15| <= 2^30 and
# the rounding adds 2^14, so nothing leaves 31 bits; unity changes no sample, so nothing clips.
# By four samples a turn.  On the chip only the first two locals are in registers, so the second
# argument, once it is copied, serves as the sample.
@micropython.viper
def scale(chunk: ptr16, count_bytes: int, gain_q15: int):
    turns = count_bytes >> 3
    rest = (count_bytes >> 1) & 3
    while turns:
        count_bytes = (int(chunk[0]) ^ 0x8000) - 0x8000
        chunk[0] = (count_bytes * gain_q15 + 16384) >> 15
        count_bytes = (int(chunk[1]) ^ 0x8000) - 0x8000
        chunk[1] = (count_bytes * gain_q15 + 16384) >> 15
        count_bytes = (int(chunk[2]) ^ 0x8000) - 0x8000
        chunk[2] = (count_bytes * gain_q15 + 16384) >> 15
        count_bytes = (int(chunk[3]) ^ 0x8000) - 0x8000
        chunk[3] = (count_bytes * gain_q15 + 16384) >> 15
        chunk = ptr16(int(chunk) + 8)
        turns -= 1
    while rest:
        count_bytes = (int(chunk[0]) ^ 0x8000) - 0x8000
        chunk[0] = (count_bytes * gain_q15 + 16384) >> 15
        chunk = ptr16(int(chunk) + 2)
        rest -= 1
