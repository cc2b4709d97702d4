"""The device's own sounds, made from a table of notes: no files, no network, no allocation.

Place in the pipeline: beside speech, which asks for one chunk after the other; volume comes after.
"""

from array import array

import micropython
from micropython import const

RATE_HZ = 16000
_SAMPLES = const(160)
_CHUNK_BYTES = const(320)
_CHUNK_MS = const(10)
#: Peak of a note: -6 dB of full scale, as a sample, and as the kernel has it, with 14 more bits.
PEAK = 16384
_FULL = PEAK << 14
#: A note loses a sixteenth of its level every 10 ms: it falls to a third in 170 ms.
_DECAY_SHIFT = const(4)
#: kind: ((Hz, 0 for a rest; ms, a multiple of 10, at least 20), ...)
NOTES = {
    "timer": (
        (880, 120),
        (1109, 120),
        (1319, 360),
        (0, 200),
        (880, 120),
        (1109, 120),
        (1319, 360),
    ),
    "error": ((440, 160), (330, 320)),
}
KINDS = tuple(NOTES)
# Words of the parameter block; none is negative, since viper reads words differently on the host.
_PHASE = const(0)
_STEP = const(1)
_LEVEL = const(2)
_RISE = const(3)
_FALL = const(4)


def length_ms(kind):
    """How long a chime of this kind sounds."""
    return sum(ms for _, ms in NOTES[kind])


class Chime:
    """Plays one chime after the other; `start`, then `fill` until it returns 0."""

    def __init__(self):
        self._words = array("i", (0, 0, 0, 0, 0))
        self._notes = ()
        self._next = 0
        self._chunks = 0  # of the present note, still to come
        self._is_first = False

    def start(self, kind):
        """Begin the chime of this kind, a word of KINDS.  Raises ValueError for any other."""
        if kind not in NOTES:
            raise ValueError("no chime of the kind %r" % kind)
        self._notes = NOTES[kind]
        self._next = 0
        self._chunks = 0

    def stop(self):
        """End it: the next `fill` returns 0."""
        self._notes = ()
        self._next = 0
        self._chunks = 0

    def fill(self, chunk):
        """Write the next 10 ms into `chunk`, 160 int16; return 320, or 0 when the chime is over.

        Allocates nothing.  After the end `chunk` is left as it was.
        """
        if not self._chunks and not self._begin_note():
            return 0
        words = self._words
        level = words[_LEVEL]
        self._chunks -= 1
        words[_RISE] = words[_FALL] = 0
        if self._is_first:  # every note begins and ends at nothing, so that it does not click
            self._is_first = False
            words[_RISE] = (_FULL if words[_STEP] else 0) // _SAMPLES
        elif self._chunks == 0:
            words[_FALL] = level // _SAMPLES
        else:
            words[_FALL] = (level >> _DECAY_SHIFT) // _SAMPLES
        tone(chunk, words)
        return _CHUNK_BYTES

    def _begin_note(self):
        """Take the next note of the table; False when there is none."""
        if self._next >= len(self._notes):
            return False
        hz, ms = self._notes[self._next]
        self._next += 1
        self._chunks = ms // _CHUNK_MS
        self._is_first = True
        words = self._words
        words[_PHASE] = words[_LEVEL] = 0
        words[_STEP] = hz * 65536 // RATE_HZ
        return True


# The reference, for each of 160 samples, p = (phase, step, level, rise, fall):
#     x = phase as int16;  y = x * (32768 - |x|) >> 14        two parabolas, nearly a sine
#     level += rise - fall;  phase = (phase + step) mod 2^16
#     out = y * (level >> 14) >> 14
# |x| <= 2^15, so |x * (32768 - |x|)| <= 2^28 and |y| <= 2^14.  The caller keeps the level within
# 0..2^28 at both ends of a chunk, so it is in between: |y * (level >> 14)| <= 2^28, |out| <= 2^14.
# step: 0..32767.  The words phase and level are written back.
@micropython.viper
def tone(chunk: ptr16, p: ptr32):
    phase = p[0]
    step = p[1]
    level = p[2]
    slope = p[3] - p[4]
    count = 160
    while count:
        x = (phase ^ 0x8000) - 0x8000
        if x < 0:
            y = (x * (32768 + x)) >> 14
        else:
            y = (x * (32768 - x)) >> 14
        level += slope
        phase = (phase + step) & 0xFFFF
        chunk[0] = (y * (level >> 14)) >> 14
        chunk = ptr16(int(chunk) + 2)
        count -= 1
    p[0] = phase
    p[2] = level
