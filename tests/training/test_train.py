"""`earnest train` end to end, with robots: trained, converted, simulated, heard, silent on talk.

Half a minute of one core for the toy; everything else takes what it made, or a run of seconds.
"""

import dataclasses
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is missing: make setup-train")

from click.testing import CliRunner

from host_tools.audio import files as audio
from host_tools.audio import speech
from host_tools.commands import models as models_command
from host_tools.commands import train as train_command
from host_tools.commands import train_text
from host_tools.models import catalog
from host_tools.models.graph import read_graph
from host_tools.places import earnest
from host_tools.simulation import runner
from host_tools.simulation.runner import Settings
from host_tools.training import household, people, results
from host_tools.training import plan as plans
from host_tools.training.request import ESPEAK, Request
from host_tools.training.selection import Setting
from host_tools.training.voices.espeak import HELD_OUT
from tests.generators.training_runs import TINY, TINY_FINE, TOY, TOY_FINE, WORD, train

#: What published models need and ESPHome registers.
ESPHOME_OPS = {
    *("CALL_ONCE", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CONCATENATION", "RESHAPE"),
    *("STRIDED_SLICE", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "LOGISTIC", "QUANTIZE"),
    "SPLIT_V",
}
TALK = (
    "The train was late again, and we all had to wait in the rain for an hour.",
    "Did you remember to buy milk, or was that yesterday?",
    "I think they changed the rules, but nobody knows why.",
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Of the toy's stages."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def toy(cache, words):
    """The toy, trained by the command into the folder of trained words; what it printed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_command, "WORDS", words)
        patch.setattr(plans, "plan_for", lambda request: TOY)
        done = CliRunner(mix_stderr=False).invoke(
            train_command.command,
            [WORD, "--voices", "espeak", "--yes", "--cache", str(cache), "--workers", "1"],
        )
    assert done.exception is None, done
    yield words / "hey_computer", done
    for path in (words / "hey_computer").iterdir():
        path.unlink()
    (words / "hey_computer").rmdir()


def test_it_is_found_by_its_name_and_says_what_to_do(toy):
    folder, done = toy
    text = done.stdout
    assert "Measured on real people: none given." in text and "sound like robots" in text
    assert f"{earnest()} simulate recording.wav --model hey_computer\n" in text
    assert f"{earnest()} install --board BOARD --model hey_computer\n" in text
    assert "ESPHome" in text
    assert "1 of 6: download" in done.stderr and "6 of 6: model and report" in done.stderr
    found = catalog.find_model("hey_computer")
    assert (found.wake_word, found.stride) == ("Hey computer", 3)
    assert found.path.read_bytes() == (folder / "hey_computer.ewm").read_bytes()
    entries = models_command.describe()
    (own,) = [entry for entry in entries if entry["name"] == "hey_computer"]
    assert (own["licence"], own["macs_per_inference"]) == ("your own", 24_480)


def test_it_needs_no_op_that_esphome_lacks(toy):
    graph = read_graph((toy[0] / "hey_computer.tflite").read_bytes())
    ops = {op.name for op in graph.operators}
    assert ops <= ESPHOME_OPS and len(ESPHOME_OPS) == 13, ops - ESPHOME_OPS
    manifest = json.loads((toy[0] / "hey_computer.json").read_text())
    assert manifest["model"] == "hey_computer.tflite" and manifest["version"] == 2


def simulated(tmp_path, *parts):
    """The detections, in ms, of the real firmware on these parts with silence between them."""
    padded = [part for spoken in parts for part in (spoken, speech.silence(1.0))]
    path = tmp_path / "sound.wav"
    audio.write(path, np.concatenate([speech.silence(1.0), *padded]))
    settings = Settings((catalog.find_model("hey_computer"),))
    result = runner.simulate("sound.wav", audio.open_audio(path), settings)
    return [event["t_ms"] for event in result.events if event["event"] == "detection"]


def test_the_firmware_hears_voices_that_training_never_had(toy, tmp_path):
    voices = [variant for variant in HELD_OUT if variant != "kaukovalta"]
    spoken = [speech.synthesise(WORD, f"en-us+{variant}", 150) for variant in voices]
    heard = simulated(tmp_path, *spoken)
    assert len(heard) >= len(voices) - 3, heard


def test_the_firmware_is_silent_on_talk(toy, tmp_path):
    spoken = [speech.synthesise(text, f"en-us+{HELD_OUT[0]}", 150) for text in TALK]
    assert simulated(tmp_path, *spoken) == []


def test_the_recipe_says_what_it_was_made_of(toy):
    folder, _ = toy
    text = (folder / "recipe.json").read_text()
    recipe = json.loads(text)
    for name in ("hey_computer.tflite", "hey_computer.json", "hey_computer.ewm", "report.html"):
        content = (folder / name).read_bytes()
        assert recipe["sha256"][name] == hashlib.sha256(content).hexdigest()
    assert recipe["request"]["word"] == WORD and recipe["request"]["seed"] == 0
    assert recipe["counts"]["clips"]["word"] == {
        **recipe["counts"]["clips"]["word"], "clips": 60, "held_out": 6
    }  # fmt: skip
    licences = {source["licence"] for source in recipe["sources"]}
    assert {"GPL-3.0", "Apache-2.0"} <= licences and recipe["packages"]["torch"]
    assert str(folder.parent) not in text and "workers" not in text


def test_the_report_of_a_run(toy):
    text = (toy[0] / "report.html").read_text()
    assert "Measured on real people: none given." in text and "sound like robots" in text
    assert "alexa (shipped) on its own word" in text and "before 8 bit (float)" in text
    assert "<script" not in text and not re.search(r"https?://", text)
    assert "accuracy" not in text.lower()


class Stop(Exception):
    """Stands for Ctrl-C, and cannot be taken for the test's own."""


def content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def quick():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "PROVED_INFERENCES", 60)
        yield


@pytest.fixture(scope="module")
def straight(quick, tmp_path_factory):
    """What a run makes that nothing stops."""
    folder = tmp_path_factory.mktemp("straight")
    trained = train(TINY, folder / "out", folder / "cache")
    return trained, content(folder / "out")


def test_a_run_stopped_in_every_stage_ends_the_same(straight, tmp_path):
    stopped = []

    def stop_at(stage):
        at = ["", 0]

        def announce(number, count, name):
            at[:] = [name, 0]

        def report(text, done):
            at[1] += 1
            if at[0] == stage and at[1] > (0 if stage == plans.MODEL else 2):
                stopped.append(stage)
                raise Stop

        with pytest.raises(Stop):
            train(TINY, tmp_path / "out", tmp_path / "cache", announce=announce, report=report)
        assert not (tmp_path / "out").exists()

    for stage in (plans.SPEECH, plans.SCENES, plans.TRAINING, plans.HELD_OUT, plans.MODEL):
        stop_at(stage)
    assert len(stopped) == 5
    train(TINY, tmp_path / "out", tmp_path / "cache")
    assert content(tmp_path / "out") == straight[1]


def _killed(out, cache):
    """In a process of its own: a run that dies in its training, as of `kill -9`."""
    results.PROVED_INFERENCES = 60

    def report(text, done):
        if text.startswith(plans.TRAINING) and "round 2" in text:
            os.kill(os.getpid(), signal.SIGKILL)

    train(TINY, out, cache, report=report)


def test_a_killed_run_ends_the_same(straight, tmp_path):
    paths = tmp_path / "out", tmp_path / "cache"
    process = multiprocessing.get_context("spawn").Process(target=_killed, args=paths)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL and not paths[0].exists()
    train(TINY, *paths, workers=2)
    assert content(paths[0]) == straight[1]


def test_a_result_elsewhere_is_named_by_its_file(straight):
    trained, _ = straight
    request = Request(WORD, voices=ESPEAK)
    fields = json.loads(train_text.as_json(request, trained))
    tflite = str(trained.folder / "hey_computer.tflite")
    assert fields["model"] == tflite and fields["wake_word"] == "Hey computer"
    assert fields["facts"]["sides"][0]["missed"]["total"] == 2
    text = "\n".join(train_text.lines(request, trained))
    assert f"{earnest()} install --board BOARD --model {tflite}" in text
    assert catalog.find_model(tflite).wake_word == "Hey computer"


def record(folder, variant, number, faster=1.0):
    """A voice says the word in a quiet room; `faster` makes it a child, slower a large man."""
    rng = np.random.default_rng(number)
    said = speech.synthesise(WORD, f"en-us+{variant}", int(rng.integers(125, 175)))
    said = np.interp(np.arange(0, len(said) - 1, faster), np.arange(len(said)), said / 2)
    samples = np.concatenate([np.zeros(12000), said, np.zeros(12000)])
    noisy = (samples + rng.normal(0, 20, len(samples))).astype(np.int16)
    audio.write(folder / f"{number}.wav", noisy)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A household: a large man and a child, who sound like no voice of the training."""
    folder = tmp_path_factory.mktemp("household")
    for number in range(18):
        rng = np.random.default_rng([number, 1])
        faster = rng.uniform(1.2, 1.4) if number % 2 else rng.uniform(0.7, 0.8)
        record(folder, ("f2", "m4", "f4")[number % 3], number, faster)
    return folder


def test_fine_tuning_hears_the_household(toy, cache, quick, recorded, tmp_path, figure):
    """On recordings that it did not learn from, at the setting of the model before."""
    stages = {path.name for path in cache.iterdir()}
    trained = train(
        dataclasses.replace(TOY, fine=TOY_FINE), tmp_path / "out", cache, hear=recorded
    )
    (new,) = {path.name for path in cache.iterdir()} - stages
    assert new.startswith("mined-"), "the stages of the run without it are used as they are"
    micro = json.loads((toy[0] / "hey_computer.json").read_text())["micro"]
    setting = Setting(round(micro["probability_cutoff"] * 255), micro["sliding_window_size"])
    divided = household.read(recorded)
    (tmp_path / "others").mkdir()
    for number in range(12):
        record(tmp_path / "others", HELD_OUT[number % len(HELD_OUT)], number)
    others = [household.Recording(path) for path in sorted((tmp_path / "others").iterdir())]
    missed = {
        who: [
            people.missed_by(heard, (folder / "hey_computer.tflite").read_bytes(), setting).missed
            for folder in (toy[0], tmp_path / "out")
        ]
        for who, heard in (("household", divided.measured), ("others", others))
    }
    for who, (was, now) in missed.items():
        figure(f"{who}, of {was.total}: missed {was.count} before, {now.count} after")
    (was, now), (was_others, now_others) = missed.values()
    assert (was.total, now.total) == (6, 6)
    assert was.count - now.count >= 3 and now.count <= 2
    assert now_others.count <= was_others.count + 1, "it forgot the other speakers"
    text = "of 18 recordings of your household, 12 were learned from, 6 are measured"
    assert text in trained.people_line and text in (tmp_path / "out/report.html").read_text()
    assert trained.people_line.count("of 6") == 1 and trained.facts.people.missed.total == 6
    recipe = (tmp_path / "out" / "recipe.json").read_text()
    counts = json.loads(recipe)["counts"]["household"]
    assert counts == divided.as_json() and counts["learned"] == 12
    assert str(recorded) not in recipe and any("own recordings" in w for w in trained.warnings)


def test_fine_tuning_leaves_nothing_of_the_recordings_and_repeats(straight, recorded, tmp_path):
    """Stopped in each of its parts, and under other names, it ends the same."""
    cache, plan = straight[0].folder.parent / "cache", dataclasses.replace(TINY, fine=TINY_FINE)
    private, stopped, before = cache / "private", [], set(cache.iterdir())
    train(plan, tmp_path / "out", cache, hear=recorded)
    for mined in set(cache.iterdir()) - before:
        shutil.rmtree(mined)  # it is not of the household and stays; here it is made again
    want, plain = content(tmp_path / "out"), straight[1]
    assert not private.exists() and want["hey_computer.tflite"] != plain["hey_computer.tflite"]
    renamed = tmp_path / "renamed" / "more"
    renamed.mkdir(parents=True)
    for number in range(18):
        name = f"x{17 - number}.wav"
        (renamed / name).write_bytes((recorded / f"{number}.wav").read_bytes())
    for part in ("your recordings", "hard negatives", "loss"):

        def stop(text, done, part=part):
            if text.startswith(plans.FINE_TUNING) and part in text:
                stopped.append(part)
                assert private.exists() and not list(private.rglob("*.wav")), "copied"
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train(plan, tmp_path / "again", cache, report=stop, hear=renamed.parent)
        assert private.exists() and not (tmp_path / "again").exists()
    assert len(stopped) == 3
    train(plan, tmp_path / "again", cache, hear=renamed.parent)
    assert content(tmp_path / "again") == want and not private.exists()
