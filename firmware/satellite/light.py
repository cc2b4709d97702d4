"""What the light shows: the truth about the microphone and the amplifier, as both read back.

Place in the pipeline: after the gate, before the light's driver.  Pure.  The state is the gate's,
or SPEAKING in place of IDLE; `mic_on` is read back from the microphone, `amp_on` from the
loudspeaker.  Where they contradict the state the light says so: it never shows "muted" while the
microphone or the amplifier is on.

| microphone | amplifier | state | colour | pattern | single-colour light |
|---|---|---|---|---|---|
| off | off | MUTED | red | steady | dark, a short flash every 2 s |
| on | off | IDLE | green | slow breathing, never off | steady, breathing |
| on | off | STREAMING | blue | fast pulses, never off | fast pulses, never off |
| off | either | SPEAKING | white | slow pulses, never off | slow pulses, never off |
| off | off | NOT_READY, IDLE, STREAMING | yellow | slow blinking | slow blinking |
| off | off | ERROR | yellow | two flashes a second | two flashes a second |
| on | off | MUTED, ERROR, NOT_READY | magenta | hectic, never off | hectic, never off |
| on | either | SPEAKING | magenta | hectic, never off | hectic, never off |
| either | on | any but SPEAKING | magenta | hectic, never off | hectic, never off |

After a wake word that no receiver answered, a board without a loudspeaker flickers green for 2 s,
four times a second.  The patterns differ in rhythm, so nobody has to distinguish colours.
"""

import micropython
from micropython import const

from .gate import ERROR, IDLE, MUTED, STATE_NAMES, STREAMING

#: In place of IDLE: the microphone is off because the device speaks.
SPEAKING = const(5)
SHOWN_NAMES = STATE_NAMES + ("SPEAKING",)

RED = (255, 0, 0)
GREEN = (0, 255, 0)
BLUE = (0, 0, 255)
YELLOW = (255, 160, 0)
MAGENTA = (255, 0, 255)
WHITE = (255, 255, 255)

#: The least brightness, of 255, of a lit colour: dimming never hides it.
MIN_BRIGHTNESS = 8
#: How often a pattern moves on; a change of state is shown at once.
STEP_MS = 40


@micropython.native
def colour(state, mic_on, amp_on=False):
    """The colour, full brightness, as (r, g, b)."""
    if state == SPEAKING:
        return MAGENTA if mic_on else WHITE
    if amp_on:
        return MAGENTA
    if mic_on:
        if state == IDLE:
            return GREEN
        if state == STREAMING:
            return BLUE
        return MAGENTA
    return RED if state == MUTED else YELLOW


@micropython.native
def level(state, mic_on, now_ms, amp_on=False):
    """The pattern's brightness at a time, 0..255; at least 64 while anything is on."""
    if state == SPEAKING and not mic_on:  # pulses, 2 s
        return 255 if now_ms % 2000 < 1000 else 96
    if not mic_on and not amp_on:
        return _resting_level(state, now_ms)
    if not amp_on:
        if state == IDLE:  # breathing, 4 s
            phase = now_ms % 4000
            return 96 + (phase if phase < 2000 else 4000 - phase) * 159 // 2000
        if state == STREAMING:  # pulses, 0.5 s
            return 255 if now_ms % 500 < 250 else 96
    return 255 if now_ms % 160 < 80 else 64


def _resting_level(state, now_ms):
    """The brightness while microphone and amplifier are off."""
    if state == MUTED:
        return 255
    if state == ERROR:
        phase = now_ms % 1000
        return 255 if phase < 120 or 240 <= phase < 360 else 0
    return 255 if now_ms % 2000 < 1000 else 0


def mono_level(state, mic_on, now_ms, amp_on=False):
    """As `level`, for a light of one colour: muted is dark but for a short flash every 2 s."""
    if state == MUTED and not mic_on and not amp_on:
        return 255 if now_ms % 2000 < 60 else 0
    return level(state, mic_on, now_ms, amp_on)


def unheard_level(now_ms):
    """The brightness of listening after a wake word that nobody answered."""
    return 255 if now_ms % 240 < 120 else 64


class Light:
    """Drive a ports.LightDriver.

    `brightness` is 1..255; what must be seen stays at least MIN_BRIGHTNESS.  `has_colour` is False
    for a single LED, which gets the same level on all three.  `speaker` is a ports.Speaker, which
    is read back whenever the pattern moves on, or None.
    """

    def __init__(self, driver, brightness=255, has_colour=True, speaker=None):
        self._driver = driver
        self._speaker = speaker
        self.brightness = max(MIN_BRIGHTNESS, min(255, brightness))
        self._has_colour = has_colour
        self.shown = None  # (state, mic_on) of the last update that worked
        self._state = -1
        self._mic_on = False
        self._amp_on = False
        self._next_ms = 0
        self._unheard_until_ms = 0

    def tell_unheard(self, until_ms):
        """Show in the rhythm of listening, until then, that nobody answered a wake word."""
        self._unheard_until_ms = until_ms

    @micropython.native
    def update(self, state, mic_on, now_ms):
        """Show a state; False when the light cannot be driven, and then nothing may be trusted."""
        if state == self._state and mic_on == self._mic_on and now_ms < self._next_ms:
            return self.shown is not None
        self._next_ms = now_ms + STEP_MS
        self._state = state
        self._mic_on = mic_on
        if not self._follows(now_ms):
            self.shown = None
            return False
        shown = self.shown
        if shown is None or shown[0] != state or shown[1] != mic_on:
            self.shown = (state, mic_on)
        return True

    @micropython.native
    def _follows(self, now_ms):
        """Show the pattern of this time; whether the driver does."""
        try:
            self._draw(now_ms)
            return self._driver.is_ok()
        except OSError:
            return False

    @micropython.native
    def _draw(self, now_ms):
        self._amp_on = self._speaker is not None and self._speaker.is_on()
        if self._has_colour:
            self._tint(colour(self._state, self._mic_on, self._amp_on), self._level(now_ms))
        else:
            self._tint(WHITE, self._level(now_ms))

    @micropython.native
    def _level(self, now_ms):
        state = self._state
        if state == IDLE and now_ms < self._unheard_until_ms and self._mic_on:
            return unheard_level(now_ms)
        if self._has_colour:
            return level(state, self._mic_on, now_ms, self._amp_on)
        return mono_level(state, self._mic_on, now_ms, self._amp_on)

    @micropython.native
    def _tint(self, rgb, bright):
        r = self._dim(rgb[0], bright)
        g = self._dim(rgb[1], bright)
        b = self._dim(rgb[2], bright)
        self._driver.show(r, g, b)

    @micropython.native
    def _dim(self, value, bright):
        if not value or not bright:
            return 0
        return max(MIN_BRIGHTNESS * value // 255, value * bright * self.brightness // 65025, 1)
