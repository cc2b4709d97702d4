"""The light's table of truth: every state, microphone on and off, all through the pattern."""

from satellite.gate import ERROR, IDLE, MUTED, NOT_READY, STATE_NAMES, STREAMING
from satellite.light import (
    BLUE,
    GREEN,
    MAGENTA,
    MIN_BRIGHTNESS,
    RED,
    STEP_MS,
    YELLOW,
    Light,
    colour,
    level,
    mono_level,
)

STATES = range(len(STATE_NAMES))
PERIOD_MS = 4000


class Driver:
    def __init__(self):
        self.rgb = None
        self.shows = 0
        self.fails = False
        self.lies = False

    def show(self, r, g, b):
        if self.fails:
            raise OSError
        self.shows += 1
        self.rgb = (r, g, b)

    def is_ok(self):
        return not self.lies


def test_muted_is_red_only_while_the_microphone_is_off():
    for state in STATES:
        for mic_on in (False, True):
            is_red = colour(state, mic_on) == RED
            assert is_red == (state == MUTED and not mic_on), (state, mic_on)
    assert colour(IDLE, True) == GREEN and colour(STREAMING, True) == BLUE
    for state in (NOT_READY, MUTED, ERROR):
        assert colour(state, True) == MAGENTA
    for state in (NOT_READY, IDLE, STREAMING, ERROR):
        assert colour(state, False) == YELLOW


def test_the_light_is_never_off_while_the_microphone_is_on():
    for brightness in (1, MIN_BRIGHTNESS, 64, 255):
        for has_colour in (True, False):
            driver = Driver()
            light = Light(driver, brightness, has_colour)
            for state in STATES:
                for now_ms in range(0, PERIOD_MS, STEP_MS):
                    assert light.update(state, True, now_ms + state * PERIOD_MS)
                    lit = max(driver.rgb)
                    assert lit >= MIN_BRIGHTNESS // 2, (state, now_ms, driver.rgb)


def test_a_muted_light_does_not_go_out_after_a_while():
    driver = Driver()
    light = Light(driver, 64)
    for hour in range(0, 3600 * 1000 * 24, 977000):
        assert light.update(MUTED, False, hour) and driver.rgb[0] > 0, hour
        assert driver.rgb[1] == driver.rgb[2] == 0


def test_every_state_has_a_rhythm_of_its_own():
    """Without colour vision: the patterns over four seconds differ, and so do they on one LED."""
    for pattern in (level, mono_level):
        seen = {}
        for state in STATES:
            for mic_on in (False, True):
                rhythm = tuple(pattern(state, mic_on, t) for t in range(0, PERIOD_MS, STEP_MS))
                what = (mic_on, state if mic_on == (state in (IDLE, STREAMING)) else "other")
                seen.setdefault(rhythm, set()).add(what)
        muted = tuple(pattern(MUTED, False, t) for t in range(0, PERIOD_MS, STEP_MS))
        idle = tuple(pattern(IDLE, True, t) for t in range(0, PERIOD_MS, STEP_MS))
        streaming = tuple(pattern(STREAMING, True, t) for t in range(0, PERIOD_MS, STEP_MS))
        alarm = tuple(pattern(MUTED, True, t) for t in range(0, PERIOD_MS, STEP_MS))
        assert len({muted, idle, streaming, alarm}) == 4
        assert len(seen) >= 5


def test_levels_stay_in_range():
    for pattern in (level, mono_level):
        for state in STATES:
            for mic_on in (False, True):
                for now_ms in range(PERIOD_MS):
                    value = pattern(state, mic_on, now_ms)
                    assert 0 <= value <= 255 and (value >= 64 or not mic_on)


def test_a_light_that_fails_or_does_not_follow_is_told():
    for fault in ("fails", "lies"):
        driver = Driver()
        light = Light(driver)
        assert light.update(IDLE, True, 0) and light.shown == (IDLE, True)
        setattr(driver, fault, True)
        assert not light.update(IDLE, True, STEP_MS) and light.shown is None
        assert not light.update(IDLE, True, STEP_MS + 1)  # and not forgotten in between
        setattr(driver, fault, False)
        assert light.update(IDLE, True, 2 * STEP_MS)


def test_a_change_is_shown_at_once_and_a_pattern_each_step():
    driver = Driver()
    light = Light(driver)
    light.update(IDLE, True, 0)
    light.update(IDLE, True, STEP_MS - 1)
    assert driver.shows == 1
    light.update(STREAMING, True, STEP_MS - 1)
    assert driver.shows == 2 and driver.rgb[2] > 0 and driver.rgb[1] == 0
    light.update(STREAMING, False, STEP_MS - 1)
    assert driver.shows == 3
    light.update(STREAMING, False, 2 * STEP_MS - 1)
    assert driver.shows == 4
