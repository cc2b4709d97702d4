"""Whether a microphone is alive, judged by what it delivers: dead, stuck, at the rail, or silent.

Place in the pipeline: `i2s_microphone` passes the extremes of every chunk.  Pure.

A living MEMS microphone is never still: its own noise moves the lowest of the bits that `pcm`
keeps.  So 160 equal samples mean a wire, a supply or a dead microphone, and half a second of them
is not chance.  Nor does it keep to one side of zero and go beyond half of full scale there: that
is what comes of bits that arrive one clock late, when the sign takes the place of the highest bit.
"""

from micropython import const

OK, NO_DATA, ALL_ZERO, STUCK, RAIL, WRONG_CHANNEL, SHIFTED = (
    const(0),
    const(1),
    const(2),
    const(3),
    const(4),
    const(5),
    const(6),
)
HEALTH_NAMES = ("OK", "NO_DATA", "ALL_ZERO", "STUCK", "RAIL", "WRONG_CHANNEL", "SHIFTED")
BAD_CHUNKS = const(50)


def judge(low, high, clamped, samples, half_scale):
    """Return what one chunk looks like.

    Args:
        low, high: its extremes before DC removal.
        clamped, samples: how many samples were clamped, of how many.
        half_scale: half of the largest sample that there can be before DC removal.
    """
    if low == high:
        return ALL_ZERO if low == 0 else STUCK
    if (low >= 0 and high >= half_scale) or (high < 0 and low < -half_scale):
        return SHIFTED
    if 2 * clamped > samples:
        return RAIL
    return OK


def is_alive(raw, channel):
    """Whether the words of one channel differ at all; raw: left-right pairs of 32 bits."""
    first = 4 * channel
    for at in range(first, len(raw), 8):
        for i in range(4):
            if raw[at + i] != raw[first + i]:
                return True
    return False


class MicrophoneHealth:
    """`state` changes after BAD_CHUNKS chunks of one fault in a row; a good chunk heals it.

    `is_well`: whether another good chunk changes nothing.
    """

    def __init__(self):
        self.reset()

    def reset(self):
        """A microphone is taken for healthy when it is started."""
        self.state = OK
        self.is_well = True
        self._seen = OK
        self._count = 0

    def update(self, seen):
        """Take what `judge` returned; return whether `state` changed.  Allocates nothing."""
        if seen != self._seen:
            self._seen = seen
            self._count = 0
        self._count += 1
        changed = False
        if seen == OK or self._count == BAD_CHUNKS:
            changed = self.state != seen
            self.state = seen
        self.is_well = seen == OK and self.state == OK
        return changed
