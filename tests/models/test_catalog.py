"""Which model is meant: known names, .tflite with manifest, .ewm; all else refused in words."""

import shutil

import pytest

from host_tools.errors import HostToolError
from host_tools.models import catalog as model_files
from host_tools.models.tflite_writer import FLOAT32, write_model
from tests.generators.random_models import random_graphs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with okay_nabu.tflite, its manifest, and a cache of its own."""
    monkeypatch.setattr(model_files, "CACHE", tmp_path / "cache")
    tflite = model_files.known_models()["okay_nabu"]
    shutil.copy(tflite, tmp_path)
    shutil.copy(tflite.with_suffix(".json"), tmp_path)
    return tmp_path


def test_the_four_models_are_known():
    assert sorted(model_files.known_models()) == [
        "alexa",
        "hey_jarvis",
        "hey_mycroft",
        "okay_nabu",
    ]


def test_a_name_a_tflite_and_an_ewm_are_the_same_model(folder):
    by_name = model_files.find_model("okay_nabu")
    assert (by_name.name, by_name.wake_word) == ("okay_nabu", "Okay Nabu")
    assert (by_name.cutoff, by_name.window, by_name.stride) == (216, 5, 3)
    assert model_files.find_model(str(folder / "okay_nabu.tflite")) == by_name
    built = folder / "mine.ewm"
    shutil.copy(by_name.path, built)
    assert model_files.find_model(str(built)).wake_word == "Okay Nabu"


def test_the_cache_is_used_and_never_stale(folder, monkeypatch):
    first = model_files.find_model("okay_nabu").path
    stamp = first.stat().st_mtime_ns
    assert model_files.find_model("okay_nabu").path == first
    assert first.stat().st_mtime_ns == stamp
    manifest = folder / "okay_nabu.json"
    manifest.write_text(manifest.read_text().replace("0.85", "0.5"))
    changed = model_files.find_model(str(folder / "okay_nabu.tflite"))
    assert changed.path != first and changed.cutoff == 127
    monkeypatch.setattr(model_files, "converter_digest", lambda: b"another converter")
    assert model_files.find_model("okay_nabu").path != first
    assert not list(first.parent.glob("*.part"))


def test_a_model_of_another_family_is_not_asked_for_a_manifest(folder, monkeypatch):
    (folder / "okay_nabu.json").unlink()
    with pytest.raises(HostToolError, match="there is no manifest"):
        model_files.find_model(str(folder / "okay_nabu.tflite"))
    main, init, _ = random_graphs(1)
    main.tensors[main.inputs[0]].type = FLOAT32
    main.tensors[main.inputs[0]].shape = (1, 16, 96)
    (folder / "okay_nabu.tflite").write_bytes(write_model([main, init]))
    with pytest.raises(HostToolError, match="an openWakeWord model"):
        model_files.find_model(str(folder / "okay_nabu.tflite"))


def broken(folder, kind):
    path = folder / "okay_nabu.tflite"
    if kind == "no manifest":
        path.with_suffix(".json").unlink()
    elif kind == "bad manifest":
        path.with_suffix(".json").write_text("{")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:5000])
    elif kind == "ewm of text":
        path = folder / "a.ewm"
        path.write_text("hello")
    elif kind == "large":
        path = folder / "a.ewm"
        path.write_bytes(bytes(model_files.model_format.MAX_FILE_BYTES + 1))
    else:
        path = folder / kind
    return str(path)


@pytest.mark.parametrize(
    "kind",
    ["no manifest", "bad manifest", "cut", "ewm of text", "large", "no.tflite", "no.ewm", "no"],
)
def test_anything_else_is_refused_in_words(folder, kind):
    with pytest.raises(HostToolError) as caught:
        model_files.find_model(broken(folder, kind))
    assert caught.value.message


def test_a_trained_word_is_found_by_its_name(folder, monkeypatch):
    monkeypatch.setattr(model_files, "WORDS", folder / "words")
    assert model_files.own_models() == {}
    own = folder / "words" / "hey_computer"
    own.mkdir(parents=True)
    for ending in (".tflite", ".json"):
        shutil.copy(folder / f"okay_nabu{ending}", own / f"hey_computer{ending}")
    found = model_files.find_model("hey_computer")
    assert (found.name, found.wake_word) == ("hey_computer", "Okay Nabu")
    assert list(model_files.available_models())[-1] == "hey_computer"
    assert "hey_computer" not in model_files.known_models()
    (own / "hey_computer.json").unlink()
    with pytest.raises(HostToolError, match="there is no model 'hey_computer'"):
        model_files.find_model("hey_computer")


def test_a_trained_word_never_takes_the_name_of_a_known_model(folder, monkeypatch):
    monkeypatch.setattr(model_files, "WORDS", folder / "words")
    (folder / "words" / "alexa").mkdir(parents=True)
    for ending in (".tflite", ".json"):
        shutil.copy(folder / f"okay_nabu{ending}", folder / "words" / "alexa" / f"alexa{ending}")
    assert model_files.available_models() == model_files.known_models()
    assert model_files.find_model("alexa").wake_word == "Alexa"
