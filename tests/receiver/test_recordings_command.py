"""`earnest recordings` and `earnest devices`: what they show, ask and refuse."""

import json
import os
import stat
import subprocess
import sys

import pytest
from click.testing import CliRunner

from host_tools.commands import devices as devices_command
from host_tools.commands import recordings as recordings_command
from host_tools.receiver import authority, player
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.folder_lock import locked
from host_tools.receiver.recordings import Recordings
from tests.fakes.receivers import kept_wav

AUDIO = bytes(range(256)) * 10


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def call(command, data, *arguments, **options):
    words = [*map(str, arguments), "--data", str(data)]
    return CliRunner(mix_stderr=False).invoke(command, words, **options)


def keep(data, device="a" * 16, wake_word="okay_nabu"):
    recordings = Recordings(data)
    recording = recordings.add(
        AUDIO, device=device, share_for_training=False, preroll_ms=0, wake_word=wake_word
    )
    recordings.close()
    return recording


def test_the_listing_names_the_device_and_lets_no_escape_sequence_through(data, tmp_path):
    signer = authority.open_or_make(data / "authority")
    device, _ = DeviceList(data / "devices.json").issue("kitchen", signer)
    listed = keep(data, device.id)
    hostile = keep(data, "\x1b]0;title\x07", "\x1b[2J\nforged")
    done = call(recordings_command.command, data, "list")
    assert done.exit_code == 0
    assert all(c.isprintable() for line in done.stdout.splitlines() for c in line), done.stdout
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}
    assert set(lines) == {listed.id, hostile.id}
    assert "kitchen" in lines[listed.id] and "kitchen" not in lines[hostile.id]


@pytest.mark.parametrize("answer, is_deleted", [("y\n", True), ("\n", False), ("n\n", False)])
def test_deletion_asks_first(data, answer, is_deleted):
    keep(data)
    done = call(recordings_command.command, data, "delete", "--all", input=answer)
    assert "Delete 1 recording for good?" in done.stdout
    assert (list(data.glob("*.sealed")) == []) == is_deleted


def test_a_deletion_that_is_not_whole_says_what_is_left(data):
    stuck, gone = keep(data), keep(data)
    (data / f"{stuck.id}.sealed").unlink()
    (data / f"{stuck.id}.sealed").mkdir()
    (data / f"{stuck.id}.sealed" / "within").touch()
    done = call(recordings_command.command, data, "delete", "--all", "--yes")
    assert done.exit_code == 2 and stuck.id in done.stderr and gone.id not in done.stderr
    assert sorted(path.stem for path in data.glob("*.json")) == [stuck.id]


def test_only_those_of_devices_that_are_not_listed_go(data):
    signer = authority.open_or_make(data / "authority")
    device, _ = DeviceList(data / "devices.json").issue("kitchen", signer)
    listed, unlisted = keep(data, device.id), keep(data, "b" * 16)
    done = call(recordings_command.command, data, "delete", "--unlisted", "--yes", "--json")
    assert json.loads(done.stdout) == {"deleted": 1, "left": []}
    assert [path.stem for path in data.glob("*.sealed")] == [
        listed.id
    ] and unlisted.id != listed.id


def test_a_recording_is_played_by_what_is_there(data, tmp_path, monkeypatch):
    recording = keep(data)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    done = call(recordings_command.command, data, "play", recording.id[:6])
    assert done.exit_code == 2 and "no program here that plays" in done.stderr
    (tmp_path / "bin").mkdir()
    fake = tmp_path / "bin" / "aplay"
    fake.write_text(f'#!/bin/sh\necho "$1" > {tmp_path}/asked; cat "$2" > {tmp_path}/played\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/bin{os.pathsep}/usr/bin")
    monkeypatch.setattr(player, "PLAYERS", (("none-such",), ("aplay", "-q")))
    assert call(recordings_command.command, data, "play", recording.id[:6]).exit_code == 0
    assert (tmp_path / "asked").read_text() == "-q\n"
    assert (tmp_path / "played").read_bytes() == kept_wav(data, recording.id)
    fake.write_text("#!/bin/sh\nexit 3\n")
    done = call(recordings_command.command, data, "play", recording.id)
    assert done.exit_code == 2 and "aplay could not play" in done.stderr


def test_listing_needs_no_numpy_and_no_wyoming(data):
    keep(data)
    script = (
        "import sys; from host_tools import cli; "
        f"status = cli.run(['recordings', 'list', '--data', {str(data)!r}]); "
        "print(status, [m for m in ('numpy', 'wyoming', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.endswith("0 []\n"), (done.stdout, done.stderr)


def test_a_device_with_a_bad_name_makes_no_ca(data, tmp_path):
    done = call(devices_command.command, data, "add", "a b", "-o", tmp_path / "out")
    assert done.exit_code == 2 and "cannot be a device's name" in done.stderr
    assert not (data / "authority").exists()


def test_a_removed_device_leaves_its_recordings_and_says_so(data, tmp_path):
    done = call(devices_command.command, data, "add", "kitchen", "-o", tmp_path / "out")
    assert done.exit_code == 0 and "the CA's certificate" in done.stdout
    assert done.stderr == f"made a new CA in {data / 'authority'}\n"
    assert "kitchen" in call(devices_command.command, data, "list").stdout
    done = call(devices_command.command, data, "remove", "kitchen")
    assert "recordings delete --unlisted" in done.stdout
    assert call(devices_command.command, data, "list").stdout == "no devices\n"


def test_one_folder_is_for_one_receiver(data):
    data.mkdir()
    with locked(data):
        done = subprocess.run(
            [sys.executable, "-m", "host_tools", "receive", "--data", str(data), "--port", "0"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 2 and "another `earnest receive` uses" in done.stderr
    with locked(data):  # and is free again
        pass
