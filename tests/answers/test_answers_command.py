"""`earnest receive --answers` and `earnest devices list` as their owner sees them."""

import json
import re
import subprocess
import sys
from importlib.metadata import requires

import pytest

from host_tools.answers.clock import SystemClock
from host_tools.answers.timers import FILE, Timers
from host_tools.errors import EXTRAS
from host_tools.receiver.devices import DeviceList
from tests.fakes.receivers import Device, earnest, new_device, receiving


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.mark.parametrize(
    "options, error",
    [
        (["--run", "cat"], "error: --run needs --answers\n"),
        (["--handle", "tcp://127.0.0.1:1"], "error: --handle needs --answers\n"),
        (["--tts", "tcp://127.0.0.1:1"], "error: --tts needs --answers\n"),
        (
            ["--answers", "--home-assistant"],
            "error: --home-assistant does not go with --answers\n",
        ),
        (["--answers", "--run", "./no such"], "error: './no such' is not a program\n"),
        (["--answers", "--handle", "http://x"], "error: 'http://x' is not a tcp:// address"),
        (["--answers", "--tts", "tcp://x"], "hint: as in --tts tcp://"),
    ],
)
def test_what_does_not_go_together_is_said_in_two_lines(data, options, error):
    done = earnest(data, "receive", *options)
    assert done.returncode == 2 and error in done.stderr
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("module", ["hassil", "home_assistant_intents"])
def test_a_missing_package_is_named_with_its_extra(data, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    done = earnest(data, "receive", "--answers", "--stt", "tcp://127.0.0.1:1")
    assert done.returncode == 2
    assert "is missing; it is part of earnest[answers]" in done.stderr


def test_damaged_timers_stop_the_start(data):
    data.mkdir()
    (data / FILE).write_text("{")
    done = earnest(data, "receive", "--answers", "--stt", "tcp://127.0.0.1:1")
    assert done.returncode == 2 and "timers.json is damaged" in done.stderr


def test_what_leaves_this_computer_is_said_at_the_start(data):
    new_device(data, "kitchen")
    elsewhere = "tcp://192.0.2.7:10400"
    options = ["--stt", elsewhere, "--handle", elsewhere, "--tts", elsewhere]
    with receiving(data, "--answers", *options) as receiver:
        told = [t["message"] for t in receiver.events if t["event"] == "warning"]
        (who,) = [t for t in receiver.events if t["event"] == "answers"]
    assert who["stt"] == who["tts"] == elsewhere
    assert told == [
        "audio travels to the speech-to-text server in plain text",
        f"what is said travels to {elsewhere} in plain text",
        f"what is answered travels to {elsewhere} in plain text",
    ]


def test_timers_are_listed_with_their_device(data):
    for name in ("kitchen", "hall"):
        new_device(data, name)
    kitchen = DeviceList(data / "devices.json").named("kitchen").id
    timers = Timers(data, SystemClock())
    timers.add(kitchen, "", 7262)
    timers.add(kitchen, "pizza", 300)
    listed = earnest(data, "devices", "list")
    assert "pizza 5:00, 2:01:02" in listed.stdout or "pizza 4:59, 2:01:01" in listed.stdout
    rows = [
        json.loads(line) for line in earnest(data, "devices", "list", "--json").stdout.splitlines()
    ]
    by_name = {row["name"]: row["timers"] for row in rows}
    assert by_name["hall"] == []
    assert [(t["name"], t["duration_s"]) for t in by_name["kitchen"]] == [
        ("pizza", 300),
        ("", 7262),
    ]


def test_the_whole_command_answers_a_device(data, tmp_path):
    """The one test that starts `earnest receive --answers` itself, with its engine."""
    pytest.importorskip("moonshine_cpp")
    from host_tools.audio import speech

    folder = new_device(data, "kitchen")
    with receiving(data, "--answers") as receiver, Device(receiver.port, folder) as device:
        device.tell_status()
        device.say(speech.synthesise("what time is it").tobytes())
        told = receiver.wait("answer", device="kitchen")
        assert told["text"].startswith("It is ") and told["by"] == "built in"
        assert device.accept()["kind"] == "reply"


def test_it_runs_without_the_packages_of_other_extras(tmp_path):
    """`pip install '.[answers]'` alone is enough: neither soundfile nor matplotlib is imported."""
    brought = {re.match(r"[\w-]+", line)[0] for line in requires("earnest") if '"answers"' in line}
    others = [name for name, extra in EXTRAS.items() if extra.package not in brought]
    assert "soundfile" in others and "hassil" not in others
    script = f"""
import sys
sys.modules.update(dict.fromkeys({others!r}))
from pathlib import Path
from host_tools.answers import setup, voice
from host_tools.commands.receive import _speech
setup.local_answers(Path({str(tmp_path)!r}), stt=("127.0.0.1", 1))
assert len(_speech("It is noon.")) > 16000
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
