"""The demo: it hears and sends what it should, and says so when it does not."""

import pytest

from host_tools import cli
from host_tools.commands import demo
from host_tools.simulation import trace
from tests.fakes.simulated import simulate, wake_and_command


def test_the_demo_hears_what_is_said(tmp_path, capsys):
    assert cli.run_command(demo.command, ["--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count(f"said   {demo.WAKE_WORDS}") == 3
    assert out.count("HEARD  okay_nabu") == 2 and out.count("received the same") == 2
    assert "heard every wake word except those said while muted, and nothing else" in out
    assert "sent nothing before a wake word, after the end of speech, or while muted" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "demo-scenario.json",
        "demo.jsonl",
        "demo.png",
        "demo.wav",
    ]
    assert (tmp_path / "demo.png").stat().st_size < 250_000
    (run,) = trace.read(tmp_path / "demo.jsonl")
    assert len(run.of("detection")) == 2 and len(run.of("end")) == 1
    assert {event["state"] for event in run.of("light")} >= {"IDLE", "STREAMING", "MUTED"}


@pytest.mark.parametrize("words", ["good evening", "okay naboo"])
def test_the_demo_does_not_claim_what_it_did_not_hear(tmp_path, capsys, monkeypatch, words):
    monkeypatch.setattr(demo, "WAKE_WORDS", "good evening")
    monkeypatch.setattr(demo, "SCENE", [words])
    assert cli.run_command(demo.command, ["--folder", str(tmp_path)]) == 1
    assert "what was heard is not what was said" in capsys.readouterr().out


def result_of(tmp_path):
    """One command, sent and received as it should be."""
    return simulate(tmp_path, wake_and_command(), [(6000, "press")])


def test_the_demo_does_not_claim_what_it_did_not_keep(tmp_path):
    assert demo.sent_as_promised(result_of(tmp_path))
    before = result_of(tmp_path)
    before.streams.all[0].samples_from = before.streams.all[0].wake_ms * 16 - 160
    assert not demo.sent_as_promised(before)
    after = result_of(tmp_path)
    after.streams.all[0].samples_to += 160 * 200
    assert not demo.sent_as_promised(after)
    muted = result_of(tmp_path)
    muted.scenario[0]["t_ms"] = 3000
    assert not demo.sent_as_promised(muted)
    received = result_of(tmp_path)
    received.streams.all[0].received["sha256"] = "0" * 64
    assert not demo.sent_as_promised(received)
