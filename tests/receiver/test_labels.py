"""What the owner says of a recording is sealed with it, goes with it, and serves its owner."""

import json
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from host_tools import cli
from host_tools.audio import files as audio
from host_tools.commands import recordings as recordings_command
from host_tools.errors import HostToolError
from host_tools.receiver import history as histories
from host_tools.receiver.false_wakes import iter_false_wakes
from host_tools.receiver.history import HISTORY_FILE, History
from host_tools.receiver.labels import (
    GIVE,
    MAX_TRANSCRIPT_CHARACTERS,
    NONE,
    NOT_SAID,
    RIGHT,
    SKIP,
    WRONG,
    Labels,
    labels_from_json,
)
from host_tools.receiver.owner_only_database import connect
from host_tools.receiver.receiver_log import FOLDER, LOG_NAME
from host_tools.receiver.recordings import Recordings
from host_tools.service import backup, restore
from tests.fakes.receivers import SPEECH

KITCHEN = "a1" * 8


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def recordings(data):
    made = Recordings(data)
    yield made
    made.close()


def keep(recordings, audio=SPEECH[:6400], wake_word="okay_nabu", share=False):
    facts = {"device": KITCHEN, "share_for_training": share, "preroll_ms": 0}
    return recordings.add(audio, wake_word=wake_word, **facts)


def everything(data):
    return b"\n".join(path.read_bytes() for path in data.rglob("*") if path.is_file())


def records(data):
    lines = (data / FOLDER / LOG_NAME).read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_labels_are_sealed_and_go_with_their_recording(data, recordings):
    first, second = keep(recordings), keep(recordings)
    recordings.labels.set_wake_word(first, WRONG, source="page")
    recordings.labels.set_wake_word(second, RIGHT)
    recordings.labels.correct_transcript(first, "okay Nobu, said the neighbour", source="page")
    assert recordings.labels.of(first.id) == Labels(WRONG)
    assert recordings.labels.all() == {first.id: Labels(WRONG), second.id: Labels(RIGHT)}
    assert recordings.transcript(first.id) == "okay Nobu, said the neighbour"
    assert b"Nobu" not in everything(data) and b'"wrong"' not in everything(data)
    sealed = recordings.history.labels_of(first.id)
    recordings.delete([first])
    assert recordings.labels.all() == {second.id: Labels(RIGHT)}
    assert recordings.labels.of(first.id) == NONE
    with closing(sqlite3.connect(data / HISTORY_FILE)) as database:
        sql = "SELECT labels, transcript FROM streams WHERE recording IS NULL"
        assert database.execute(sql).fetchall() == [(None, None)]
    recordings.close()
    assert sealed not in (data / HISTORY_FILE).read_bytes()
    changes = [(r["source"], r["recording"]) for r in records(data) if r["kind"] == "label"]
    assert changes == [("page", first.id), ("command", second.id), ("page", first.id)]


def test_labels_of_another_recording_or_damaged_ones_are_none(recordings):
    first, second = keep(recordings), keep(recordings)
    for each in (first, second):
        recordings.labels.set_wake_word(each, NOT_SAID)
    recordings.history.keep_labels(second.id, recordings.history.labels_of(first.id))
    assert recordings.labels.all() == {first.id: Labels(NOT_SAID)}
    recordings.delete([first])
    with pytest.raises(HostToolError, match="not there any more"):
        recordings.labels.set_wake_word(first, RIGHT)
    assert recordings.history.count() == 2


@pytest.mark.parametrize(
    "changes",
    [{"version": 2}, {"wake_word": "maybe"}, {"donation": "sell"}, {"is_heard": 1}, {"more": 1}],
)
def test_unsound_labels_are_none(changes):
    sound = Labels(WRONG, True, GIVE, "2026-11-29")
    assert labels_from_json(sound.to_json()) == sound
    fields = json.loads(sound.to_json()) | changes
    assert labels_from_json(json.dumps(fields).encode()) is None
    assert labels_from_json(b"[]") is None and labels_from_json(b"{") is None


def test_what_nobody_heard_cannot_be_given(recordings):
    kept = keep(recordings, share=True)
    with pytest.raises(HostToolError, match="hear it first"):
        recordings.labels.decide(kept, GIVE, source="page")
    assert recordings.labels.of(kept.id) == NONE
    recordings.labels.decide(kept, SKIP, source="page")
    recordings.labels.note_heard(kept)
    recordings.labels.decide(kept, GIVE, source="page")
    assert recordings.labels.of(kept.id) == Labels(None, True, GIVE)


def test_what_the_owner_wrote_or_removed_stays_when_a_machine_is_late(recordings):
    first, second, third = (keep(recordings) for _ in range(3))
    recordings.settle_history({})
    for each in (first, second, third):
        recordings.keep_transcript(each.id, "what thyme is it")
    recordings.labels.correct_transcript(first, "what time is it")
    recordings.labels.correct_transcript(second, "")
    for each in (first, second, third):
        recordings.keep_transcript(each.id, "late words")
    found = [recordings.transcript(each.id) for each in (first, second, third)]
    assert found == ["what time is it", None, "late words"]
    for words in ("x" * (MAX_TRANSCRIPT_CHARACTERS + 1), "a\x1b[2J"):
        with pytest.raises(HostToolError, match="too long, or"):
            recordings.labels.correct_transcript(first, words)


def test_a_history_of_the_second_version_gets_labels(data):
    data.mkdir()
    tables = [t.replace(", labels BLOB", "") for t in histories._TABLES[:-1]]
    connect(data / HISTORY_FILE, tables, 2).close()
    with closing(Recordings(data)) as made:
        kept = keep(made)
        made.labels.set_wake_word(kept, WRONG)
        assert made.labels.all() == {kept.id: Labels(WRONG)}
    with closing(sqlite3.connect(data / HISTORY_FILE)) as database:
        sql = "EXPLAIN QUERY PLAN SELECT recording FROM streams WHERE labels IS NOT NULL"
        assert "by_label" in str(database.execute(sql).fetchall())


def test_a_full_disk_says_so_and_changes_nothing(recordings, monkeypatch):
    kept = keep(recordings)
    recordings.labels.set_wake_word(kept, WRONG)
    recordings.labels.correct_transcript(kept, "short")
    recordings.history._opened.execute("PRAGMA max_page_count = 1")  # no more than it has
    with pytest.raises(HostToolError, match="the history failed.*full"):
        recordings.labels.correct_transcript(kept, "\U0001f600" * MAX_TRANSCRIPT_CHARACTERS)
    assert recordings.labels.of(kept.id) == Labels(WRONG)
    assert recordings.transcript(kept.id) == "short"

    def fail(kind, **fields):
        raise HostToolError("cannot write")

    monkeypatch.setattr(recordings.log, "add", fail)
    with pytest.raises(HostToolError, match="cannot write"):  # what cannot be recorded
        recordings.labels.set_wake_word(kept, RIGHT)
    assert recordings.labels.of(kept.id) == Labels(WRONG)


def test_a_kill_leaves_the_old_labels_or_the_new_ones(data, recordings):
    kept = keep(recordings)
    recordings.labels.set_wake_word(kept, WRONG)
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from host_tools.receiver import history\n"
        "from host_tools.receiver.recordings import Recordings\n"
        "made = Recordings(Path(sys.argv[1]))\n"
        "kept = made.find(sys.argv[2])\n"
        "made.labels.of(kept.id)\n"
        "calls = [0]\n"
        "def killer(statement):\n"
        "    calls[0] += statement.startswith(('UPDATE', 'COMMIT'))\n"
        "    if calls[0] == int(sys.argv[3]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "made.history._opened.set_trace_callback(killer)\n"
        "made.labels.set_wake_word(kept, 'right')\n"
    )
    for at, expected in ((1, WRONG), (2, WRONG), (3, RIGHT)):
        done = subprocess.run([sys.executable, "-c", script, str(data), kept.id, str(at)])
        assert done.returncode == (0 if expected == RIGHT else -signal.SIGKILL)
        assert recordings.labels.of(kept.id) == Labels(expected)


def test_a_back_up_with_recordings_has_the_labels_and_one_without_has_none(data, tmp_path):
    (data / "authority").mkdir(parents=True)
    with closing(Recordings(data)) as made:
        kept = keep(made)
        made.labels.set_wake_word(kept, WRONG)
    for name, has_recordings in (("with", True), ("without", False)):
        backup.back_up(data, tmp_path / f"{name}.tar", has_recordings=has_recordings)
        restore.restore(tmp_path / f"{name}.tar", tmp_path / name)
        with closing(Recordings(tmp_path / name)) as found:
            assert found.labels.all() == ({kept.id: Labels(WRONG)} if has_recordings else {})


# The owner's use of them.


def call(data, *words):
    return CliRunner(mix_stderr=False).invoke(
        recordings_command.command, [*words, "--data", str(data)]
    )


def test_false_wakes_are_labelled_listed_and_given_out_in_memory(data, recordings):
    made = [
        keep(recordings, SPEECH[: 3200 * n], word)
        for n, word in ((1, "okay_nabu"), (2, "okay_nabu"), (3, "alexa"), (4, None), (5, "alexa"))
    ]
    for each, label in zip(made, ("wrong", "right", "not-said", "wrong", "wrong"), strict=True):
        assert call(data, "label", each.id[:8], label).exit_code == 0
    assert call(data, "label", made[4].id, "none").exit_code == 0
    assert call(data, "label", made[4].id, "perhaps").exit_code == 2
    shown = call(data, "list", "--false-wakes", "--json")
    expected = {made[0].id, made[2].id, made[3].id}
    assert {json.loads(line)["id"] for line in shown.stdout.splitlines()} == expected
    before = sorted(data.iterdir())
    found = dict(iter_false_wakes(data))
    assert set(found) == expected
    assert found[made[2].id].dtype == np.int16 and found[made[2].id].tobytes() == SPEECH[:9600]
    assert [id for id, _ in iter_false_wakes(data, "alexa")] == [made[2].id]
    looks = [r["recording"] for r in records(data) if r.get("what") == "measure"]
    assert len(looks) == 4 and looks[3] == made[2].id
    assert before == sorted(data.iterdir())
    recordings.delete([made[0]])
    assert made[0].id not in dict(iter_false_wakes(data))
    assert list(iter_false_wakes(data / "nowhere")) == []
    assert "no false wakes" in call(data / "nowhere", "list", "--false-wakes").stdout


def test_evaluate_counts_those_that_would_wake_again_and_keeps_nothing(
    data, recordings, tmp_path, capsys
):
    from host_tools.audio.speech import synthesise

    quiet = np.zeros(8000, np.int16)
    word = np.concatenate([quiet, quiet, synthesise("okay naboo", "en-us", 140), quiet])
    talk = np.concatenate([quiet, synthesise("The weather is nice today."), quiet])
    arguments = ["evaluate", "--false-wakes", "--data", str(data), "--workers", "1"]
    arguments += ["--cache", str(tmp_path / "cache")]
    assert cli.run(arguments) == 2
    assert "no recording that is labelled as a false wake of okay_nabu" in capsys.readouterr().err
    for samples, model in ((word, "okay_nabu"), (talk, "okay_nabu"), (talk, "alexa")):
        kept = keep(recordings, samples.tobytes(), model)
        recordings.labels.set_wake_word(kept, WRONG)
    assert cli.run(arguments) == 0
    seconds = (len(word) + len(talk)) / 16000
    want = f"kept false wakes: 2 ({seconds:.1f} s); at the model's own setting 1 of them"
    assert want in capsys.readouterr().out
    folder = tmp_path / "negatives"
    folder.mkdir()
    audio.write(folder / "talk.wav", talk)
    assert cli.run([*arguments, "--negative", str(folder), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["false_wakes"] == {
        "recordings": 2,
        "seconds": pytest.approx(seconds, abs=0.001),
        "own": 1,
        "recommended": None,
    }
    # An hour is counted on the folder alone, and only its result is kept.
    assert said["negative_hours"] == pytest.approx(len(talk) / 16000 / 3600)
    assert said["own"]["false_accepts"] == 0
    assert len((tmp_path / "cache").read_text().strip().splitlines()) == 1
    assert cli.run([*arguments, "--dask", "tcp://127.0.0.1:9"]) == 2
    assert "stay on this computer" in capsys.readouterr().err


def test_hearing_with_the_command_counts(data, recordings, monkeypatch):
    kept = keep(recordings)
    monkeypatch.setattr(recordings_command, "play_wav", lambda wav: None)
    assert call(data, "play", kept.id).exit_code == 0
    assert recordings.labels.of(kept.id) == replace(NONE, is_heard=True)


def test_the_history_itself_says_whether_a_recording_has_a_row(data):
    with closing(History(data / HISTORY_FILE)) as history:
        assert history.labels() == {} and history.labels_of("c" * 16) is None
        assert not history.keep_labels("c" * 16, b"sealed")
        assert history.labels() == {}
