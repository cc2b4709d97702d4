"""What `earnest train` refuses: two lines, status 2, and nothing left behind; what it asks."""

import shutil
from collections import namedtuple
from importlib import util

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is missing: make setup-train")

from click.testing import CliRunner

from host_tools import cli
from host_tools.audio import files as audio
from host_tools.audio import speech
from host_tools.commands import train as train_command
from host_tools.commands import train_questions
from host_tools.errors import HostToolError
from host_tools.evaluation.folders import audio_files
from host_tools.receiver import player
from host_tools.training import people, registry
from host_tools.training import plan as plans
from host_tools.training import run as runs
from host_tools.training.household import Recording
from host_tools.training.plan import plan_for
from host_tools.training.request import DEFAULT_MINUTES, ESPEAK, Request
from host_tools.training.selection import Setting
from host_tools.training.stages import Stages
from host_tools.training.whole_progress import WholeProgress


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """`refused(*arguments)`: the two lines of a refusal, after which nothing is there."""
    monkeypatch.setattr(train_command, "WORDS", tmp_path / "words")
    monkeypatch.setattr("host_tools.training.speech.VOICES", tmp_path / "voices")

    def run(*arguments):
        before = sorted(tmp_path.rglob("*"))
        given = [*arguments, "--cache", str(tmp_path / "cache"), "--yes"]
        assert cli.run(["train", *map(str, given)]) == 2
        told = capsys.readouterr().err.splitlines()
        error, hint = told[1:] if told[0] == "1 of 6: download" else told
        assert error.startswith("error: ") and hint.startswith("hint: ")
        assert sorted(tmp_path.rglob("*")) == before
        return error + "\n" + hint

    return run


def test_without_torch(refused, monkeypatch):
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "torch" else found(name))
    text = refused("hey computer")
    assert "torch is missing; it is part of earnest[train]" in text and "make setup-train" in text
    # A word that will be refused is refused before anybody downloads torch for it.
    assert "too short" in refused("hey")


def test_without_onnxruntime_robots_still_speak(refused, monkeypatch):
    found = util.find_spec
    monkeypatch.setattr(
        util, "find_spec", lambda name: None if name == "onnxruntime" else found(name)
    )
    assert "onnxruntime is missing" in refused("hey computer")
    train_command._require_packages(ESPEAK)


def test_bad_words(refused):
    short = refused("hi", "--voices", "espeak")
    assert "too short" in short and "--anyway" in short and "'hey computer'" in short
    assert "as in 'hey cat'" in refused("cat")
    usual = refused("thank you", "--voices", "espeak")
    assert "everyday speech" in usual and "it sounds like" in usual
    for text in ("", "héhé", "route 66"):
        assert refused(text)


def test_too_little_disk(refused, monkeypatch):
    usage = namedtuple("usage", "total used free")(10**12, 10**12, 10**8)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "too little space" in refused("hey computer", "--voices", "espeak")


def test_voices_that_are_not_the_pinned_ones(refused, monkeypatch):
    def fetch(*_, **__):
        raise HostToolError("kokoro-js 1.2.1 is not the file that is expected", "nothing was kept")

    monkeypatch.setattr(registry, "fetch", fetch)
    assert "not the file that is expected" in refused("hey computer")


def test_offline_without_voices(refused):
    assert "--offline" in refused("hey computer", "--offline")


def test_folders(refused, tmp_path):
    (tmp_path / "empty").mkdir()
    for option in ("--hear", "--negatives", "--music"):
        assert "no audio in it" in refused("hey computer", option, tmp_path / "empty")
        assert "no such folder" in refused("hey computer", option, tmp_path / "none")
    (tmp_path / "photo.jpg").touch()
    assert "other files in it" in refused("hey computer", "--out", tmp_path)
    text = refused("hey computer", "--false-wakes", "--data", tmp_path / "receiver")
    assert "no false wake was kept" in text


def test_fine_tuning_without_enough_recordings(refused, tmp_path):
    assert "--hear DIR" in refused("hey computer", "--fine-tune")
    tone = (8000 * np.sin(np.arange(8000))).astype(np.int16)
    for number in range(8):
        (tmp_path / "us").mkdir(exist_ok=True)
        audio.write(tmp_path / "us" / f"{number}.wav", np.pad(tone, 8000 + number))
    text = refused("hey computer", "--hear", tmp_path / "us", "--fine-tune")
    assert "needs 9 different recordings" in text and "leave --fine-tune out" in text


def test_ctrl_c_says_that_it_goes_on(monkeypatch, tmp_path, capsys):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "run", stop)
    given = ["--voices", "espeak", "--yes", "--cache", str(tmp_path), "--out", str(tmp_path / "o")]
    assert cli.run(["train", "hey computer", *given]) == 130
    assert "the same command goes on from here" in capsys.readouterr().err


def asked(monkeypatch, answers, is_heard=True):
    """Ask the three questions with these answers; what came out and was printed."""
    made, played = [], []

    def samples(request):
        made.append(request.say)
        return [sample]

    def play(wav):
        played.append(wav)
        if not is_heard:
            raise HostToolError("there is no program here that plays a WAV", "install one")

    monkeypatch.setattr(player, "play_wav", play)
    found = []

    @train_questions.click.command()
    def command():
        doubts = ["Words that sound most like it: hay commuter."]
        found.append(
            train_questions.ask_all(Request("hey computer"), samples, lambda r: doubts, "An hour.")
        )

    with CliRunner(mix_stderr=False).isolated_filesystem():
        from pathlib import Path

        sample = Path("sample.wav")
        sample.write_bytes(b"RIFF")
        done = CliRunner(mix_stderr=False).invoke(
            command, input="".join(f"{a}\n" for a in answers)
        )
    return found, made, len(played), done


def test_three_questions_and_three_times_yes(monkeypatch):
    found, made, played, done = asked(monkeypatch, ["", "", ""])
    assert found == [Request("hey computer")] and made == [()] and played == 1
    assert "hay commuter" in done.stderr and "An hour." in done.stderr


def test_hear_again_and_spell_otherwise(monkeypatch):
    found, made, played, _ = asked(
        monkeypatch, ["a", "hay compuuter", "n", "hey pooter", "y", "y", "y"]
    )
    assert found == [Request("hey computer", say=("hey pooter",))]
    assert made == [(), ("hay compuuter",), ("hey pooter",)] and played == 4


@pytest.mark.parametrize("answers", [["y", "n"], ["y", "y", "n"]])
def test_a_no_stops_it(monkeypatch, answers):
    found, _, _, done = asked(monkeypatch, answers)
    assert found == [] and done.exit_code == 1


def test_without_a_player_the_files_are_named(monkeypatch):
    found, _, _, done = asked(monkeypatch, ["", "", ""], is_heard=False)
    assert found and "sample.wav" in done.stderr and "listen to the files yourself" in done.stderr


def test_the_plan_follows_the_minutes():
    whole = plan_for(Request("x", minutes=DEFAULT_MINUTES))
    total = sum(whole.seconds(1).values()) / 60
    assert 50 <= total <= 65, total  # core-minutes, as it was asked for
    assert sum(whole.seconds(4).values()) / 60 <= 25 and whole.disk_bytes < 2e9
    assert whole.memory_bytes < 2e9
    (cache,) = [each for each in train_command.command.params if each.name == "cache"]
    assert f"{whole.disk_bytes / 1e9:.1f} GB in an ordinary run" in cache.help, cache.help
    tuned = plan_for(Request("x", minutes=DEFAULT_MINUTES, fine_tune=True))
    assert plans.FINE_TUNING in tuned.seconds(1) and tuned.training == whole.training
    assert 0 < sum(tuned.seconds(1).values()) - 60 * total < 180
    half = plan_for(Request("x", minutes=DEFAULT_MINUTES // 2))
    assert half.speech.words == whole.speech.words // 2
    assert list(whole.seconds(1)) == [
        *(plans.DOWNLOAD, plans.SPEECH, plans.SCENES, plans.TRAINING, plans.HELD_OUT, plans.MODEL)
    ]


def test_the_bar_reaches_its_end_whatever_a_stage_opens():
    shown, announced = [], []
    progress = WholeProgress(
        {"a": 10.0, "b": 30.0},
        lambda text, done: shown.append(done),
        lambda *s: announced.append(s),
    )
    with progress.stage("a"):
        pass  # was finished before
    assert sum(shown) == 10
    with progress.stage("b", (1, 2)) as opened:
        with opened(5) as report:
            report("half of the first", 2.5)
            assert sum(shown) == 15
            report("twice too much", 10)
        with opened(4) as report:
            report("", 4)
    assert sum(shown) == 40 and announced == [(1, 2, "a"), (2, 2, "b")]
    assert all(done >= 0 for done in shown)


def test_recordings_of_people_are_measured(tmp_path):
    from host_tools.models.catalog import find_model, known_models

    for name, text in (("a", "okay naboo"), ("b", "good morning")):
        audio.write(tmp_path / f"{name}.wav", speech.pad(speech.synthesise(text)))
    model = find_model("okay_nabu")
    tflite = known_models()["okay_nabu"].read_bytes()
    setting = Setting(model.cutoff, model.window)

    def recordings() -> list[Recording]:
        return [Recording(path) for path in audio_files((tmp_path,))]

    side = people.missed_by(recordings(), tflite, setting)
    assert (side.missed.count, side.missed.total) == (1, 2)
    assert people.line(side, None).startswith("Measured on real people: 50.0 %")
    (tmp_path / "c.wav").write_bytes(b"RIFF")
    with pytest.raises(HostToolError, match="^[^:]*c.wav: [^:]*$"):
        people.missed_by(recordings(), tflite, setting)


def test_long_recordings_are_cut_into_pieces():
    found = list(people.pieces([np.zeros(16000 * 13, np.int16), np.zeros(100, np.int16)]))
    assert [len(piece) for piece in found] == [96000, 96000, 16000]


@pytest.mark.parametrize("error", [HostToolError, RuntimeError, KeyboardInterrupt])
def test_what_is_made_of_own_recordings_goes_when_the_run_ends(tmp_path, monkeypatch, error):
    audio.write(tmp_path / "evening.wav", np.zeros(32000, np.int16))
    where = runs.Where(tmp_path / "out", tmp_path / "cache", tmp_path / "voices")
    request = Request("hey computer", negatives=(tmp_path / "evening.wav",))
    seen = []

    def scenes(clips, plan, seed, stages: Stages, opened, workers, negatives, music):
        seen.append((stages.root, [len(sound) for sound in negatives]))
        (stages.root / "scenes").mkdir(parents=True)
        raise error("what ended it")

    monkeypatch.setattr(registry, "fetch", lambda *_, **__: None)
    monkeypatch.setattr(runs.speech, "make", lambda *_, **__: tmp_path)
    monkeypatch.setattr(runs.scenes, "make", scenes)
    plan = plan_for(request)
    progress = WholeProgress(plan.seconds(1), lambda *_: None, lambda *_: None)
    with pytest.raises(error):
        runs.run(request, None, plan, where, None, progress)
    assert seen == [(tmp_path / "cache" / "private", [32000])]
    is_stopped = error is KeyboardInterrupt  # the same command goes on
    assert (tmp_path / "cache" / "private").exists() == is_stopped


def test_a_run_leaves_another_ones_private_folder(tmp_path, monkeypatch):
    where = runs.Where(tmp_path / "out", tmp_path / "cache", tmp_path / "voices")
    audio.write(tmp_path / "evening.wav", np.zeros(32000, np.int16))
    own = Request("hey computer", negatives=(tmp_path / "evening.wav",))
    seen = []

    def stages(request, *_):
        if request.negatives:
            (where.cache / "private").mkdir()
            for other, words in ((Request("hey radio"), "refused"), (own, "another `earnest")):
                with pytest.raises(HostToolError, match=words):
                    run(other)
                seen.append((where.cache / "private").exists())
        raise HostToolError("refused")

    def run(request):
        plan = plan_for(request)
        progress = WholeProgress(plan.seconds(1), lambda *_: None, lambda *_: None)
        runs.run(request, None, plan, where, None, progress)

    monkeypatch.setattr(runs, "_stages", stages)
    with pytest.raises(HostToolError, match="refused"):
        run(own)
    assert seen == [True, True] and not (where.cache / "private").exists()
    (where.cache / "private").mkdir()  # of a run that was killed
    with pytest.raises(HostToolError, match="refused"):
        run(Request("hey radio"))
    assert not (where.cache / "private").exists()


def test_a_file_that_came_while_it_trained_stays(tmp_path, monkeypatch):
    where = runs.Where(tmp_path / "out", tmp_path / "cache", tmp_path / "voices")
    request = Request("hey computer")

    def finish(*_):
        where.out.mkdir()
        (where.out / "notes.txt").write_text("an hour's work")

    monkeypatch.setattr(runs, "_stages", lambda *_: None)
    monkeypatch.setattr(runs.outcome, "finish", finish)
    plan = plan_for(request)
    progress = WholeProgress(plan.seconds(1), lambda *_: None, lambda *_: None)
    with pytest.raises(HostToolError, match=r"other files in it \(notes.txt\)"):
        runs.run(request, None, plan, where, None, progress)
    assert (where.out / "notes.txt").exists()
