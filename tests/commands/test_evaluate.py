"""`earnest evaluate` on small folders of synthesised speech."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from host_tools import cli, micropython
from host_tools.audio import files as audio
from host_tools.audio.speech import synthesise
from host_tools.evaluation.cache import Cache
from host_tools.evaluation.detections import ProbabilitySums
from host_tools.evaluation.grid import WINDOWS
from host_tools.models.catalog import find_model, known_models
from host_tools.models.reference import probabilities
from host_tools.places import earnest

QUIET = np.zeros(8000, np.int16)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """(positives, negatives): four times the word, two sentences, a bad file, a text."""
    root = tmp_path_factory.mktemp("evaluate")
    words, others = root / "words", root / "others" / "deeper"
    words.mkdir()
    others.mkdir(parents=True)
    for i, (voice, speed) in enumerate(
        (("en-us", 140), ("en-us+f3", 130), ("en-us+m2", 150), ("en-us", 100))
    ):
        # Without silence after the word: --pad-ms puts it there.
        word = synthesise("okay naboo", voice, speed)
        audio.write(words / f"{i}.wav", np.concatenate([QUIET, QUIET, word]))
    for i, text in enumerate(("The weather is nice today.", "Election, Lexus, okay Nobu.")):
        audio.write(others / f"{i}.wav", np.concatenate([QUIET, synthesise(text), QUIET]))
    (others / "readme.txt").write_text("not audio by its name, left alone")
    return words, root / "others"


def evaluate(capsys, folders, cache, *more: object) -> tuple[int, str, str]:
    """Run the command; (exit status, stdout, stderr)."""
    words, others = folders
    arguments = ["--positive", words, "--negative", others, "--cache", cache, "--workers", 1]
    status = cli.run(["evaluate", *map(str, [*arguments, *more])])
    said = capsys.readouterr()
    return status, said.out, said.err


def test_numbers_are_those_of_the_reference(folders, tmp_path, capsys):
    status, out, _ = evaluate(capsys, folders, tmp_path / "c", "--json", "--workers", 2)
    assert status == 0
    report = json.loads(out)
    model = find_model("okay_nabu")
    tflite = known_models()["okay_nabu"].read_bytes()
    missed, accepted, seconds = 0, 0, 0.0
    for path in sorted(folders[0].glob("*.wav")):
        padded = np.concatenate([audio.read(path), QUIET])
        sums = ProbabilitySums(probabilities(tflite, padded), model.window)
        missed += not sums.detections(model.cutoff, model.stride)
    for path in sorted(folders[1].rglob("*.wav")):
        pcm = audio.read(path)
        sums = ProbabilitySums(probabilities(tflite, pcm), model.window)
        accepted += len(sums.detections(model.cutoff, model.stride))
        seconds += len(pcm) / 16000
    own = report["own"]
    assert own["sliding_window_size"] == model.window
    assert (own["cutoff"], own["missed"], own["false_accepts"]) == (model.cutoff, missed, accepted)
    assert report["negative_hours"] == pytest.approx(seconds / 3600)
    assert own["false_accepts_per_hour"] == pytest.approx(accepted / seconds * 3600)
    assert own["false_reject_rate"] == missed / 4 and report["positives"] == 4
    low, high = own["false_accepts_per_hour_95"]
    assert low <= own["false_accepts_per_hour"] < high
    assert {row["sliding_window_size"] for row in report["table"]} == set(WINDOWS)
    assert own in report["table"] and report["det"]
    assert missed < 4, "some of the words must wake"


def test_silence_after_the_word_counts(folders, tmp_path, capsys):
    missed = []
    for pad_ms in (0, 500):
        _, out, _ = evaluate(capsys, folders, tmp_path / "c", "--json", "--pad-ms", pad_ms)
        missed.append(json.loads(out)["own"]["missed"])
    assert missed[0] > missed[1], missed


def test_a_second_run_measures_only_what_is_damaged_or_new(folders, tmp_path, capsys):
    cache = tmp_path / "kept"
    _, first, _ = evaluate(capsys, folders, cache, "--json")
    whole = cache.read_bytes()
    cache.write_bytes(whole[:-40])  # as if interrupted while it wrote the last line
    _, second, said = evaluate(capsys, folders, cache, "--json")
    assert second == first
    assert "damaged lines, measured again: 1" in said
    assert cache.read_bytes().startswith(whole[:-40] + b"\n")
    assert len(cache.read_bytes().splitlines()) == 7  # 5 whole, 1 damaged, 1 measured again
    before = cache.read_bytes()
    _, third, _ = evaluate(capsys, folders, cache, "--json", "--target-fa-per-hour", 9)
    assert cache.read_bytes() == before and json.loads(third)["det"]


def test_ctrl_c_keeps_what_was_measured(tmp_path):
    folder, cache = tmp_path / "long", tmp_path / "kept"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(8):
        noise = rng.standard_normal(16000 * 20) * 300
        audio.write(folder / f"{i}.wav", noise)
    arguments = ["evaluate", "--negative", folder, "--cache", cache, "--workers", "1"]
    command = [sys.executable, "-m", "host_tools", *map(str, arguments)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, cwd=micropython.ROOT, start_new_session=True
    )
    for _ in range(1500):
        if cache.exists() and cache.read_bytes().count(b"\n") >= 2:
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers as well
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130, said
    assert b"Traceback" not in said, said.decode()
    kept = cache.read_bytes().count(b"\n")
    assert 2 <= kept < 8
    assert subprocess.run(command, capture_output=True, cwd=micropython.ROOT).returncode == 0
    assert cache.read_bytes().count(b"\n") == 8


def test_bad_files_are_named_and_the_others_count(folders, tmp_path, capsys):
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "text.wav").write_text("no audio")
    (bad / "empty.flac").write_bytes(b"")
    cache = tmp_path / "c"
    status, out, said = evaluate(capsys, folders, cache, "--negative", bad, "--json")
    assert status == 2
    assert json.loads(out)["positives"] == 4
    names = {item["audio"].rsplit("/", 1)[1] for item in json.loads(out)["skipped"]}
    assert names == {"text.wav", "empty.flac"}
    assert "text.wav" in said and "empty.flac" in said


def test_a_cluster_gives_the_same_numbers(native_emitter, folders, tmp_path, capsys):
    distributed = pytest.importorskip("distributed")
    _, alone, _ = evaluate(capsys, folders, tmp_path / "alone", "--json")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=3, processes=False, protocol="tcp",
        host="127.0.0.1", dashboard_address=None,
    ) as cluster:  # fmt: skip
        address = cluster.scheduler_address
        status, spread, _ = evaluate(
            capsys, folders, tmp_path / "dask", "--json", "--dask", address
        )
    assert status == 0 and spread == alone


def test_table_and_plot(folders, tmp_path, capsys):
    drawn = tmp_path / "curve.png"
    status, out, _ = evaluate(capsys, folders, tmp_path / "c", "--plot", drawn)
    assert status == 0
    for part in (
        "4 positives (500 ms of silence", "0.85", "own: window 5, cutoff 0.85; FRR",
        "cannot show 0.5 FA/h",
    ):  # fmt: skip
        assert part in out, out
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_the_recommendation_comes_with_its_command(folders, tmp_path, capsys):
    """Talk without the near misses: silence is all that is left."""
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    audio.write(quiet / "a.wav", np.zeros(16000 * 4, np.int16))
    status, out, _ = evaluate(capsys, (folders[0], quiet), tmp_path / "c")
    assert status == 0
    lines = out.splitlines()
    (line,) = [line for line in lines if line.startswith("apply: ")]
    assert line.startswith(f"apply: {earnest()} install --model okay_nabu --cutoff 0.")
    assert any(line.startswith("recommended: ") for line in lines)


def test_words_that_trigger_each_other(folders, tmp_path, capsys):
    """The recordings of okay_nabu go by alexa's name, so they wake the wrong model."""
    arguments = ["--cache", tmp_path / "c", "--workers", 1]
    for name in ("okay_nabu", "alexa"):
        arguments += ["--cross", f"{name}={folders[0]}"]
    assert cli.run(["evaluate", *map(str, arguments), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["cross"]
    woken = {(c["word"], c["model"]): (c["woken"], c["recordings"]) for c in found}
    assert len(woken) == 4
    own = woken["okay_nabu", "okay_nabu"]
    assert own[0] > 0 and woken["alexa", "okay_nabu"] == own and own[1] == 4
    assert woken["okay_nabu", "alexa"] == (0, 4)
    assert cli.run(["evaluate", *map(str, arguments)]) == 0
    out = capsys.readouterr().out
    assert f"alexa wakes okay_nabu: {own[0]} of 4 recordings" in out
    assert "okay_nabu wakes alexa" not in out


def test_words_that_do_not_trigger_each_other(folders, tmp_path, capsys):
    cross = ["--cross", f"hey_jarvis={folders[1]}", "--cross", f"hey_mycroft={folders[1]}"]
    assert cli.run(["evaluate", "--cache", str(tmp_path / "c"), "--workers", "1", *cross]) == 0
    assert "no word wakes another's model in 2 recordings or more (95 %: at most 65.8%)" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "no audio given"),
        (["--positive", "/nowhere/at/all"], "no such folder"),
        (["--positive", "firmware"], "no audio in it"),
        (["--positive", "firmware", "--model", "no_model"], "there is no model"),
        (["--positive", "firmware", "--plot", "curve.xyz"], "curve.xyz"),
        (["--positive", "tests", "--plot", "det.png"], "needs positives and negatives"),
        (["--cross", "alexa=tests"], "two words or more"),
        (["--cross", "alexa=tests", "--cross", "alexa=tests"], "two words or more"),
        (["--cross", "alexa", "--cross", "okay_nabu=tests"], "two words or more"),
        (["--cross", "no_model=tests", "--cross", "alexa=tests"], "there is no model"),
        (["--cross", "alexa=tests", "--positive", "tests"], "--cross does not go with"),
    ],
)
def test_bad_input_is_refused(arguments, message, capsys):
    assert cli.run(["evaluate", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_no_scheduler_is_an_error(folders, tmp_path, capsys, monkeypatch):
    distributed = pytest.importorskip("distributed")
    client = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, timeout: client(address, timeout=1))
    status, _, said = evaluate(capsys, folders, tmp_path / "c", "--dask", "tcp://127.0.0.1:9")
    assert status == 2 and "no Dask scheduler answers" in said


def test_the_cache_survives_any_damage(tmp_path):
    path = tmp_path / "kept"
    with Cache(path) as cache:
        for i in range(5):
            cache.add(f"key {i}", i / 2, bytes([i]) * 1000)
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    for _ in range(200):
        damaged = bytearray(whole[: rng.integers(0, len(whole) + 1)])
        if damaged:
            damaged[rng.integers(0, len(damaged))] = rng.integers(0, 256)
        path.write_bytes(damaged)
        with Cache(path) as cache:
            for i in range(5):
                if f"key {i}" in cache:
                    assert len(cache[f"key {i}"]) == 2
            cache.add("after", 1.0, b"\1\2\3")
        with Cache(path) as cache:
            assert cache["after"] == (1.0, b"\1\2\3")
