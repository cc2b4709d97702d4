"""The fast engine is chosen only where it equals TFLite Micro, and every file starts anew."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import soundfile

from host_tools import cli
from host_tools.audio import files as audio
from host_tools.audio.speech import synthesise
from host_tools.errors import HostToolError
from host_tools.evaluation import engine
from host_tools.evaluation.engine import TFLITE_MICRO, WHOLE_CLIPS, Engine, choose
from host_tools.evaluation.measure import Job, key_of, measure
from host_tools.models.catalog import known_models
from host_tools.models.reference import probabilities
from host_tools.models.tflite_writer import FLOAT32, Op, write_model
from host_tools.models.whole_clips import WholeClipModel
from tests.generators.random_models import random_graphs, random_model

WORDS = ("okay naboo", "alexa", "The weather is nice today.", "hey jarvis")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Speech of a length that is no whole number of steps, longer than a block of reading."""
    folder = tmp_path_factory.mktemp("clips")
    for i, text in enumerate(WORDS):
        spoken = np.tile(synthesise(text), 8)[: 16000 * 7 + 77 * i]
        audio.write(folder / f"{i}.wav", spoken)
    return sorted(folder.glob("*.wav"))


def computes_logistic_in_float() -> bytes:
    """A random model with its LOGISTIC in float32, which TFLite Micro runs but nothing here."""
    main, init, _ = random_graphs(1)
    logistic = next(op for op in main.ops if op.name == "LOGISTIC")
    shape = main.tensors[logistic.inputs[0]].shape
    before, after = (main.tensor(name, shape, FLOAT32) for name in ("before", "after"))
    at = main.ops.index(logistic)
    main.ops[at : at + 1] = [
        Op("DEQUANTIZE", logistic.inputs, [before]),
        Op("LOGISTIC", [before], [after]),
        Op("QUANTIZE", [after], logistic.outputs),
    ]
    return write_model([main, init])


@pytest.mark.parametrize("name", sorted(known_models()))
def test_files_in_sequence_give_the_reference_s_probabilities(name, clips):
    source = known_models()[name].read_bytes()
    chosen = choose(source, str(clips[0]))
    assert (chosen.name, chosen.reason) == (WHOLE_CLIPS, "")
    for path in [*clips, clips[0]]:
        padded = np.concatenate([audio.read(path), np.zeros(8000, np.int16)])
        want = probabilities(source, padded)
        for used in (chosen, Engine(TFLITE_MICRO, "")):
            got = measure(Job(str(path), source, 500, used))
            assert got.problem == "" and got.seconds == (len(padded) - 8000) / 16000
            assert got.probabilities == want.tobytes(), (name, path.name, used.name)


def test_models_in_turn_do_not_disturb_each_other(clips):
    """A worker gets the jobs of several models (--cross) in any order."""
    for seed in (3, 4, 3):
        source, description = random_model(seed)
        got = measure(Job(str(clips[0]), source, 0, choose(source, str(clips[0]))))
        want = probabilities(source, audio.read(clips[0]))
        assert got.probabilities == want.tobytes(), description


def test_what_the_converter_does_not_know_goes_to_tflite_micro(clips):
    source = computes_logistic_in_float()
    chosen = choose(source, str(clips[0]))
    assert chosen.name == TFLITE_MICRO and "(LOGISTIC)" in chosen.reason
    got = measure(Job(str(clips[0]), source, 0, chosen))
    assert got.probabilities == probabilities(source, audio.read(clips[0])).tobytes()
    assert len(got.probabilities) > 100


@pytest.fixture
def one_wrong_output(monkeypatch):
    right = WholeClipModel.run

    def run(self, slices):
        out = right(self, slices)
        out[200:201] ^= 1
        return out

    monkeypatch.setattr(WholeClipModel, "run", run)


def test_an_engine_that_differs_once_is_not_chosen(one_wrong_output, clips):
    chosen = choose(random_model(5)[0], str(clips[0]))
    assert chosen.name == TFLITE_MICRO
    assert re.fullmatch(r"1 of \d+ outputs differ from TFLite Micro's", chosen.reason)


def test_the_command_says_when_it_is_slow(one_wrong_output, clips, tmp_path, capsys):
    command = [
        "evaluate",
        "--negative",
        clips[0].parent,
        "--workers",
        1,
        "--cache",
        tmp_path / "c",
    ]
    assert cli.run([*map(str, command), "--json"]) == 0
    said = capsys.readouterr()
    assert "okay_nabu: computed by TFLite Micro, several times slower: 1 of" in said.err
    assert json.loads(said.out)["engine"] == TFLITE_MICRO


def test_what_is_compared_moves_the_model(clips):
    """Equality would say little if every probability were the same."""
    source = known_models()["okay_nabu"].read_bytes()
    model = engine.make(TFLITE_MICRO, source)
    compared = model.run(engine._slices(str(clips[0]), model.stride))
    assert len(np.unique(compared)) > 20 and compared.max() > 230
    assert len(compared) == engine.COMPARED_INFERENCES + (5 * 100 - 2) // 3


def test_the_comparison_does_without_a_recording_that_is_bad(tmp_path):
    (tmp_path / "bad.wav").write_text("no audio")
    assert choose(random_model(5)[0], str(tmp_path / "bad.wav")).name == WHOLE_CLIPS


def test_kept_results_are_those_of_one_engine(clips):
    source = random_model(5)[0]
    fast, slow = choose(source, str(clips[0])), Engine(TFLITE_MICRO, "tflite-micro 1")
    jobs = [
        Job(str(clips[0]), source, 0, used)
        for used in (fast, slow, Engine(fast.name, "other code"), Engine(slow.name, "other code"))
    ]
    keys = {key_of(job) for job in jobs}
    assert len(keys) == len(jobs)
    assert key_of(jobs[0]) == key_of(Job(str(clips[0]), source, 0, choose(source, str(clips[0]))))


@pytest.mark.parametrize("ending", ("flac", "mp3", "ogg"))
@pytest.mark.parametrize("damage", ("cut", "overwritten", "start overwritten"))
def test_damage_inside_compressed_audio_is_named_as_everywhere(ending, damage, tmp_path):
    """`measure` decodes once; what it says must be what the check of the whole file says."""
    path = tmp_path / f"a.{ending}"
    noise = np.random.default_rng(1).normal(0, 3000, 160_000).astype(np.int16)
    soundfile.write(path, noise, 16000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if damage == "cut":
        del data[middle:]
    else:
        start = middle if damage == "overwritten" else 2000
        data[start : start + 400] = bytes(400)
    path.write_bytes(data)
    try:
        want = len(audio.read(path)), ""
    except HostToolError as error:
        want = 0, error.message
    source = random_model(5)[0]
    got = measure(Job(str(path), source, 0, Engine(WHOLE_CLIPS, "")))
    assert got.problem == want[1]
    assert round(got.seconds * 16000) == want[0]
