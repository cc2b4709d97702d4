"""Who speaks: when speech begins after a wake word, and when to stop sending.

Place in the pipeline: beside the gate; fed every feature slice with the chunk that completed it.
Two measures decide together, since each is blind where the other sees:

* *Loudness*, of the chunk itself.  The speaker is known by it: what is far below the loudest of
  the wake word, and then of the command, is somebody or something else.
* *Change*, the sum of the 40 features.  The front end takes steady noise out of a slice and turns
  its gain up in quiet, so the sum says nothing about loudness, but whether there is anything that
  was not there before: 200 to 1000 in any steady noise, 1500 to 4000 in speech.

Integers only; allocates nothing.  Loudness is at most 15.7 million for a chunk and is compared in
sixteenths (below 2^28); sums of a slice (0 to 10200) are kept in sixteenths.
"""

from array import array

import micropython
from micropython import const

STEP_MS = 10
#: What the floor of change is taken to be before anything was heard, and its limits.
FLOOR = const(600)
MIN_FLOOR = const(200)
MAX_FLOOR = const(1500)
#: Something begins this much above the floor, and lasts as long as it is HOLD above: it fades.
MARGIN = const(500)
HOLD = const(300)
#: Speech is louder than this, whoever speaks: 4 of 32768, on average.
MIN_LOUDNESS = 1280
#: Speech has at least this share, in sixteenths, of the loudest of the wake word: -8.5 dB.
SPEECH_SHARE = 6
#: A lull is below this share of the loudest of the command, -10 dB, and quiet below this, -18 dB.
LULL_SHARE = 5
QUIET_SHARE = 2
#: How long a lull must last, in sixteenths of the quiet that ends the speech.
LULL_SIXTEENTHS = 24
#: How much of a lull a step of speech takes back: a short peak does not begin it anew.
LULL_BACK = 4
#: Sound that has been steady for so long is not speech: before speech began, and after.
STEADY_BEFORE_STEPS = 16
STEADY_STEPS = 30
#: Steps without change are counted up to here.
_MAX_STEADY = const(1 << 20)
#: What is followed from step to step, words of one buffer.
_LOUDNESS = const(0)
_LOUDEST = const(1)  # of late; of a wake word when one was just heard
_CHANGE = const(2)
_FLOOR = const(3)
_IS_CHANGING = const(4)
_STEADY = const(5)  # steps without change
#: Smoothing, as shifts.  Loudness: 40 ms up, 160 ms down; the loudest of a wake word is forgotten
#: in 1.3 s, that of a command in 20 s.
_LOUDNESS_RISE = const(2)
_LOUDNESS_FALL = const(4)
_WAKE_WORD_FALL = const(7)
_COMMAND_FALL = const(11)
#: Change: 80 ms up, 160 ms down; its floor 160 ms down, 5 s up.
_CHANGE_RISE = const(3)
_CHANGE_FALL = const(4)
_FLOOR_FALL = const(4)
_FLOOR_RISE = const(9)


# r = sum(|x[i]| for i in range(160)) + sum(|x[i] - x[i - 1]| for i in range(1, 160)), x int16.
# The second sum lifts what is high, as the ear does, and does not see an offset.
# At most 160 * 32768 + 159 * 65535 < 2^24.  By four, with the two that change most first: on the
# chip two locals are in registers.
@micropython.viper
def loudness(chunk: ptr16) -> int:
    v = (int(chunk[0]) ^ 0x8000) - 0x8000
    d = v
    total = 0
    before = v
    count = 40
    while count:
        v = (int(chunk[0]) ^ 0x8000) - 0x8000
        d = v - before
        before = v
        if d < 0:
            d = 0 - d
        if v < 0:
            v = 0 - v
        total += v + d
        v = (int(chunk[1]) ^ 0x8000) - 0x8000
        d = v - before
        before = v
        if d < 0:
            d = 0 - d
        if v < 0:
            v = 0 - v
        total += v + d
        v = (int(chunk[2]) ^ 0x8000) - 0x8000
        d = v - before
        before = v
        if d < 0:
            d = 0 - d
        if v < 0:
            v = 0 - v
        total += v + d
        v = (int(chunk[3]) ^ 0x8000) - 0x8000
        d = v - before
        before = v
        if d < 0:
            d = 0 - d
        if v < 0:
            v = 0 - v
        total += v + d
        chunk = ptr16(int(chunk) + 8)
        count -= 1
    return total


# r = sum(features[i] for i in range(40)), uint8: at most 10200.
@micropython.viper
def slice_sum(features: ptr8) -> int:
    total = 0
    count = 10
    while count:
        total += int(features[0]) + int(features[1]) + int(features[2]) + int(features[3])
        features = ptr8(int(features) + 4)
        count -= 1
    return total


# One step of the smoothing, p the words above, none negative:
#     loudness += (heard - loudness) >> (_LOUDNESS_RISE if heard > loudness else _LOUDNESS_FALL)
#     loudest = loudness if loudness > loudest else loudest - (loudest >> _WAKE_WORD_FALL)
# and so with the change, in sixteenths, and its floor, which stays between its limits.
@micropython.viper
def follow(p: ptr32, heard: int, sixteenths: int):
    now = p[_LOUDNESS]
    if heard > now:
        now += (heard - now) >> _LOUDNESS_RISE
    else:
        now += (heard - now) >> _LOUDNESS_FALL
    p[_LOUDNESS] = now
    loudest = p[_LOUDEST]
    if now > loudest:
        p[_LOUDEST] = now
    else:
        p[_LOUDEST] = loudest - (loudest >> _WAKE_WORD_FALL)
    change = p[_CHANGE]
    if sixteenths > change:
        change += (sixteenths - change) >> _CHANGE_RISE
    else:
        change += (sixteenths - change) >> _CHANGE_FALL
    p[_CHANGE] = change
    floor = p[_FLOOR]
    if change < floor:
        floor += (change - floor) >> _FLOOR_FALL
    else:
        floor += (change - floor) >> _FLOOR_RISE
    if floor < MIN_FLOOR << 4:
        floor = MIN_FLOOR << 4
    if floor > MAX_FLOOR << 4:
        floor = MAX_FLOOR << 4
    p[_FLOOR] = floor
    if p[_IS_CHANGING]:
        floor += HOLD << 4
    else:
        floor += MARGIN << 4
    if change > floor:
        p[_IS_CHANGING] = 1
        p[_STEADY] = 0
    else:
        p[_IS_CHANGING] = 0
        if p[_STEADY] < _MAX_STEADY:
            p[_STEADY] += 1


class EndOfSpeech:
    """Follows the sound; `update` returns True when the speech has ended, and a stream should.

    `begin` says that the wake word was heard.  `heard_speech` then tells whether somebody has
    spoken since.  After that `quiet_ms` of quiet end the speech, or a lull half as long again:
    sound, but far below the speaker.

    Args, in ms:
        quiet_ms: How much quiet ends the speech, 300 to 3000.
        speech_ms: How much it takes to be speech: a click as loud as the speaker is not.
        skip_ms: How long after a wake word its own end may still sound.
    """

    def __init__(self, quiet_ms=800, speech_ms=60, skip_ms=70):
        if not 300 <= quiet_ms <= 3000 or speech_ms < 0 or skip_ms < 0:
            raise ValueError("quiet of %d ms" % quiet_ms)
        self._quiet_steps = quiet_ms // STEP_MS
        self._lull_steps = self._quiet_steps * LULL_SIXTEENTHS // 16
        self._speech_steps = speech_ms // STEP_MS
        self._skip_steps = skip_ms // STEP_MS
        self._words = array("i", (0,) * 6)
        self.reset()

    def reset(self):
        """Forget all that was heard: the microphone was off.  Allocates nothing."""
        words = self._words
        words[_LOUDNESS] = words[_LOUDEST] = words[_IS_CHANGING] = words[_STEADY] = 0
        words[_FLOOR] = words[_CHANGE] = FLOOR << 4
        self.begin()

    def begin(self):
        """Take what was loudest of late for the wake word, and wait for speech."""
        self._speaker = self._words[_LOUDEST]  # the loudest of the wake word, then of the command
        self._steps = 0
        self._speech = 0
        self._quiet = 0
        self._lull = 0
        self.heard_speech = False

    @micropython.native
    def listen(self, features, chunk):
        """As `update`, while no stream waits for speech or for its end."""
        follow(self._words, _loudness(chunk), slice_sum(features) << 4)

    @micropython.native
    def update(self, features, chunk):
        """Take a slice, a buffer of 40 uint8, and its chunk of 320 bytes.  Allocates nothing."""
        words = self._words
        follow(words, _loudness(chunk), slice_sum(features) << 4)
        self._steps += 1
        if not self.heard_speech:
            self._wait_for_speech(words)
            return False
        now = words[_LOUDNESS]
        speaker = self._speaker
        speaker = now if now > speaker else speaker - (speaker >> _COMMAND_FALL)
        self._speaker = speaker
        now = now << 4 if words[_STEADY] < STEADY_STEPS else 0
        if now > speaker * LULL_SHARE:
            self._lull = max(0, self._lull - LULL_BACK)
        else:
            self._lull += 1
        if now > speaker * QUIET_SHARE:
            self._quiet = 0
        else:
            self._quiet += 1
        return self._quiet >= self._quiet_steps or self._lull >= self._lull_steps

    @micropython.native
    def _wait_for_speech(self, words):
        now = words[_LOUDNESS]
        if (
            self._steps > self._skip_steps
            and words[_STEADY] < STEADY_BEFORE_STEPS
            and now > MIN_LOUDNESS
            and now << 4 > self._speaker * SPEECH_SHARE
        ):
            self._speech += 1
            if self._speech >= self._speech_steps:
                self.heard_speech = True
                self._speaker = now
        elif self._speech:
            self._speech -= 1


try:
    from .end_of_speech_xtensa import loudness as _loudness
except (ImportError, SyntaxError):  # not there, or not an ESP32-S3
    _loudness = loudness
