"""The simulated loudspeaker: what it plays is what was sent, at the volume set, and nothing else.

`simulated.simulate` checks on every trace that microphone and loudspeaker are never on together.
"""

import random
import shutil
import wave

import numpy as np
import pytest

from host_tools import micropython
from host_tools.board.definition import load_board
from host_tools.errors import HostToolError
from host_tools.shared_firmware import FIRMWARE
from host_tools.simulation import plot, scenario, trace
from host_tools.simulation.speaker import Played, read_reply, spoken
from host_tools.simulation.text import spoken_text
from host_tools.xtensa.speaker_cost import scaled
from tests.fakes.simulated import records, silence, simulate, sound, wake_and_command

#: The command has ended at 5.67 s; the receiver answers 0.3 s later.
QUIET_S = 4.0


def gain_q15(percent):
    return (percent * percent * 32768 + 5000) // 10000


def answer(seconds=1.0, seed=3):
    """Noise that begins and ends with a sample that is heard at any volume."""
    samples = np.random.default_rng(seed).integers(-9000, 9000, round(16000 * seconds))
    samples[0] = samples[-1] = 9000
    return samples.astype(np.int16)


def command():
    return sound(wake_and_command(), silence(QUIET_S))


def wav_of(result, path):
    result.played.write(path, result.samples)
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 2, 16000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def heard(result, path):
    """(first sample, samples) of what sounded, from the first to the last that is not silence."""
    played = wav_of(result, path)
    at = np.flatnonzero(played)
    return at[0], played[at[0] : at[-1] + 1]


def lines(result):
    """The trace without the loudspeaker's own `sound`, as text."""
    return [trace.line(event) for event in result.events]


def test_what_sounds_is_what_was_sent_at_the_volume_set(tmp_path):
    for volume in (60, 25):
        config = {"volume": volume}
        result = simulate(tmp_path, command(), reply=answer(), config=config)
        first, played = heard(result, tmp_path / "out.wav")
        assert np.array_equal(played, scaled(answer(), gain_q15(volume)))
        assert wav_of(result, tmp_path / "out.wav").size == result.samples
        (once,) = result.spoken
        (start,) = [e for e in result.of("speaker") if e["on"]]
        # A turn of silent buffers, 250 ms, then the sound.
        assert first == 16 * (start["t_ms"] + 250) and once.start_ms == start["t_ms"]
        assert (once.what, once.reason, once.sound_ms) == ("reply", "end", 1000)
        sounds = result.of("sound")
        assert sounds[0]["samples_from"] == first
        assert sounds[-1]["samples_to"] == first + 16000
        assert all(e["samples_to"] == 16 * e["t_ms"] for e in sounds)
        assert {e["samples_to"] - e["samples_from"] for e in sounds} == {160}
        assert max(e["peak"] for e in sounds) == abs(played.astype(int)).max()


def test_its_echo_at_the_microphone_changes_nothing(tmp_path):
    without = simulate(tmp_path, command(), reply=answer())
    with_echo = simulate(tmp_path, command(), reply=answer(), echo_db=0.0)
    assert with_echo.spoken and lines(with_echo) == lines(without)
    assert with_echo.probabilities == without.probabilities


def test_an_echo_that_is_heard_changes_something(tmp_path, monkeypatch):
    """Otherwise the test above says nothing: a microphone that does not rest hears the room."""
    folder = tmp_path / "firmware"
    shutil.copytree(FIRMWARE, folder)
    monkeypatch.setattr(micropython, "FIRMWARE", folder)
    speech = folder / "satellite" / "speech.py"
    text = speech.read_text()
    assert "\nREST_MS = 200\n" in text
    speech.write_text(text.replace("\nREST_MS = 200\n", "\nREST_MS = 0\n"))
    heard_at = {}
    for echo_db in (None, 0.0):
        result = simulate(
            tmp_path,
            command(),
            reply=answer(),
            echo_db=echo_db,
            with_features=True,
            checked=False,
        )
        heard_at[echo_db] = result.features
    assert heard_at[None] != heard_at[0.0]


def test_the_network_cannot_make_a_sound_of_its_own(tmp_path):
    rows = [(300, "speak", "reply"), (600, "speak", "timer"), (900, "speak", "announcement")]
    rows += [(1200, "chime", "timer"), (1500, "chime", "error")]
    result = simulate(tmp_path, silence(3.0), rows)
    assert not result.spoken and not result.played.chunks
    refused = [record["what"] for record in records(result, "refused")]
    assert set(refused) == {"speak", "chime"}
    assert [e["type"] for e in result.of("message")].count("speak-refused") == 5
    assert not wav_of(result, tmp_path / "out.wav").any()


def test_a_reply_is_heard_once_and_no_louder_than_the_owner_allows(tmp_path):
    rows = [(5900, "volume", 100), (6000, "speak", "reply"), (9500, "speak", "reply")]
    result = simulate(tmp_path, command(), rows)
    assert [e["what"] for e in result.of("audit") if e["kind"] == "speak-start"] == ["reply"]
    _, played = heard(result, tmp_path / "out.wav")
    example = simulate(tmp_path, command(), rows[1:2], config={"volume": 80})
    assert np.array_equal(played, heard(example, tmp_path / "out.wav")[1])


def test_a_timer_rings_with_pauses_and_a_press_ends_it(tmp_path):
    rows = [(300, "chime", "timer"), (6000, "press")]
    result = simulate(tmp_path, silence(8.0), rows, config={"timers": True})
    assert [once.what for once in result.spoken] == ["timer", "timer"]
    assert result.spoken[0].sound_ms > 1000 and result.spoken[1].reason == "button"
    assert result.spoken[1].end_ms <= 6010
    (end,) = records(result, "speak-end")
    assert end["reason"] == "button"
    listening = [e["t_ms"] for e in result.of("mic") if e["on"]]
    assert len(listening) == 3, "at the start, in the pause, and afterwards"


def test_mute_and_power_loss_silence_it_at_once(tmp_path):
    for action, value in (("switch", "muted"), ("power-loss", 1000), ("request", "mute")):
        rows = [(0, "switch", "open"), (6500, action, value)]
        rows = rows if action == "switch" else rows[1:]
        row = (6500, action) if value is None else (6500, action, value)
        result = simulate(tmp_path, command(), [*rows[:-1], row], reply=answer(3.0))
        (once,) = result.spoken
        assert 6500 <= once.end_ms <= 6570, (action, once)
        last = result.of("sound")[-1]
        assert last["t_ms"] <= once.end_ms, (action, last)


def test_late_audio_is_silence(tmp_path):
    rows = [(6400, "network", "silent"), (8000, "network", "up")]
    result = simulate(tmp_path, command(), rows, reply=answer(3.0))
    _, played = heard(result, tmp_path / "out.wav")
    (end,) = records(result, "speak-end")
    assert (end["reason"], end["duration_ms"]) == ("end", 3000) and end["late_ms"] > 100
    gap = 16 * end["late_ms"]
    sent = scaled(answer(3.0), gain_q15(60))
    assert played.size == sent.size + gap
    at = int(np.argmin(played[: sent.size] == sent))
    assert not played[at : at + gap].any()
    assert np.array_equal(np.delete(played, slice(at, at + gap)), sent), "whole and in order"


@pytest.mark.parametrize(
    "at_ms, action", ((300, "speaker-fails"), (6600, "speaker-fails"), (6600, "speaker-stuck"))
)
def test_a_speaker_that_fails_makes_no_sound_or_is_told(tmp_path, at_ms, action):
    result = simulate(tmp_path, command(), [(at_ms, action, True)], reply=answer(2.0))
    if action == "speaker-fails":
        assert not result.played.chunks or result.of("sound")[-1]["t_ms"] <= at_ms + 20
        assert records(result, "fault")[0]["what"] == "speaker"
    else:
        lights = [e for e in result.of("light") if e["t_ms"] > 6600]
        assert lights[-1]["rgb"][0] and lights[-1]["rgb"][2] and not lights[-1]["rgb"][1]
        assert not result.of("mic")[-1]["on"], "no microphone beside an amplifier that stays on"
        assert result.last_state == "ERROR"


def test_a_board_without_one_refuses(tmp_path):
    board = load_board("ESPRESSIF_S3_EYE")
    result = simulate(tmp_path, command(), reply=answer(), board=board)
    assert not result.of("speaker") and not result.of("sound")
    assert "speak-refused" in [e["type"] for e in result.of("message")]


def anything(seed, duration_ms):
    """People, a receiver and a network that do something every second or two."""
    choice = random.Random(seed)
    sounds = (
        ("speak", ("reply", "timer", "announcement")),
        ("speak", ("timer", "announcement")),
        ("chime", ("timer", "error")),
        ("chime", ("timer",)),
        ("speak-stop", ()),
        ("volume", (20, 60, 100)),
        ("request", ("unmute", "word", "listen")),
        ("press", ()),  # ends a sound, or mutes
    )
    #: What closes, and what opens again 800 ms later.
    troubles = (
        ("press", None, "press", None),
        ("request", "mute", "press", None),
        ("switch", "muted", "switch", "open"),
        ("network", "down", "network", "up"),
        ("network", "silent", "network", "up"),
        ("speaker-fails", True, "speaker-fails", False),
    )
    at_ms = 100
    while at_ms < duration_ms:
        if choice.random() < 0.25:
            action, value, calm, open_value = choice.choice(troubles)
            yield (at_ms, action) if value is None else (at_ms, action, value)
            at_ms += 800
            yield (at_ms, calm) if open_value is None else (at_ms, calm, open_value)
        else:
            action, values = choice.choice(sounds)
            yield (at_ms, action, choice.choice(values)) if values else (at_ms, action)
            if action == "press":
                yield at_ms + 900, "press"
        at_ms += choice.randrange(10, 150) * 10


@pytest.mark.parametrize("seed", (2, 3, 4))
def test_whatever_happens_it_keeps_to_its_rules(tmp_path, seed):
    """`simulate` checks them on the whole trace: never both, light and record first, 200 ms of
    rest, no sound of a speaker that is off."""
    talk = [wake_and_command(), silence(1.5)] * 8
    duration_ms = 8 * (6500 + 1500)
    rows = sorted(anything(seed, duration_ms - 3000), key=lambda row: row[0])
    config = {"timers": True, "announcements": True}
    result = simulate(tmp_path, sound(*talk), rows, reply=answer(2.0), config=config)
    assert len(result.spoken) >= 4, "otherwise it says little"


def test_it_is_told_and_drawn(tmp_path):
    result = simulate(tmp_path, command(), reply=answer())
    (once,) = result.spoken
    assert spoken_text(once) == (
        f"loudspeaker on until {once.end_ms / 1000:.2f} s: reply, "
        "1.00 s of sound without its pauses (end)"
    )
    (row,) = result.as_json()["spoken"]
    assert row["what"] == "reply" and row["sound_ms"] == 1000
    plot.draw(result, tmp_path / "with.svg")
    silent = simulate(tmp_path, silence(1.0))
    plot.draw(silent, tmp_path / "without.svg")
    assert "loudspeaker" in (tmp_path / "with.svg").read_text()
    assert "loudspeaker" not in (tmp_path / "without.svg").read_text()


def test_a_real_receiver_answers_the_same(tmp_path):
    result = simulate(tmp_path, command(), reply=answer(), with_receiver=True)
    _, played = heard(result, tmp_path / "out.wav")
    assert np.array_equal(played, scaled(answer(), gain_q15(60)))
    assert [once.reason for once in result.spoken] == ["end"]


def test_what_only_the_receiver_in_memory_can_do():
    for action, value in (("speak-stop", None), ("speak", "timer")):
        row = {"t_ms": 5, "action": action} | ({} if value is None else {"value": value})
        with pytest.raises(HostToolError) as caught:
            scenario.require_real_receiver(scenario.check([row]))
        assert action in caught.value.message
    rows = [{"t_ms": 5, "action": "chime", "value": "timer"}]
    scenario.require_real_receiver(scenario.check(rows))


def test_spoken_without_an_end():
    events = [{"t_ms": 100, "event": "speaker", "on": True}]
    (once,) = spoken(events, Played(), 900)
    assert (once.start_ms, once.end_ms, once.what, once.reason) == (100, 900, None, None)


def test_a_reply_is_any_audio_file_of_30_s_at_most(tmp_path):
    from host_tools.audio import files

    files.write(tmp_path / "a.wav", answer())
    assert np.array_equal(read_reply(tmp_path / "a.wav"), answer())
    files.write(tmp_path / "long.wav", silence(31.0))
    with pytest.raises(HostToolError) as caught:
        read_reply(tmp_path / "long.wav")
    assert "too long" in caught.value.message
