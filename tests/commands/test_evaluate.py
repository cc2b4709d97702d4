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
from host_tools.evaluation.detections import CUTOFFS, ProbabilitySums
from host_tools.evaluation.measure import Measured
from host_tools.evaluation.report import Curve, Point, curve_of, manifest_value, recommend
from host_tools.models.catalog import find_model, known_models
from host_tools.models.reference import probabilities

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
    own = report["own_cutoff"]
    assert (own["cutoff"], own["missed"], own["false_accepts"]) == (model.cutoff, missed, accepted)
    assert report["negative_hours"] == pytest.approx(seconds / 3600)
    assert own["false_accepts_per_hour"] == pytest.approx(accepted / seconds * 3600)
    assert report["positives"] == 4 and len(report["curve"]) == len(CUTOFFS)
    assert missed < 4, "some of the words must wake"


def test_silence_after_the_word_counts(folders, tmp_path, capsys):
    missed = []
    for pad_ms in (0, 500):
        _, out, _ = evaluate(capsys, folders, tmp_path / "c", "--json", "--pad-ms", pad_ms)
        missed.append(json.loads(out)["own_cutoff"]["missed"])
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
    assert cache.read_bytes() == before and json.loads(third)["curve"]


def test_ctrl_c_keeps_what_was_measured(tmp_path):
    folder, cache = tmp_path / "long", tmp_path / "kept"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for i in range(8):
        noise = rng.standard_normal(16000 * 40) * 300
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
    for part in ("4 positives (500 ms of silence", "0.85", "the model's", "recommended"):
        assert part in out, out
    assert drawn.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "no audio given"),
        (["--positive", "/nowhere/at/all"], "no such folder"),
        (["--positive", "firmware"], "no audio in it"),
        (["--positive", "firmware", "--model", "no_model"], "there is no model"),
        (["--positive", "firmware", "--plot", "curve.xyz"], "curve.xyz"),
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


def test_every_cutoff_comes_back_from_its_manifest_value():
    assert [int(manifest_value(cutoff) * 255) for cutoff in range(256)] == list(range(256))
    assert manifest_value(216) == 0.85


def test_recommendation_takes_the_middle_of_the_best():
    points = [Point(c, 0 if c < 200 else 1, 0 if c >= 100 else 7) for c in CUTOFFS]
    curve = Curve(tuple(points), positives=10, hours=2.0)
    assert recommend(curve, 0.5).cutoff == 150
    assert recommend(Curve(tuple(points), 10, 0.0), 0.5) is None
    never = Curve(tuple(Point(c, 0, 9) for c in CUTOFFS), 10, 2.0)
    assert recommend(never, 0.5) is None


def test_several_false_accepts_in_one_file_all_count():
    model = find_model("okay_nabu")
    loud = np.zeros(400, np.uint8)
    for start in (10, 100, 200):
        loud[start : start + 10] = 255
    measured = Measured(36.0, loud.tobytes())
    curve = curve_of([measured], [measured], model)
    assert curve.at(model.cutoff) == Point(model.cutoff, 0, 3)
    assert curve.per_hour(curve.at(model.cutoff)) == pytest.approx(300)


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
