"""The word's folder: written whole, never over other files; the manifest is one that is read."""

import json
from pathlib import Path

import pytest

from host_tools.errors import HostToolError
from host_tools.models.manifest import Manifest
from host_tools.training import request, results
from host_tools.training.request import Request
from host_tools.training.selection import Setting


def test_the_manifest_gives_back_the_setting():
    read = Manifest.from_json(json.loads(results.manifest("hey_x", "Hey x", Setting(242, 6))))
    assert (read.wake_word, read.cutoff, read.sliding_window_size) == ("Hey x", 242, 6)
    assert read.notes == ()


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "words" / "hey_x"
    results.write(folder, {"a": b"1", "b": b"2"})
    results.write(folder, {"a": b"3"})
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("a", b"3")]
    assert [path.name for path in folder.parent.iterdir()] == ["hey_x"]


def test_the_folder_that_one_is_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results.write(Path("."), {"a": b"1"})
    assert (tmp_path / "a").read_bytes() == b"1"


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    folder = tmp_path / "hey_x"
    results.write(folder, {"a": b"1"})
    with pytest.raises(HostToolError, match="cannot write"):
        results.write(folder, {"a": b"2", "no/such": b"3"})
    assert (folder / "a").read_bytes() == b"1"
    assert [path.name for path in tmp_path.iterdir()] == ["hey_x"]


def test_what_a_killed_run_left_beside_it_is_taken_away(tmp_path):
    (tmp_path / ".hey_x.part").mkdir()
    (tmp_path / ".hey_x.part" / "junk").write_bytes(b"")
    results.write(tmp_path / "hey_x", {"a": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["hey_x"]
    assert [path.name for path in (tmp_path / "hey_x").iterdir()] == ["a"]


def test_only_an_earlier_result_is_replaced(tmp_path):
    results.check_replaceable(tmp_path / "new", "hey_x")
    (tmp_path / "hey_x.tflite").touch()
    (tmp_path / "recipe.json").touch()
    results.check_replaceable(tmp_path, "hey_x")
    (tmp_path / "holiday.jpg").touch()
    with pytest.raises(HostToolError, match=r"other files in it \(holiday.jpg\)"):
        results.check_replaceable(tmp_path, "hey_x")
    with pytest.raises(HostToolError, match="is a file"):
        results.check_replaceable(tmp_path / "holiday.jpg", "hey_x")


def test_names():
    names = {text: Request(text).name for text in ("Hey Computer", "Alexa", "hé, you!", "x" * 70)}
    assert names == {
        "Hey Computer": "hey_computer",
        "Alexa": "my_alexa",
        "hé, you!": "h_you",
        "x" * 70: "x" * 32,
    }
    assert Request("hey computer").word == "Hey computer"


@pytest.mark.parametrize("text", ["", "   ", "ёж", "two\nlines", " hey you", "w" * 65])
def test_what_is_no_word_is_refused(text):
    with pytest.raises(HostToolError) as caught:
        request.check(Request(text))
    assert caught.value.hint
