"""The ways in which the mute lights of other devices were seen to lie, each as a case.

On the whole simulated device, or on the real Light in MicroPython.
"""

import pytest

from tests.fakes.simulated import records, silence, simulate, sound, states, wake_and_command

#: How often the light is driven and read back while nothing changes.
LOOK_MS = 50

MINUTES_OF_A_LIGHT = """
from satellite.gate import MUTED
from satellite.light import Light


class Driver:
    seen = set()

    def show(self, r, g, b):
        self.seen.add((r, g, b))

    def is_ok(self):
        return True


for has_colour in (True, False):
    driver = Driver()
    driver.seen = set()
    light = Light(driver, {brightness}, has_colour)
    dark_ms = longest_ms = 0
    for now_ms in range({first_ms}, {first_ms} + 300000, 20):
        driver.seen.clear()
        assert light.update(MUTED, False, now_ms)
        if not driver.seen:  # it stays as it was
            dark_ms += 20 if dark_ms else 0
            continue
        dark_ms = dark_ms + 20 if (0, 0, 0) in driver.seen else 0
        longest_ms = max(longest_ms, dark_ms)
        if has_colour:
            (rgb,) = driver.seen
            assert rgb[0] and not rgb[1] and not rgb[2], rgb
    print(longest_ms)
"""


def lights(result):
    return [(e["t_ms"], e["state"], e["mic"]) for e in result.of("light")]


def red(event):
    r, g, b = event["rgb"]
    return bool(r and not g and not b)


def test_a_microphone_that_stays_on_is_never_shown_as_muted(tmp_path):
    """One of several microphones was still on behind a red light."""
    script = [(500, "microphone-stuck", True), (3000, "press")]
    result = simulate(tmp_path, sound(wake_and_command()), script)
    after = [e for e in result.of("light") if e["t_ms"] >= 3000]
    assert after and all(e["mic"] and not red(e) and max(e["rgb"]) for e in after), after
    assert all(e["t_ms"] < 3010 for e in result.of("sent")), "the stream ends all the same"
    assert states(result)[-1][1] in ("MUTED", "ERROR")
    assert records(result, "fault") == [{"what": "microphone"}], "recorded, and not for ever"
    assert records(result, "mic") == [{"on": True}], "no record says that it is off"


def test_a_microphone_that_gives_in_late_is_shown_as_muted_then(tmp_path):
    script = [(500, "microphone-stuck", True), (1000, "press"), (2000, "microphone-stuck", False)]
    result = simulate(tmp_path, silence(3), script)
    assert [event["on"] for event in result.of("mic")] == [True, False]
    off_ms = result.of("mic")[-1]["t_ms"]
    assert off_ms in (2000, 2010)
    assert all(e["t_ms"] >= off_ms for e in result.of("light") if red(e))


@pytest.mark.parametrize("at_ms", [0, 1000, 2600])
def test_a_light_that_shows_the_opposite_keeps_the_microphone_off(tmp_path, at_ms):
    """A pin was inverted, or the light was wired to the next one."""
    result = simulate(tmp_path, wake_and_command(), [(at_ms, "light-wrong", True)])
    assert records(result, "fault")[-1] == {"what": "light"} and states(result)[-1][1] == "ERROR"
    assert not any(e["on"] for e in result.of("mic")[-1:])
    assert all(e["t_ms"] <= at_ms + LOOK_MS for e in result.of("sent"))


def test_a_running_stream_does_not_go_on_behind_a_red_light(tmp_path):
    for at_ms in (2000, 2340, 4000):
        result = simulate(tmp_path, wake_and_command(), [(at_ms, "press")])
        first_red_ms = next(e["t_ms"] for e in result.of("light") if red(e))
        assert all(e["t_ms"] <= first_red_ms for e in result.of("sent"))
        assert result.streams.all[0].reason == "mute"
        assert (result.streams.all[0].samples_to or 0) <= (at_ms + 10) * 16


def test_nothing_is_painted_over_mute(tmp_path):
    """A notification, a lost network or an update took the light while it should have been red."""
    script = [(500, "press"), (900, "network", "down"), (1500, "network", "up")]
    script += [(2000 + 200 * i, "request", kind) for i, kind in enumerate(
        ("unmute", "listen", "run-pipeline", "mute", "detect", "transcribe", "ping")
    )]  # fmt: skip
    script += [(4000, "network", "silent"), (4500, "network", "up"), (5000, "disk-full", True)]
    result = simulate(tmp_path, wake_and_command(), script)
    assert lights(result)[-1][1:] == ("MUTED", False) and lights(result)[-1][0] <= 520
    assert red(result.of("light")[-1])


def test_a_press_while_the_switch_mutes_opens_nothing(tmp_path):
    """A press of the action button opened the microphone behind a muted light."""
    script = [(300, "switch", "muted"), (600, "press"), (900, "press"), (1200, "press")]
    result = simulate(tmp_path, sound(silence(1), wake_and_command()), script)
    assert [(e["t_ms"] <= 310, e["on"]) for e in result.of("mic")] == [(True, True), (True, False)]
    assert lights(result)[-1][1:] == ("MUTED", False) and result.streams.all == []


def test_a_press_that_unmutes_shows_it_before_the_microphone_is_on(tmp_path):
    result = simulate(tmp_path, silence(2), [(700, "press")], muted=True)
    kinds = [e["event"] for e in result.events if e["t_ms"] >= 700]
    assert kinds.index("light") < kinds.index("mic")
    assert not red(result.of("light")[-1])


def test_a_press_that_cannot_be_stored_opens_nothing(tmp_path):
    result = simulate(tmp_path, silence(2), [(500, "disk-full", True), (700, "press")], muted=True)
    assert result.of("mic") == [] and "IDLE" not in [s for _, s, _ in states(result)]


@pytest.mark.parametrize("brightness", [1, 255])
@pytest.mark.parametrize("first_ms", [0, 12 * 24 * 3600 * 1000])
def test_the_mute_light_does_not_go_out(run_micropython, brightness, first_ms):
    """It went dark some seconds after the press, or was dimmed to nothing."""
    script = MINUTES_OF_A_LIGHT.format(brightness=brightness, first_ms=first_ms)
    colour_ms, mono_ms = map(int, run_micropython(script).split())
    assert colour_ms == 0 and mono_ms <= 2000, "a single-colour light flashes each 2 s"


def test_the_device_keeps_showing_mute(tmp_path):
    result = simulate(tmp_path, silence(120), [(500, "press")])
    assert lights(result)[-1] == (500, "MUTED", False) and red(result.of("light")[-1])


@pytest.mark.parametrize("lost_ms", [1020, 1500, 2610, 4000])
def test_mute_is_not_forgotten_by_a_restart(tmp_path, lost_ms):
    script = [(1000, "press"), (lost_ms, "power-loss", 300)]
    script += [(lost_ms + 700, "power-loss", 100)]
    result = simulate(tmp_path, wake_and_command(), script)
    assert [state for t_ms, state, _ in states(result) if t_ms > 1000] == ["MUTED", "MUTED"]
    assert not any(e["on"] for e in result.of("mic") if e["t_ms"] > 1000)
    assert result.streams.all == []


def test_mute_is_not_forgotten_by_a_reconnection(tmp_path):
    script = [(500, "press")]
    script += [(t_ms, "network", "down") for t_ms in (1000, 6000, 12000)]
    script += [(t_ms + 700, "network", "up") for t_ms in (1000, 6000, 12000)]
    result = simulate(tmp_path, sound(*[wake_and_command()] * 4), script)
    assert states(result)[-1][:2] == (500, "MUTED") and result.detections == []
    assert [e["type"] for e in result.of("message")].count("ping") >= 3
