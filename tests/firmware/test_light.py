"""The light's table of truth: every state, microphone and amplifier on and off, all through the
pattern.
"""

from satellite.gate import ERROR, IDLE, MUTED, NOT_READY, STREAMING
from satellite.light import (
    BLUE,
    GREEN,
    MAGENTA,
    MIN_BRIGHTNESS,
    RED,
    SHOWN_NAMES,
    SPEAKING,
    STEP_MS,
    WHITE,
    YELLOW,
    Light,
    colour,
    level,
    mono_level,
    unheard_level,
)

STATES = range(len(SHOWN_NAMES))
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


class Amplifier:
    """What a loudspeaker reads back."""

    def __init__(self, on=False):
        self.on = on

    def is_on(self):
        return self.on


def test_the_whole_table():
    rows = {
        # (microphone, amplifier): colour of each state, as SHOWN_NAMES counts them
        (False, False): (YELLOW, RED, YELLOW, YELLOW, YELLOW, WHITE),
        (True, False): (MAGENTA, MAGENTA, GREEN, BLUE, MAGENTA, MAGENTA),
        (False, True): (MAGENTA, MAGENTA, MAGENTA, MAGENTA, MAGENTA, WHITE),
        (True, True): (MAGENTA,) * 6,
    }
    for mic_on, amp_on in rows:
        for state in STATES:
            driver = Driver()
            light = Light(driver, 255, True, Amplifier(amp_on))
            want = rows[mic_on, amp_on][state]
            assert colour(state, mic_on, amp_on) == want, (state, mic_on, amp_on)
            for now_ms in range(0, PERIOD_MS, STEP_MS):
                assert light.update(state, mic_on, now_ms)
                lit = tuple([value > 0 for value in driver.rgb])
                if any(lit) or mic_on or amp_on:  # never dark while anything is on
                    assert lit == tuple([value > 0 for value in want]), (state, mic_on, amp_on)


def test_an_amplifier_that_comes_on_by_itself_is_seen_within_a_step():
    driver = Driver()
    amplifier = Amplifier()
    for has_colour in (True, False):
        light = Light(driver, 64, has_colour, amplifier)
        amplifier.on = False
        assert light.update(MUTED, False, 100)
        dark = driver.rgb
        amplifier.on = True
        assert light.update(MUTED, False, 100 + STEP_MS - 1) and driver.rgb == dark
        assert light.update(MUTED, False, 100 + STEP_MS) and driver.rgb != dark
        assert has_colour is False or (driver.rgb[0] and not driver.rgb[1] and driver.rgb[2])


def test_speaking_has_a_rhythm_of_its_own_and_is_never_dark():
    for pattern in (level, mono_level):
        rhythms = []
        for state, mic_on in ((SPEAKING, False), (IDLE, True), (STREAMING, True), (MUTED, True)):
            rhythms.append(tuple(pattern(state, mic_on, t) for t in range(0, PERIOD_MS, STEP_MS)))
        for state in (MUTED, ERROR, NOT_READY):
            rhythms.append(tuple(pattern(state, False, t) for t in range(0, PERIOD_MS, STEP_MS)))
        rhythms.append(tuple(unheard_level(t) for t in range(0, PERIOD_MS, STEP_MS)))
        assert len(set(rhythms)) == len(rhythms), rhythms
        assert min(rhythms[0]) >= 64 and min(rhythms[-1]) >= 64


def test_a_wake_word_that_nobody_answered_is_told_in_green_and_for_a_while_only():
    driver = Driver()
    light = Light(driver, 255)
    light.tell_unheard(2000)
    for mic_on, state, is_told in ((True, IDLE, True), (True, STREAMING, False)):
        for now_ms in range(0, 2000, STEP_MS):
            assert light.update(state, mic_on, now_ms)
            bright = max(driver.rgb)
            is_flicker = bright == unheard_level(now_ms)
            assert is_flicker or not is_told, now_ms
            assert bright >= 64 and driver.rgb[0] == 0
    assert light.update(IDLE, True, 2000) and max(driver.rgb) == level(IDLE, True, 2000)


def test_muted_is_red_only_while_the_microphone_is_off():
    for state in STATES:
        for mic_on in (False, True):
            for amp_on in (False, True):
                is_red = colour(state, mic_on, amp_on) == RED
                assert is_red == (state == MUTED and not mic_on and not amp_on)
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
