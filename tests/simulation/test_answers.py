"""`simulate --answers`: what it needs; the demo's test runs a whole conversation."""

import pytest

from host_tools import cli
from host_tools.commands import simulate as command
from host_tools.simulation.speaker import Played, spoken


@pytest.mark.parametrize("options", [["--answers"], ["--answers", "--receiver", "--reply", "x"]])
def test_it_needs_a_real_receiver_and_takes_no_other_reply(tmp_path, capsys, options):
    wav = tmp_path / "a.wav"
    wav.write_bytes(b"")
    assert cli.run_command(command.command, [str(wav), *options]) == 2
    assert "--answers is a real receiver's" in capsys.readouterr().err


def on(t_ms, what):
    return [
        {"t_ms": t_ms, "event": "audit", "kind": "speak-start", "what": what},
        {"t_ms": t_ms, "event": "speaker", "on": True},
        {"t_ms": t_ms + 500, "event": "speaker", "on": False},
        {"t_ms": t_ms + 500, "event": "audit", "kind": "speak-end", "reason": "end"},
    ]


def test_replies_get_their_words_in_order_and_timers_none():
    events = [*on(1000, "reply"), *on(2000, "timer"), *on(3000, "reply"), *on(4000, "reply")]
    found = spoken(events, Played(), 5000, ["It is noon.", "It is one o'clock."])
    assert [once.words for once in found] == ["It is noon.", None, "It is one o'clock.", None]
