"""The drivers' pure parts: conversion, health, lost samples, contacts, waits."""

from array import array

import micropython
from drivers import microphone_health as health
from drivers.backoff import BackOff
from drivers.debounce import HOLD_MS, OPEN_MS, PRESS_MS, ButtonDebounce, SwitchDebounce
from drivers.overruns import RingClock
from drivers.pcm import LEFT, RIGHT, Converter


def pairs(words, channel, other=0):
    """Bytes of left-right pairs with these signed words in one channel."""
    raw = bytearray()
    for word in words:
        both = (word, other) if channel == LEFT else (other, word)
        for value in both:
            raw.extend(bytes(value >> shift & 255 for shift in (0, 8, 16, 24)))
    return raw


def reference(words, shift, gain_q4, dc):
    """The formula of the docstring in plain Python; returns (samples, dc)."""
    out = []
    for word in words:
        y = (word >> shift) - (dc >> 9)
        dc += y
        out.append(min(max(y * gain_q4 >> 4, -32768), 32767))
    return out, dc


def noise(count, seed=7):
    """Signed 32-bit words all over the range."""
    words = []
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        words.append((seed << 3 & 0xFFFFFFFF) - (1 << 31))
    return words


EXTREMES = (-(1 << 31), (1 << 31) - 1, -1, 0, 1, 1 << 30, -(1 << 30), (1 << 14) - 1, -(1 << 14))


def test_convert_equals_its_formula():
    for channel in (LEFT, RIGHT):
        for shift in (12, 13, 14, 15):
            for gain_q4 in (1, 16, 255):
                converter = Converter(160, channel, shift, gain_q4)
                dc = 0
                for words in (
                    noise(160),
                    (EXTREMES * 18)[:160],
                    [-(1 << 31)] * 160,
                    [(1 << 31) - 1] * 160,
                ):
                    out = array("h", bytes(320))
                    converter.convert(pairs(words, channel, 0x12345678), out)
                    want, dc = reference(words, shift, gain_q4, dc)
                    assert list(out) == want, (channel, shift, gain_q4)
                    assert converter.low == min(words) >> shift
                    assert converter.high == max(words) >> shift


def test_dc_is_removed_and_speech_is_not():
    converter = Converter(160, LEFT, 14)
    out = array("h", bytes(320))
    offset = 3000 << 14
    for _ in range(100):
        converter.convert(pairs([offset] * 160, LEFT), out)
    assert max(abs(v) for v in out) <= 1, max(out)
    square = [offset + ((2000 if i // 16 % 2 else -2000) << 14) for i in range(160)]  # 500 Hz
    for _ in range(20):
        converter.convert(pairs(square, LEFT), out)
    assert 1900 < max(out) < 2200 and -2200 < min(out) < -1900, (min(out), max(out))


def test_dc_never_leaves_its_range_at_the_rail():
    converter = Converter(160, LEFT, 12, 255)
    out = array("h", bytes(320))
    for word in (-(1 << 31), (1 << 31) - 1):
        for _ in range(60):
            converter.convert(pairs([word] * 160, LEFT), out)
        assert abs(converter.words[4] - (1 << 29)) <= (1 << 28) + 512


def test_convert_allocates_nothing():
    converter = Converter(160)
    raw, out = pairs(noise(160), LEFT), bytearray(320)
    micropython.heap_lock()
    converter.convert(raw, out)
    seen = health.judge(converter.low, converter.high, converter.clamped, 160, 1 << 16)
    micropython.heap_unlock()
    assert seen == health.RAIL, seen


def test_wrong_settings_are_refused():
    for wrong in ((2, 14, 16), (0, 11, 16), (0, 16, 16), (0, 14, 0), (0, 14, 256)):
        try:
            Converter(160, *wrong)
        except ValueError:
            continue
        raise AssertionError(wrong)


def test_judge():
    half = 1 << 16
    assert health.judge(-3, 5, 0, 160, half) == health.OK
    assert health.judge(0, 0, 0, 160, half) == health.ALL_ZERO
    assert health.judge(-1, -1, 0, 160, half) == health.STUCK
    assert health.judge(-9, 9, 81, 160, half) == health.RAIL
    assert health.judge(-9, 9, 80, 160, half) == health.OK
    for low, high in ((0, half), (half, half + 3), (-half - 1, -1), (0, 2 * half - 1)):
        assert health.judge(low, high, 0, 160, half) == health.SHIFTED, (low, high)
    for low, high in ((0, half - 1), (-1, half), (-half, -1), (-half - 1, 0), (-1, 2 * half - 1)):
        assert health.judge(low, high, 0, 160, half) == health.OK, (low, high)


def test_health_waits_and_heals():
    state = health.MicrophoneHealth()
    for i in range(health.BAD_CHUNKS - 1):
        assert not state.update(health.STUCK), i
    assert state.state == health.OK
    assert state.update(health.STUCK) and state.state == health.STUCK
    assert not state.update(health.STUCK)
    assert state.update(health.OK) and state.state == health.OK
    state = health.MicrophoneHealth()
    for i in range(3 * health.BAD_CHUNKS):  # two faults in turn are no steady fault
        assert not state.update(health.STUCK if i % 2 else health.RAIL)


def test_is_alive_looks_at_its_channel_only():
    assert health.is_alive(pairs((5, 6), RIGHT, 9), RIGHT)
    assert not health.is_alive(pairs((5, 6), RIGHT, 9), LEFT)
    assert not health.is_alive(pairs((5, 5), LEFT), LEFT)


def test_ring_clock_sees_what_was_lost():
    ring = RingClock(240)
    ring.empty(1000)
    assert not ring.took(160, 1239)  # 239 ms waited: all there
    assert not ring.took(160, 1249)
    assert ring.overruns == 0 and ring.worst_behind_ms == 239
    assert ring.took(160, 1260) and ring.overruns == 1
    for i in range(24):  # what the full ring held is not counted again
        assert not ring.took(160, 1260), i
    assert ring.overruns == 1
    assert not ring.took(160, 1290)
    ring.empty(1300)
    assert ring.took(160, 1550) and ring.took(160, 1580), "still full, and again nobody read"
    ring.empty(1300)
    assert not ring.took(160, 1500)


def test_ring_clock_does_not_drift_into_overruns():
    ring = RingClock(240)
    for second in range(100):  # each second a read that came up empty, 0.1 % drift
        for i in range(100):
            assert not ring.took(160, second * 1001 + i * 10)
        ring.empty((second + 1) * 1001)


def test_a_press_counts_once_whatever_its_length():
    for held_ms in (PRESS_MS, 300, 10000):
        button = ButtonDebounce()
        count = 0
        for now_ms in range(0, 200, 10):
            count += button.update(False, now_ms)
        for now_ms in range(200, 200 + held_ms + 10, 10):
            count += button.update(True, now_ms)
        for now_ms in range(210 + held_ms, 500 + held_ms, 10):
            count += button.update(False, now_ms)
        assert count == 1, (held_ms, count)


def test_a_button_is_held_once_it_was_down_for_long():
    button = ButtonDebounce()
    for now_ms in range(0, 2000, 10):  # held since before the start: not by who ended a sound
        button.update(now_ms < 500, now_ms)
        assert not button.is_held(now_ms) or now_ms < 500
    held = []
    for now_ms in range(2000, 4000, 10):
        button.update(2100 <= now_ms < 3500, now_ms)
        if button.is_held(now_ms):
            held.append(now_ms)
    assert held == list(range(2100 + HOLD_MS, 3500, 10)), held[:3]


def test_bounces_and_noise_are_no_press():
    button = ButtonDebounce()
    for now_ms in range(0, 100, 10):
        assert not button.update(False, now_ms)
    for now_ms in range(100, 400, 10):
        assert not button.update(now_ms // 20 % 2 == 0, now_ms)


def test_a_button_held_at_the_start_is_no_press():
    button = ButtonDebounce()
    for now_ms in range(0, 5000, 10):
        assert not button.update(True, now_ms)


def test_the_switch_mutes_at_once_and_opens_late():
    switch = SwitchDebounce()
    assert switch.is_muted and switch.update(False, 0)
    assert switch.update(False, OPEN_MS - 1)
    assert not switch.update(False, OPEN_MS)
    assert switch.update(True, OPEN_MS + 1), "one look is enough to mute"
    assert switch.update(False, OPEN_MS + 2)
    assert switch.update(True, OPEN_MS + 30)
    assert switch.update(False, OPEN_MS + 40) and switch.update(False, 2 * OPEN_MS + 39)
    assert not switch.update(False, 2 * OPEN_MS + 40)


def test_back_off_doubles_is_bounded_and_jitters():
    waits = BackOff(1000, 8000)
    assert [waits.wait_ms(255) for _ in range(5)] == [1000, 2000, 4000, 8000, 8000]
    assert waits.wait_ms(0) == 4000 and 4000 < waits.wait_ms(100) < 8000
    waits.reset()
    assert waits.wait_ms(255) == 1000


def test_a_switch_was_moved_only_by_who_held_it_on_mute():
    switch = SwitchDebounce()
    for now_ms in range(0, 500, 10):
        switch.update(now_ms in (100, 300), now_ms)  # open at the start, bouncing
        assert not switch.was_moved, now_ms
    switch.update(True, 500)
    switch.update(True, 500 + OPEN_MS)
    switch.update(False, 600)
    assert switch.is_muted and not switch.was_moved
    switch.update(False, 600 + OPEN_MS)
    assert not switch.is_muted and switch.was_moved
    switch = SwitchDebounce()
    switch.update(True, 0)
    switch.update(True, OPEN_MS - 1)
    switch.update(False, 100)
    switch.update(False, 100 + OPEN_MS)
    assert not switch.is_muted and not switch.was_moved


class Button:
    """A debounced button in time; `closes` between two looks are what the interrupt sees."""

    def __init__(self):
        self.debounce = ButtonDebounce()
        self.now_ms = 0
        for _ in range(20):  # let go since the start
            self.look()

    def look(self, closes=0, is_closed=False, after_ms=10):
        """(pressed, missed) of a look `after_ms` after the one before."""
        if closes:
            self.debounce.was_closed = True
        self.now_ms += after_ms
        pressed = self.debounce.update(is_closed, self.now_ms)
        return pressed, self.debounce.was_missed(self.now_ms)


def missed(button, looks=20):
    """How often a press is told as missed in the looks that follow; none counts as a press."""
    seen = [button.look() for _ in range(looks)]
    assert not any(pressed for pressed, _ in seen)
    return [was_missed for _, was_missed in seen].count(True)


def test_a_press_that_nobody_saw_is_told_once():
    for away_ms in (10, 60, 500):
        button = Button()
        assert button.look(closes=3, after_ms=away_ms) == (False, False), "it may still bounce"
        assert missed(button) == 1, away_ms


def test_a_tap_shorter_than_a_press_is_told_once():
    """It is too short to be certain, so it must not unmute; and it may be a hand in haste."""
    for looks in range(PRESS_MS // 10):
        button = Button()
        for _ in range(looks):
            assert button.look(closes=1, is_closed=True) == (False, False)
        button.look(closes=1)
        assert missed(button) == 1, looks


def test_a_press_whose_first_contact_bounces_is_a_press_and_nothing_else():
    """Else it would mute as a tap, and unmute as a press."""
    for gap in range(1, PRESS_MS // 10 + 1):
        button = Button()
        seen = [button.look(closes=1)]
        seen += [button.look() for _ in range(gap - 1)]
        seen += [button.look(closes=1, is_closed=True) for _ in range(20)]
        seen += [button.look() for _ in range(20)]
        assert [pressed for pressed, _ in seen].count(True) == 1, gap
        assert not any(was_missed for _, was_missed in seen), gap


def test_a_press_that_begins_unseen_and_ends_before_it_is_certain_is_told():
    button = Button()
    assert button.look(closes=1, is_closed=True, after_ms=500) == (False, False)
    assert button.look(is_closed=True) == (False, False)
    assert missed(button) == 1


def test_a_press_that_begins_seen_and_goes_on_unseen_is_told():
    """It was seen too briefly to count when nobody could look any more."""
    for looks in (1, 2, 3):
        button = Button()
        assert button.look(closes=1, is_closed=True) == (False, False)
        for _ in range(looks - 1):
            assert button.look(is_closed=True) == (False, False)
        first = button.look(after_ms=300)
        assert first[0] is False and first[1] + missed(button) == 1, looks


def test_a_press_that_begins_unseen_and_goes_on_counts_as_one_press():
    button = Button()
    seen = [button.look(closes=1, is_closed=True, after_ms=500)]
    seen += [button.look(is_closed=True) for _ in range(20)]
    seen += [button.look() for _ in range(20)]
    assert [pressed for pressed, _ in seen].count(True) == 1
    assert not any(missed for _, missed in seen)


def test_a_button_let_go_unseen_bounces_and_presses_nothing():
    """The unmuting press: storing it takes long, and the finger lifts meanwhile."""
    button = Button()
    while not button.look(is_closed=True)[0]:
        pass
    assert button.look(closes=5, after_ms=300) == (False, False)
    for _ in range(20):
        assert button.look() == (False, False)


def test_a_button_held_at_the_start_presses_nothing():
    button = ButtonDebounce()
    button.was_closed = True
    assert not button.update(True, 1000) and not button.was_missed(1000)
    button.was_closed = True
    assert not button.update(False, 2000) and not button.was_missed(2000)


def test_what_is_at_rest_need_not_be_asked():
    """Contacts that are only judged where they are not at rest say the same at every moment."""
    button, switch = ButtonDebounce(), SwitchDebounce()
    lazy_button, lazy_switch = ButtonDebounce(), SwitchDebounce()
    is_closed = on_mute = False
    seed, skipped, told = 5, 0, 0
    for now_ms in range(0, 400000, 10):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        chance = seed >> 16
        is_closed = not is_closed if chance % 29 == 0 else is_closed
        on_mute = not on_mute if chance % 101 == 1 else on_mute
        if chance % 1000 < (500 if is_closed else 6):  # the interrupt, of a tap too
            button.was_closed = lazy_button.was_closed = True
        news = (button.update(is_closed, now_ms), button.was_missed(now_ms))
        news += (switch.update(on_mute, now_ms), switch.was_moved)
        if not (is_closed or on_mute) and lazy_button.is_at_rest() and lazy_switch.is_settled():
            lazy_news = (False, False, False, False)
            skipped += 1
        else:
            lazy_news = (lazy_button.update(is_closed, now_ms), lazy_button.was_missed(now_ms))
            lazy_news += (lazy_switch.update(on_mute, now_ms), lazy_switch.was_moved)
        assert news == lazy_news, (now_ms, news, lazy_news)
        told += any(news)
        switch.was_moved = lazy_switch.was_moved = False
    assert skipped > 5000 and told > 5000, (skipped, told)


def test_a_chunk_that_is_within_is_one_that_is_well():
    converter = Converter(160)
    bias = 1 << 29
    half = 1 << 16
    within = 0
    for low in (-half - 1, -half, -5, 0, 5, half - 1, half):
        for high in (-half, -5, 0, 5, half - 1, half, half + 1):
            for clamped in (0, 1, 100):
                converter.words[5:8] = array("i", (low + bias, high + bias, clamped))
                if low <= high and converter.is_within(half):
                    within += 1
                    assert health.judge(low, high, clamped, 160, half) == health.OK
    assert within > 5
    state = health.MicrophoneHealth()
    assert state.is_well
    state.update(health.STUCK)
    assert not state.is_well, "a good chunk begins the count again"
