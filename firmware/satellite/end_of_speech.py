"""The end of speech: when to stop sending, from the feature slices that the engine makes anyway.

Place in the pipeline: beside the gate; fed each slice while a stream runs.  The front end has
already taken the steady noise out of a slice, so the sum of its 40 values says how much there is
now that was not there before: 200 to 1000 in any steady noise, 1500 to 4000 in speech.  That sum,
smoothed, is held against a floor that follows its lows and, where others talk in the background,
against the peak of who talks here.  Integers only, allocates nothing, imports nothing.

All levels are in sums of a slice (0 to 10200), kept in sixteenths.
"""

STEP_MS = 10
#: What the floor is taken to be before anything was heard, and its limits.
FLOOR = 600
FLOOR_MIN = 200
FLOOR_MAX = 1500
#: Speech begins this much above the floor, and goes on as long as it is HOLD above: it fades.
MARGIN = 500
HOLD = 300
#: A lull is whatever stays below this share, in sixteenths, of the way from floor to peak.
LULL_SHARE = 6
#: How much longer than quiet a lull must last, in quarters.
LULL_QUARTERS = 5
#: Smoothing, as shifts: 80 ms up, 160 ms down; the floor 160 ms down, 5 s up; the peak 80 ms up,
#: 10 s down.
_RISE, _FALL = 3, 4
_FLOOR_FALL, _FLOOR_RISE = 4, 9
_PEAK_RISE, _PEAK_FALL = 3, 10


class EndOfSpeech:
    """`update` with each slice; True when the speech has ended, and a stream should.

    After speech, `quiet_ms` of quiet end it, 300 to 3000, or a lull of a quarter more: sound, but
    far below the speech.  Speech is at least `speech_ms` of sound above the floor: a click is
    none.  `wait_ms` without any speech end it too.  What is heard in the first `skip_ms` is the
    end of the wake word.  `heard_speech` tells whether there was any.
    """

    def __init__(self, quiet_ms=800, wait_ms=5000, speech_ms=100, skip_ms=200):
        if not 300 <= quiet_ms <= 3000 or wait_ms < quiet_ms or speech_ms < 0 or skip_ms < 0:
            raise ValueError("quiet of %d ms, wait of %d ms" % (quiet_ms, wait_ms))
        self._quiet_steps = quiet_ms // STEP_MS
        self._lull_steps = self._quiet_steps * LULL_QUARTERS // 4
        self._wait_steps = wait_ms // STEP_MS
        self._speech_steps = speech_ms // STEP_MS
        self._skip_steps = skip_ms // STEP_MS
        self._floor = FLOOR << 4
        self.reset()

    def reset(self):
        """A stream begins; what is known of the floor stays.  Allocates nothing."""
        self._level = self._floor
        self._peak = self._floor
        self._steps = 0
        self._loud = 0
        self._quiet = 0
        self._lull = 0
        self.is_loud = False
        self.heard_speech = False

    def update(self, features):
        """Take a slice, a buffer of 40 uint8.  Allocates nothing; all values stay below 2^23."""
        sixteenths = sum(features) << 4
        level = self._level
        level += (sixteenths - level) >> (_RISE if sixteenths > level else _FALL)
        floor = self._floor
        floor += (level - floor) >> (_FLOOR_FALL if level < floor else _FLOOR_RISE)
        floor = min(max(floor, FLOOR_MIN << 4), FLOOR_MAX << 4)
        peak = self._peak
        peak += (level - peak) >> (_PEAK_RISE if level > peak else _PEAK_FALL)
        self._level = level
        self._floor = floor
        self._peak = peak
        self._steps += 1
        self.is_loud = level > floor + ((HOLD if self.is_loud else MARGIN) << 4)
        if self.is_loud:
            self._quiet = 0
            # The slice itself, not the smoothed level, which still holds what was before.
            if self._steps > self._skip_steps and sixteenths > floor + (HOLD << 4):
                self._loud += 1
                if self._loud >= self._speech_steps:
                    self.heard_speech = True
        else:
            self._quiet += 1
            if not self.heard_speech:
                self._loud = 0
        if (level - floor) << 4 > (peak - floor) * LULL_SHARE and self.is_loud:
            self._lull = 0
        else:
            self._lull += 1
        if self.heard_speech:
            return self._quiet >= self._quiet_steps or self._lull >= self._lull_steps
        return self._steps >= self._wait_steps
