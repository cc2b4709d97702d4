"""The demo: it hears each wake word, leaves its files, and says so when it does not."""

import pytest

from host_tools import cli, demo, trace


def test_the_demo_hears_what_is_said(tmp_path, capsys):
    assert cli.run_command(demo.command, ["--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("HEARD  okay_nabu") == out.count(f"said   {demo.WAKE_WORDS}") == 2
    assert "each wake word was heard, and nothing else" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "demo.jsonl",
        "demo.png",
        "demo.wav",
    ]
    (run,) = trace.read(tmp_path / "demo.jsonl")
    assert len(run.of("detection")) == 2 and len(run.of("end")) == 1


@pytest.mark.parametrize("words", ["good evening", "okay naboo"])
def test_the_demo_does_not_claim_what_it_did_not_hear(tmp_path, capsys, monkeypatch, words):
    monkeypatch.setattr(demo, "WAKE_WORDS", "good evening")
    monkeypatch.setattr(demo, "SENTENCES", [words])
    assert cli.run_command(demo.command, ["--folder", str(tmp_path)]) == 1
    assert "what was heard is not what was said" in capsys.readouterr().out
