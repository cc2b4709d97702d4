"""The pinned files of the known models: proved here, and all there is where nothing can be."""

import json

import pytest

from host_tools import cli
from host_tools.errors import HostToolError
from host_tools.models import catalog, pins, prove_known

#: test_exact.py compares many more; these show that the pinned bytes are what was proved.
INFERENCES = 200


@pytest.fixture
def nothing_can_be_proved(monkeypatch, tmp_path):
    """As on a Raspberry Pi: no TFLite Micro; and no model converted yet."""
    monkeypatch.setattr(pins, "find_spec", lambda name: None)
    monkeypatch.setattr(catalog, "CACHE", tmp_path / "cache")


@pytest.mark.parametrize("entry", pins.read_known_models(), ids=lambda entry: entry["name"])
def test_the_pin_is_that_of_a_proved_file(entry):
    pin = prove_known.proved_pin(entry["name"], INFERENCES)
    assert pin == entry["converted_sha256"], "python -m host_tools.models.prove_known"


def test_every_known_model_has_a_pin():
    assert {entry["name"] for entry in pins.read_known_models()} == set(catalog.known_models())


def test_known_models_convert_where_nothing_can_be_proved(nothing_can_be_proved, tmp_path, capsys):
    for name in catalog.known_models():
        assert catalog.find_model(name).path.parent == tmp_path / "cache"
    target = tmp_path / "a.ewm"
    assert cli.run(["convert", "alexa", "-o", str(target)]) == 0
    assert "made before: this file's SHA-256 is pinned" in capsys.readouterr().out
    assert target.read_bytes() == catalog.find_model("alexa").path.read_bytes()


def test_another_model_is_refused_there_with_the_reason(nothing_can_be_proved, tmp_path, capsys):
    source = catalog.known_models()["alexa"]
    (tmp_path / "mine.tflite").write_bytes(source.read_bytes())
    manifest = json.loads(source.with_suffix(".json").read_text())
    manifest["wake_word"] = "Mine"
    (tmp_path / "mine.json").write_text(json.dumps(manifest))
    with pytest.raises(HostToolError, match="'Mine' cannot be proved exact here") as caught:
        catalog.find_model(str(tmp_path / "mine.tflite"))
    assert "Linux x86-64" in caught.value.hint and ".ewm" in caught.value.hint
    assert not list((tmp_path / "cache").rglob("*"))
    target = tmp_path / "mine.ewm"
    assert cli.run(["convert", str(tmp_path / "mine.tflite"), "-o", str(target)]) == 2
    assert "cannot be proved exact here" in capsys.readouterr().err and not target.exists()


def test_damaged_facts_are_an_error(tmp_path):
    for text in ("", "{", "[1]", '[{"name": "a"}]', "{}x"):
        (tmp_path / "p.json").write_text(text)
        with pytest.raises(HostToolError, match="p.json"):
            pins.read_known_models(tmp_path / "p.json")
