"""Who speaks, found by the firmware in spoken commands: beside talk, music and noise, in rooms.

These are a few cells of the table of docs/end-of-speech.md, which
`python -m tests.long.end_of_speech_table` makes.
"""

import numpy as np
import pytest

from tests.fakes.end_of_speech import find
from tests.fakes.simulated import simulate
from tests.generators.spoken_commands import RATE_HZ, record, say

COMMANDS = (
    ("turn on the light in the kitchen please", "en-gb-x-rp", 0.1),
    ("what is the weather in Hamburg tomorrow", "en-us+f3", 0.9),
    ("stop", "en-us", 0.3),
    ("set a timer for ten minutes", "en-us+m7", 0.0),
)
NOTHING = np.zeros(0)


def assert_whole_and_in_time(found, cells):
    for result, cell in zip(found, cells, strict=True):
        assert result.began_s is not None and result.cut_s == 0, (cell, result.began_s)
        assert result.ended_s is not None, cell
        assert 0.5 <= result.late_s <= 1.5, (cell, result.late_s)


@pytest.mark.parametrize("has_echo", [False, True])
def test_a_command_is_whole_and_ends_in_time(run_micropython, has_echo):
    cells = [(None, 0)] + [("noise", level) for level in (-5, -20)]
    cells += [("talk", -15), ("talk", -20), ("talk", -30), ("music", -15), ("music", -25)]
    cells += [("tone", -6), ("beeps", -15)]
    chosen = [
        (*cell, *COMMANDS[(index + k) % 4]) for index, cell in enumerate(cells) for k in (0, 1)
    ]
    recordings = [
        record(say(words, voice), voice, gap_s, kind, level, has_echo, seed)
        for seed, (kind, level, words, voice, gap_s) in enumerate(chosen)
    ]
    assert_whole_and_in_time(find(run_micropython, recordings), chosen)


def test_a_first_word_right_after_the_wake_word_is_whole(run_micropython):
    """What was said before the detection is gone: the promise wants it so.  From there on all."""
    voices = ("en-us", "en-us+f3", "en-gb-x-rp", "en-us+m7", "en-gb-scotland", "en-us+f5")
    words = ("stop", "yes", "turn on the light in the kitchen please")
    cells = [(v, w, 0) for v in voices for w in words] + [(v, "stop", 0.15) for v in voices]
    recordings = [record(say(w, v), v, gap_s) for v, w, gap_s in cells]
    for found, cell in zip(find(run_micropython, recordings), cells, strict=True):
        assert found.began_s is not None and found.cut_s == 0, (cell, found.began_s)


@pytest.mark.parametrize("level_db", [None, -15])
def test_a_pause_and_a_quiet_last_word_do_not_cut_it(run_micropython, level_db):
    recordings, cells = [], []
    for voice in ("en-us", "en-us+f3", "en-gb-x-rp"):
        for quieter_db in (0, -6):
            begin, end = say("remind me to buy milk", voice), say("tomorrow", voice)
            pause = np.zeros(int(0.7 * RATE_HZ))
            said = np.concatenate([begin, pause, end * 10 ** (quieter_db / 20)])
            kind = None if level_db is None else "talk"
            recordings.append(record(said, voice, 0.3, kind, level_db or 0, seed=len(cells)))
            cells.append((voice, quieter_db))
    for found, cell in zip(find(run_micropython, recordings), cells, strict=True):
        assert found.ended_s is not None and found.late_s >= 0, (cell, found.ended_s)


@pytest.mark.parametrize("voice, gap_s, kind", [("en-gb-x-rp", 0.0, None), ("de", 0.1, "talk")])
def test_the_whole_device_sends_the_first_word(tmp_path, voice, gap_s, kind):
    said = record(say("stop", voice), voice, gap_s, kind, -15)
    (stream,) = simulate(tmp_path, said.samples).streams.all
    assert stream.samples_from is not None and stream.reason == "end-of-speech"
    assert stream.samples_from <= max(stream.wake_ms * 16, said.said_from_s * RATE_HZ)
    assert 0 <= stream.end_ms / 1000 - said.said_to_s <= 1.5


def test_where_nobody_speaks_nothing_begins(run_micropython):
    cells = [(None, 0), ("noise", -20), ("tone", -15), ("talk", -25), ("music", -25)]
    cells = [(*cell, has_echo) for cell in cells for has_echo in (False, True)]
    recordings = [
        record(NOTHING, "en-us", 0, kind, level, has_echo, seed)
        for seed, (kind, level, has_echo) in enumerate(cells)
    ]
    for found, cell in zip(find(run_micropython, recordings), cells, strict=True):
        assert found.began_s is None, (cell, found.began_s)
