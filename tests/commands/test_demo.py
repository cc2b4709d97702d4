"""The demo: it hears and sends what it should, and says so when it does not."""

import wave

import pytest
from rich.console import Console

from host_tools import cli
from host_tools.audio import speech
from host_tools.commands import demo
from host_tools.simulation import trace
from tests.fakes.simulated import silence, simulate, sound, wake_and_command


def test_the_demo_hears_what_is_said(tmp_path, capsys):
    assert cli.run_command(demo.command, ["--folder", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count(f"said   {demo.WAKE_WORDS}") == 2
    assert out.count("HEARD  okay_nabu") == 1 and out.count("received the same") == 1
    assert out.count("SAYS   It is ") == 1
    assert out.lower().count("receiver: understood “what time is it") == 1
    assert "answered what it was asked, aloud and whole, with its microphone off" in out
    assert "heard every wake word except those said while muted, and nothing else" in out
    assert "sent nothing before a wake word, after the end of speech, or while muted" in out
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "demo-answer.wav",
        "demo-scenario.json",
        "demo.jsonl",
        "demo.png",
        "demo.wav",
    ]
    assert (tmp_path / "demo.png").stat().st_size < 250_000
    (run,) = trace.read(tmp_path / "demo.jsonl")
    assert len(run.of("detection")) == 1 and len(run.of("end")) == 1
    assert {event["state"] for event in run.of("light")} >= {
        "IDLE",
        "STREAMING",
        "MUTED",
        "SPEAKING",
    }
    with wave.open(str(tmp_path / "demo-answer.wav")) as file:
        assert any(file.readframes(file.getnframes()))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """The wake word from 0.8 s on, a command, an answer, a press; all as it should be."""
    folder = tmp_path_factory.mktemp("one_command")
    reply = speech.synthesise("It is ten past nine.")
    result = simulate(
        folder, sound(wake_and_command(), silence(4)), [(9000, "press")], reply=reply
    )
    result.answers = ["It is ten past nine."]
    return result


SAID = [(0.8, 2.0, demo.WAKE_WORDS)]


@pytest.mark.parametrize(
    "said",
    [
        [],
        [(0.8, 2.0, "good evening")],
        [*SAID, (4.8, 5.5, demo.WAKE_WORDS)],
        [(4.0, 5.0, demo.WAKE_WORDS)],
    ],
)
def test_the_demo_does_not_claim_what_it_did_not_hear(result, capsys, said):
    out = Console(width=200)
    assert demo.print_promise(out, SAID, result)
    assert "FAILED" not in capsys.readouterr().out
    assert not demo.print_promise(out, said, result)
    assert "FAILED: what was heard is not what was said" in capsys.readouterr().out


def test_a_demo_that_failed_has_exit_status_1(monkeypatch, tmp_path, result, capsys):
    monkeypatch.setattr(demo, "simulate", lambda *_, **__: result)
    monkeypatch.setattr("host_tools.simulation.plot.draw", lambda *_: None)
    assert cli.run_command(demo.command, ["--folder", str(tmp_path)]) == 1
    assert "what was heard is not what was said" in capsys.readouterr().out


def begins_early(patch, stream, _):
    patch.setattr(stream, "samples_from", stream.wake_ms * 16 - 160)


def ends_late(patch, stream, _):
    patch.setattr(stream, "samples_to", stream.samples_to + 160 * 200)


def was_muted(patch, _, press):
    patch.setitem(press, "t_ms", 3000)


def arrived_otherwise(patch, stream, _):
    patch.setitem(stream.received, "sha256", "0" * 64)


@pytest.mark.parametrize("spoil", [begins_early, ends_late, was_muted, arrived_otherwise])
def test_the_demo_does_not_claim_what_it_did_not_keep(monkeypatch, result, spoil):
    assert demo.sent_as_promised(result)
    spoil(monkeypatch, result.streams.all[0], result.scenario[0])
    assert not demo.sent_as_promised(result)


def not_whole(patch, result):
    patch.setattr(result, "events", [e for e in result.events if e.get("kind") != "speak-end"])


def other_words(patch, result):
    patch.setattr(result, "answers", ["Sorry, I did not understand that."])


def never_said(patch, result):
    patch.setattr(result, "events", [e for e in result.events if e["event"] != "speaker"])


def heard_itself(patch, result):
    patch.setattr(result, "events", [e for e in result.events if e["event"] != "mic"])


@pytest.mark.parametrize("spoil", [not_whole, other_words, never_said, heard_itself])
def test_the_demo_does_not_claim_what_it_did_not_answer(monkeypatch, result, spoil):
    assert demo.answered_as_asked(result)
    spoil(monkeypatch, result)
    assert not demo.answered_as_asked(result)
