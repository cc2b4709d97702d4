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

import micropython

STEP_MS = 10
#: What the floor of change is taken to be before anything was heard, and its limits.
FLOOR = 600
MIN_FLOOR = 200
MAX_FLOOR = 1500
#: Something begins this much above the floor, and lasts as long as it is HOLD above: it fades.
MARGIN = 500
HOLD = 300
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
#: Smoothing, as shifts.  Loudness: 40 ms up, 160 ms down; the loudest of a wake word is forgotten
#: in 1.3 s, that of a command in 20 s.
_LOUDNESS_RISE, _LOUDNESS_FALL = 2, 4
_WAKE_WORD_FALL, _COMMAND_FALL = 7, 11
#: Change: 80 ms up, 160 ms down; its floor 160 ms down, 5 s up.
_CHANGE_RISE, _CHANGE_FALL = 3, 4
_FLOOR_FALL, _FLOOR_RISE = 4, 9


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
        self.reset()

    def reset(self):
        """Forget all that was heard: the microphone was off.  Allocates nothing."""
        self._loudness = 0
        self._loudest = 0  # of late; of a wake word when one was just heard
        self._floor = FLOOR << 4
        self._change = self._floor
        self._is_changing = False
        self._steady = 0  # steps without change
        self.begin()

    def begin(self):
        """Take what was loudest of late for the wake word, and wait for speech."""
        self._speaker = self._loudest  # the loudest of the wake word, then of the command
        self._steps = 0
        self._speech = 0
        self._quiet = 0
        self._lull = 0
        self.heard_speech = False

    def update(self, features, chunk):
        """Take a slice, a buffer of 40 uint8, and its chunk of 320 bytes.  Allocates nothing."""
        self._follow_loudness(loudness(chunk))
        self._follow_change(sum(features) << 4)
        self._steps += 1
        if not self.heard_speech:
            self._wait_for_speech()
            return False
        now = self._loudness
        speaker = self._speaker
        speaker = now if now > speaker else speaker - (speaker >> _COMMAND_FALL)
        self._speaker = speaker
        now = now << 4 if self._steady < STEADY_STEPS else 0
        if now > speaker * LULL_SHARE:
            self._lull = max(0, self._lull - LULL_BACK)
        else:
            self._lull += 1
        if now > speaker * QUIET_SHARE:
            self._quiet = 0
        else:
            self._quiet += 1
        return self._quiet >= self._quiet_steps or self._lull >= self._lull_steps

    def _follow_loudness(self, heard):
        """Smooth the loudness, and follow the loudest of late."""
        now = self._loudness
        now += (heard - now) >> (_LOUDNESS_RISE if heard > now else _LOUDNESS_FALL)
        self._loudness = now
        loudest = self._loudest
        self._loudest = now if now > loudest else loudest - (loudest >> _WAKE_WORD_FALL)

    def _follow_change(self, sixteenths):
        """Smooth the change, and follow its floor."""
        change = self._change
        change += (sixteenths - change) >> (_CHANGE_RISE if sixteenths > change else _CHANGE_FALL)
        floor = self._floor
        floor += (change - floor) >> (_FLOOR_FALL if change < floor else _FLOOR_RISE)
        floor = min(max(floor, MIN_FLOOR << 4), MAX_FLOOR << 4)
        self._change = change
        self._floor = floor
        self._is_changing = change > floor + ((HOLD if self._is_changing else MARGIN) << 4)
        self._steady = 0 if self._is_changing else self._steady + 1

    def _wait_for_speech(self):
        now = self._loudness
        if (
            self._steps > self._skip_steps
            and self._steady < STEADY_BEFORE_STEPS
            and now > MIN_LOUDNESS
            and now << 4 > self._speaker * SPEECH_SHARE
        ):
            self._speech += 1
            if self._speech >= self._speech_steps:
                self.heard_speech = True
                self._speaker = now
        elif self._speech:
            self._speech -= 1
