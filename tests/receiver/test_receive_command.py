"""`earnest receive` as its owner sees it: signals, commands on stdin, bad input, what it kept."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import wave

import pytest

from firmware.satellite import protocol
from host_tools.receiver.console import COMMANDS
from tests.fakes.receivers import (
    FORM,
    SPEECH,
    STREAM,
    Device,
    audio_files,
    earnest,
    new_device,
    receiving,
    recordings_in,
    samples_of,
)


def test_list_export_delete_and_delete_all(data, tmp_path):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        ids = []
        for number in range(3):
            device.say(SPEECH[: 640 * (number + 1)], keep=True, stream=f"{number:016x}")
            ids.append(receiver.wait("stream-stop")["recording"])
    listed = [
        json.loads(line)
        for line in earnest(data, "recordings", "list", "--json").stdout.splitlines()
    ]
    assert sorted(row["id"] for row in listed) == sorted(ids)
    assert ids[0] in earnest(data, "recordings", "list").stdout
    done = earnest(data, "recordings", "export", ids[1][:10], tmp_path / "out.wav")
    assert done.returncode == 0 and samples_of(tmp_path / "out.wav") == SPEECH[:1280]
    (tmp_path / "out.wav").write_bytes(b"mine")
    done = earnest(data, "recordings", "export", ids[1], tmp_path / "out.wav")
    assert done.returncode == 2 and "exists already" in done.stderr
    assert (tmp_path / "out.wav").read_bytes() == b"mine"
    done = earnest(data, "recordings", "export", ids[1], tmp_path / "out.wav", "--overwrite")
    assert done.returncode == 0 and samples_of(tmp_path / "out.wav") == SPEECH[:1280]
    assert earnest(data, "recordings", "delete", ids[1], "--yes").returncode == 0
    assert {path.stem for path in audio_files(data)} == {ids[0], ids[2]}
    for arguments in (["delete", ids[1], "--yes"], ["export", "", tmp_path / "x.wav"]):
        done = earnest(data, "recordings", *arguments)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 2, done.stderr
    (data / f"{ids[0]}.sealed").write_bytes(b"RIFF damaged")
    done = earnest(data, "recordings", "export", ids[0], tmp_path / "x.wav")
    assert done.returncode == 2 and "damaged" in done.stderr
    assert not (tmp_path / "x.wav").exists()
    (data / "mine.wav").write_bytes(b"not ours")
    assert json.loads(
        earnest(data, "recordings", "delete", "--all", "--yes", "--json").stdout
    ) == {"deleted": 2, "left": []}
    assert recordings_in(data) == ["devices.json", "mine.wav"]
    assert earnest(data, "recordings", "list").stdout == "no recordings\n"


def test_it_ends_when_nobody_reads_what_it_tells(data):
    folder = new_device(data, "kitchen")
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "host_tools", "receive", "--data", str(data), "--json"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", "0", "--no-page"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
    )
    os.close(writing)
    port = json.loads(os.read(reading, 4096))["port"]
    os.close(reading)
    try:
        with Device(port, folder) as device:
            assert device.is_hung_up()
        assert process.wait(10) != 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly_within_a_stream(data, number):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        device.consent(keep=True)
        device.send(protocol.AUDIO_START, FORM)
        device.audio(SPEECH[:3200])
        receiver.wait("stream-start")
        assert receiver.end(number) == (0, "")
        names = [told["event"] for told in receiver.events]
        assert names[-3:] == ["stream-stop", "disconnected", "stopped"], names
        assert receiver.events[-3]["recording"] is None
    assert audio_files(data) == []


def test_a_port_in_use_and_a_list_without_devices_say_what_to_do(shared, data):
    done = earnest(data, "receive", "--host", "127.0.0.1", "--port", shared.port)
    assert done.returncode == 2 and "is another `earnest receive` running?" in done.stderr
    assert "no device may connect yet: `earnest provision`" in " ".join(done.stdout.split())


def test_a_folder_of_an_earlier_version_is_pointed_at(data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    start = ("receive", "--host", "203.0.113.1", "--port", 0)  # where it cannot listen
    (tmp_path / "recordings" / "authority").mkdir(parents=True)
    said = earnest(data, *start).stdout
    assert f"made a new CA in {data / 'authority'}" in said
    assert f"{tmp_path / 'recordings'} holds a CA" in said and f"move it to {data}" in said
    assert "CA" not in earnest(data, *start).stdout  # only where a new one was made


def test_bad_input_on_the_command_line(data, tmp_path):
    (tmp_path / "file").write_text("")
    (data / "authority").mkdir(parents=True)
    for arguments, words in (
        (["receive", "--stt", "http://x"], "is not a tcp:// address"),
        (["receive", "--stt", "tcp://x"], "is not a tcp:// address"),
        (["receive", "--name", "a b"], "cannot be a receiver's name"),
        (
            ["receive", "--host", "203.0.113.1", "--port", "0"],
            "cannot listen on 203.0.113.1 port 0: Cannot assign requested address\n",
        ),
        (["devices", "add", "a b", "-o", tmp_path / "x"], "cannot be a device's name"),
        (["devices", "add", "a"], "Missing option '-o'"),
        (
            ["recordings", "delete", "a", "--all"],
            "--unlisted, or --all",
        ),
        (["devices", "remove", "a"], "there is no device 'a'"),
        (["devices", "add", "a", "-o", tmp_path / "file" / "x"], "cannot make the folder"),
    ):
        done = earnest(data, *arguments)
        assert done.returncode == 2 and words in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr


def test_damaged_files_of_the_receiver_are_named(data, tmp_path):
    new_device(data, "kitchen")
    done = earnest(data, "devices", "add", "kitchen", "-o", tmp_path / "x")
    assert done.returncode == 2 and "already" in done.stderr
    (data / "devices.json").write_text('[{"name":1}]')
    done = earnest(data, "devices", "list")
    assert done.returncode == 2 and "devices.json is damaged" in done.stderr
    (data / "devices.json").unlink()
    for name in ("authority.cert.pem", "authority.key.pem"):
        path = data / "authority" / name
        good = path.read_bytes()
        path.write_bytes(b"nonsense")
        done = earnest(data, "receive", "--port", 0)
        assert done.returncode == 2 and f"{name} is damaged" in done.stderr, done.stderr
        path.write_bytes(good)


def test_the_owner_stops_mutes_and_may_ask_for_what_a_device_refuses(shared):
    with Device(shared.port, shared.folder) as device:
        device.consent()
        device.send(protocol.AUDIO_START, FORM)
        device.audio(SPEECH[:320])
        shared.wait("stream-start")
        shared.command("stop")
        assert device.expect(protocol.STOP).data == {"stream": STREAM}
        shared.command("mute")
        device.expect(protocol.MUTE)
        shared.command("less-sensitive okay_nabu 0.95")
        want = {"model": "okay_nabu", "cutoff_thousandths": 950}
        assert device.expect(protocol.SENSITIVITY).data == want
        shared.command("send unmute")
        device.expect("unmute")
        shared.command("send no name")
        assert "no name" in shared.wait("warning")["message"]
        for words, said in (
            ("mut", f"unknown command 'mut'; it is {COMMANDS}"),
            ("less-sensitive okay_nabu 1", "'1' is not a cutoff; 0.1 to 0.99 in steps of 0.001"),
            ("send", "unknown command 'send'"),
            ("stop", "nothing to stop: no stream, no sound"),
            ("volume 101", "'101' is not a number; 0 to 100"),
            ("chime loudly", "unknown chime 'loudly'; it is timer or error"),
            ("say", "say: what?"),
            ("play nothing.wav", "cannot read nothing.wav"),
        ):
            shared.command(words)
            assert said in shared.wait("warning")["message"]
    shared.wait("disconnected")
    shared.command("mute")
    assert shared.wait("warning")["message"] == "'mute' reached nobody: no device is connected"


def test_the_owner_tries_the_loudspeaker(shared, tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(SPEECH[:3200])
    with Device(shared.port, shared.folder) as device:
        device.send(protocol.PING)
        device.expect(protocol.PONG)  # it is served: a command finds it
        shared.command("volume 30")
        shared.wait("speak-refused", kind="volume", why="older-firmware")
        device.tell_status()
        shared.wait("status")
        shared.command("chime error")
        want = "kitchen has said nothing to answer; wake it first"
        assert shared.wait("warning")["message"] == want
        device.say(SPEECH[:640])
        shared.wait("stream-stop")
        shared.command("volume 30")
        assert device.expect(protocol.VOLUME).data == {"percent": 30}
        shared.command(f"play {tmp_path / 'a.wav'}")
        asked = device.accept()
        assert asked["kind"] == "reply" and asked["stream"] == STREAM
        device.expect(protocol.AUDIO_START)
        assert device.expect(protocol.AUDIO_CHUNK).payload == SPEECH[:2048]
        assert device.expect(protocol.AUDIO_CHUNK).payload == SPEECH[2048:3200]
        device.expect(protocol.AUDIO_STOP)
        device.send(protocol.PLAYED, {"id": asked["id"], "ms": 100, "why": "end"})
        told = shared.wait("played", ms=100)
        assert told["sha256"] == hashlib.sha256(SPEECH[:3200]).hexdigest()
        for command, kind in (("timer 0", "timer"), ("chime error", "error")):
            shared.command(command)
            asked = device.expect(protocol.CHIME).data
            assert asked["kind"] == kind
            device.send(protocol.SPEAK_REFUSED, {"id": asked["id"], "why": "off"})
            shared.wait("speak-refused", kind=f"{kind} chime")
        shared.command("announce tea")
        asked = device.accept(2048)
        assert asked["kind"] == "announcement"
        device.expect(protocol.AUDIO_START)
        device.expect(protocol.AUDIO_CHUNK)
        shared.command("stop")
        assert device.expect(protocol.SPEAK_STOP).data == {"id": asked["id"]}
        device.expect(protocol.AUDIO_STOP)
    shared.wait("disconnected")
