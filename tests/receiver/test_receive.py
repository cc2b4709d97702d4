"""The real receiver process over real TLS: consent, recordings, deletion, and who is refused."""

import contextlib
import hashlib
import io
import json
import os
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time
import wave
from collections import namedtuple

import numpy as np
import pytest

from firmware.satellite import protocol
from host_tools import cli
from host_tools.receiver import authority, recording
from host_tools.receiver.devices import CA_FILE, CERTIFICATE_FILE, KEY_FILE, DeviceList
from tests.fakes.receivers import FORM, STREAM, Device, new_device, receiving, tls_context

Done = namedtuple("Done", "returncode stdout stderr")
RANDOM = np.random.default_rng(20)
SPEECH = RANDOM.integers(-20000, 20000, 16000 + 77, dtype=np.int16).tobytes()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One receiver and one device for the tests that leave nothing behind."""
    data = tmp_path_factory.mktemp("shared") / "data"
    folder = new_device(data, "kitchen")
    with receiving(data, "--max-stream-s", 2, "--commands") as receiver:
        receiver.data, receiver.folder = data, folder
        yield receiver


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def recordings_in(data):
    return sorted(path.name for path in data.glob("*") if path.suffix in (".wav", ".json"))


def audio_files(data):
    return [path for path in data.rglob("*") if path.suffix in (".wav", ".part")]


def earnest(data, *arguments):
    """`earnest ARGUMENTS --data DATA` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.run([*map(str, arguments), "--data", str(data)])
    return Done(status, out.getvalue(), err.getvalue())


def written(credentials, folder):
    """The folder with what a device got."""
    folder.mkdir()
    (folder / KEY_FILE).write_bytes(credentials.key)
    (folder / CERTIFICATE_FILE).write_bytes(credentials.certificate)
    (folder / CA_FILE).write_bytes(credentials.ca)
    return folder


def samples_of(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getsampwidth(), file.getnchannels()) == (16000, 2, 1)
        return file.readframes(file.getnframes())


def test_without_consent_to_keep_nothing_is_written_and_the_audio_is_counted(shared):
    with Device(shared.port, shared.folder) as device:
        device.say(SPEECH, share=True)
        stop = shared.wait("stream-stop")
    assert stop["samples"] * 2 == stop["bytes"] == len(SPEECH)
    assert stop["sha256"] == hashlib.sha256(SPEECH).hexdigest()
    assert stop["recording"] is None and stop["reason"] == "audio-stop"
    assert audio_files(shared.data) == []
    assert [p.name for p in shared.data.glob("*.json")] == ["devices.json"]


def test_consented_audio_is_kept_sample_for_sample_and_privately(data):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        device.send(protocol.DETECTION, {"name": "okay_nabu"})
        device.say(SPEECH, keep=True, preroll_ms=200)
        recording = receiver.wait("stream-stop")["recording"]
    wav, facts = data / f"{recording}.wav", data / f"{recording}.json"
    assert samples_of(wav) == SPEECH
    known = json.loads(facts.read_text())
    assert known["samples"] * 2 == len(SPEECH) and known["wake_word"] == "okay_nabu"
    assert known["preroll_ms"] == 200 and known["share_for_training"] is False
    text = facts.read_text()
    assert "kitchen" not in text and STREAM not in text and "127.0.0.1" not in text
    for path in (wav, facts, *(data / "authority").iterdir(), *folder.glob("*.der")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    for path in (data, data / "authority", folder):
        assert stat.S_IMODE(path.stat().st_mode) == 0o700, path


def test_consent_holds_for_one_stream_only(shared):
    with Device(shared.port, shared.folder) as device:
        device.say(SPEECH[:640])
        shared.wait("stream-stop")
        device.send(protocol.AUDIO_START, FORM)
        assert device.expect(protocol.ERROR).data["text"] == "audio-start without consent"
        assert device.is_hung_up()
    shared.wait("disconnected", reason="protocol: audio-start without consent")


@pytest.mark.parametrize(
    "opening, words",
    [
        ([(protocol.AUDIO_START, FORM)], "audio-start without consent"),
        ([(protocol.AUDIO_CHUNK, FORM, b"ab")], "audio-chunk outside a stream"),
        ([(protocol.AUDIO_STOP,)], "audio-stop outside a stream"),
        ([(protocol.STOP, {"stream": STREAM})], "stop comes from receivers only"),
        ([(f"unknown-{i}",) for i in range(101)], "more than 100 messages of unknown type"),
    ],
)
def test_messages_out_of_order_end_the_connection(shared, opening, words):
    with Device(shared.port, shared.folder) as device:
        for message in opening:
            device.send(*message)
        assert device.expect(protocol.ERROR).data["text"] == words
        assert device.is_hung_up()
    shared.wait("disconnected", reason="protocol: " + words)
    assert audio_files(shared.data) == []


@pytest.mark.parametrize(
    "bad, words",
    [
        (b"x" * 1025, "header longer than 1024 bytes"),
        (b"nonsense\n", "header is not JSON"),
        (b'{"type":"ping","data_length":4097}\n', "data_length above 4096"),
        (b'{"type":"audio-chunk","payload_length":65537}\n', "payload_length above 65536"),
        (b'{"type":"ping","data_length":-1}\n', "data_length is not a length"),
        (b'{"type":"\\u0000"}\n', "type is not a name"),
        (b"[" * 1000 + b"\n", "header nested deeper than 8"),
        (b"\x00\n", "header with a control character"),
        (b'{"type":"consent","data":{"stream":1}}\n', "consent: stream is not as documented"),
    ],
)
def test_malformed_and_oversized_messages_drop_the_running_stream(shared, bad, words):
    with Device(shared.port, shared.folder) as device:
        device.consent(keep=True)
        device.send(protocol.AUDIO_START, FORM)
        device.audio(SPEECH[:3200])
        device.socket.sendall(bad)
        assert device.expect(protocol.ERROR).data["text"] == words
        assert device.is_hung_up()
    stop = shared.wait("stream-stop")
    assert stop["recording"] is None and stop["bytes"] == 3200
    assert audio_files(shared.data) == []


def test_a_connection_that_breaks_within_a_stream_leaves_nothing(shared):
    device = Device(shared.port, shared.folder)
    device.consent(keep=True)
    device.send(protocol.AUDIO_START, FORM)
    device.audio(SPEECH[:3200])
    device.socket.sendall(protocol.encode(protocol.AUDIO_CHUNK, FORM, SPEECH[:320])[:200])
    device.socket.close()
    stop = shared.wait("stream-stop")
    assert stop["recording"] is None and stop["bytes"] == 3200
    assert audio_files(shared.data) == []


def test_a_stream_without_audio_times_out(shared):
    with Device(shared.port, shared.folder) as device:
        device.consent(keep=True)
        device.send(protocol.AUDIO_START, FORM)
        device.audio(SPEECH[:320])
        began_s = time.monotonic()
        while time.monotonic() < began_s + 3:
            device.send(protocol.PING)  # a sign of life is not audio
            device.expect(protocol.PONG)
            time.sleep(0.3)
        assert device.is_hung_up()
        assert time.monotonic() - began_s < 8
    assert shared.wait("stream-stop")["recording"] is None


def test_too_long_a_stream_is_stopped_at_its_limit(shared):
    long = bytes(2 * 32000 + 320)
    with Device(shared.port, shared.folder) as device:
        device.consent()
        device.send(protocol.AUDIO_START, FORM)
        device.audio(long[:-320])
        device.send(protocol.PING)
        device.expect(protocol.PONG)  # exactly the limit is allowed
        device.audio(long[-320:])
        assert device.expect(protocol.STOP).data == {"stream": STREAM}
        stop = shared.wait("stream-stop")
        assert stop["reason"] == "too long" and stop["bytes"] == 2 * 32000
        device.audio(bytes(640))  # was on its way
        device.send(protocol.AUDIO_STOP)
        device.say(SPEECH[:320], stream="f" * 16)
        assert shared.wait("stream-stop")["stream"] == "f" * 16


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
        shared.command("send unmute")
        device.expect("unmute")
        shared.command("send no name")
        assert "no name" in shared.wait("warning")["message"]
        for words, said in (
            ("mut", "unknown command 'mut'; it is mute, stop, or send TYPE"),
            ("send", "unknown command 'send'"),
            ("stop", "nothing to stop: no stream is running"),
        ):
            shared.command(words)
            assert said in shared.wait("warning")["message"]
    shared.wait("disconnected")
    shared.command("mute")
    assert shared.wait("warning")["message"] == "'mute' reached nobody: no device is connected"


def test_a_ping_is_answered_with_its_text(shared):
    with Device(shared.port, shared.folder) as device:
        device.send(protocol.PING)
        device.expect(protocol.PONG)
        device.send(protocol.PING, {"text": "hello"})
        assert device.expect(protocol.PONG).data == {"text": "hello"}


def refused_handshake(receiver, reason, make):
    """`make()` connects and talks; it must fail, and the receiver must say why."""
    try:
        with make() as device:
            device.send(protocol.PING)
            assert device.socket.recv(100) == b""
    except OSError:  # ssl.SSLError is one
        pass
    refusal = receiver.wait("refused")
    assert reason in refusal["reason"], refusal


def test_who_is_refused(shared, tmp_path):
    port, folder = shared.port, shared.folder
    other = new_device(tmp_path / "other", "kitchen")
    refused_handshake(
        shared,
        "no certificate",
        lambda: Device(port, folder, tls_context(folder, has_certificate=False)),
    )
    stranger = tls_context(other)
    stranger.check_hostname = False
    stranger.verify_mode = 0
    refused_handshake(shared, "not ours", lambda: Device(port, None, stranger))
    # A device with the right certificate that trusts another authority hangs up by itself.
    doubting = tls_context(other)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        Device(port, None, doubting)
    refusal = shared.wait("refused")["reason"]
    assert "does not know our certificate" in refusal and "another --data?" in refusal
    # The receiver's own certificate is none of a device.
    with_receivers = tls_context(folder, has_certificate=False)
    own = shared.data / "authority"
    with_receivers.load_cert_chain(own / "receiver.cert.pem", own / "receiver.key.pem")
    refused_handshake(shared, "not ours", lambda: Device(port, folder, with_receivers))
    old = tls_context(folder)
    with pytest.warns(DeprecationWarning):
        old.maximum_version = old.minimum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    refused_handshake(shared, "below 1.2", lambda: Device(port, folder, old))
    for words in (protocol.encode(protocol.PING), b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(words)
            try:
                while data := plain.recv(100):
                    assert b"pong" not in data and b"HTTP" not in data
            except ConnectionError:
                pass
        shared.wait("refused", reason="not TLS")
    with Device(port, folder) as device:  # it goes on serving
        device.send(protocol.PING)
        device.expect(protocol.PONG)


def test_a_wrong_name_is_refused_by_the_device(data):
    folder = new_device(data, "kitchen")
    with receiving(data, "--name", "another.example") as receiver:
        with pytest.raises(OSError, match="Hostname mismatch"):
            Device(receiver.port, folder)
    with receiving(data) as receiver:
        assert receiver.events[0]["name"] == "another.example"  # it stays


def test_a_removed_device_is_refused_while_the_receiver_runs(data):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver:
        with Device(receiver.port, folder) as device:
            device.send(protocol.PING)
            device.expect(protocol.PONG)
        assert earnest(data, "devices", "remove", "kitchen").returncode == 0
        refused_handshake(receiver, "list of devices", lambda: Device(receiver.port, folder))


def test_a_damaged_list_of_devices_lets_nobody_in(data):
    folder = new_device(data, "kitchen")
    good = (data / "devices.json").read_bytes()
    with receiving(data) as receiver:
        (data / "devices.json").write_text("nonsense")
        refused_handshake(receiver, "damaged", lambda: Device(receiver.port, folder))
        (data / "devices.json").write_bytes(good)
        with Device(receiver.port, folder) as device:
            device.send(protocol.PING)
            device.expect(protocol.PONG)


def test_it_ends_when_nobody_reads_what_it_tells(data):
    folder = new_device(data, "kitchen")
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "host_tools", "receive", "--data", str(data), "--json"]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", "0"],
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


def test_an_expired_certificate_is_refused(data, monkeypatch):
    monkeypatch.setattr(authority, "DEVICE_DAYS", -1)
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver:
        assert "expires" in receiver.events[0]["message"]
        refused_handshake(receiver, "expired", lambda: Device(receiver.port, folder))


def test_silent_connections_keep_nobody_out_and_are_ended(shared):
    silent = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(40)]
    silent[0].sendall(b"\x16\x03\x01")  # the beginning of a handshake
    began_s = time.monotonic()
    with Device(shared.port, shared.folder) as device:
        device.send(protocol.PING)
        device.expect(protocol.PONG)
    assert time.monotonic() - began_s < 5
    for connection in silent:
        connection.settimeout(15)
        try:
            assert connection.recv(100) == b""
        except ConnectionError:
            pass
        connection.close()
    assert 5 < time.monotonic() - began_s < 15
    shared.wait("refused", reason="too many handshakes at a time; this was the oldest")
    shared.wait("refused", reason="no TLS handshake in time, or hung up during it")


def test_connections_are_limited(data):
    kitchen, office = new_device(data, "kitchen"), new_device(data, "office")
    with receiving(data, "--max-connections", 1) as receiver:
        with Device(receiver.port, kitchen) as device:
            receiver.wait("connected")
            refused_handshake(receiver, "too many", lambda: Device(receiver.port, office))
            device.send(protocol.PING)
            device.expect(protocol.PONG)
        receiver.wait("disconnected")
        with Device(receiver.port, office) as device:
            device.send(protocol.PING)
            device.expect(protocol.PONG)


def test_a_newer_connection_replaces_the_older_one_and_drops_its_stream(data):
    """Of a half-dead connection: its stream is not kept, whatever still arrives on it."""
    folder = new_device(data, "kitchen")
    with receiving(data, "--max-connections", 1) as receiver:
        with Device(receiver.port, folder) as older:
            older.consent(keep=True, share=True)
            older.send(protocol.AUDIO_START, FORM)
            older.audio(SPEECH[:3200])
            receiver.wait("stream-start")
            with Device(receiver.port, folder) as newer:
                wishes = {"keep_recordings": False, "share_for_training": False}
                newer.send(protocol.CONSENT_WITHDRAWN, wishes)
                assert newer.expect(protocol.DELETED).data == {"count": 0}
                stop = receiver.wait("stream-stop")
                assert stop["recording"] is None and "newer connection" in stop["reason"]
                with contextlib.suppress(OSError):
                    older.audio(SPEECH[:3200])
                    older.send(protocol.AUDIO_STOP)
                assert older.is_hung_up()
                newer.say(SPEECH[:640])
                receiver.wait("stream-stop")
    assert audio_files(data) == []


def test_many_connections_of_one_device_keep_no_other_out(data):
    kitchen, office = new_device(data, "kitchen"), new_device(data, "office")
    with receiving(data) as receiver, contextlib.ExitStack() as stack:
        context = tls_context(kitchen)
        for _ in range(9):
            stack.enter_context(Device(receiver.port, kitchen, context))
        with Device(receiver.port, office) as device:
            device.send(protocol.PING)
            device.expect(protocol.PONG)


def test_a_certificate_that_was_renewed_still_withdraws_what_was_kept(data):
    kitchen = new_device(data, "kitchen")
    devices = DeviceList(data / "devices.json")
    signer = authority.open_or_make(data / "authority")
    with receiving(data) as receiver:
        with Device(receiver.port, kitchen) as device:
            device.say(SPEECH[:640], keep=True)
            receiver.wait("stream-stop")
        [old] = devices.all()
        _, credentials = devices.issue("kitchen.new", signer, renews=old)
        devices.remove("kitchen")
        devices.rename("kitchen.new", "kitchen")
        renewed = written(credentials, data.parent / "renewed")
        with Device(receiver.port, renewed) as device:
            wishes = {"keep_recordings": False, "share_for_training": False}
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            assert device.expect(protocol.DELETED).data == {"count": 1}
    assert audio_files(data) == []


@pytest.mark.parametrize("name, is_confirmed", [("kitchen", True), ("hall", False)])
def test_a_device_that_was_removed_and_added_again_finds_its_recordings_or_gets_no_confirmation(
    data, name, is_confirmed
):
    """As after a lost key: under the same name it is the same device, else nobody can tell."""
    first = new_device(data, "kitchen")
    with receiving(data) as receiver:
        with Device(receiver.port, first) as device:
            device.say(SPEECH[:640], keep=True)
            receiver.wait("stream-stop")
        assert earnest(data, "devices", "remove", "kitchen").returncode == 0
        again = data.parent / "again"
        assert earnest(data, "devices", "add", name, "-o", again).returncode == 0
        wishes = {"keep_recordings": False, "share_for_training": False}
        with Device(receiver.port, again) as device:
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            if not is_confirmed:
                assert "not in the list" in receiver.wait("unconfirmed")["reason"]
                device.send(protocol.PING)
                device.expect(protocol.PONG)
                assert len(audio_files(data)) == 1
                assert earnest(data, "recordings", "delete", "--unlisted", "-y").returncode == 0
                device.send(protocol.CONSENT_WITHDRAWN, wishes)
            device.expect(protocol.DELETED)
    assert audio_files(data) == []


def test_what_an_earlier_version_tied_to_a_certificate_is_found_by_its_device(data):
    folder, other = new_device(data, "kitchen"), new_device(data, "office")
    with receiving(data) as receiver:
        with Device(receiver.port, folder) as device:
            device.say(SPEECH[:640], keep=True)
            receiver.wait("stream-stop")
    [wav] = audio_files(data)
    signer = authority.open_or_make(data / "authority")
    facts = json.loads(wav.with_suffix(".json").read_text())
    del facts["device"]
    facts |= {
        "version": 1,
        "consent": signer.consent_tag((folder / CERTIFICATE_FILE).read_bytes()),
        "created": recording.text(time.time() - 60),
    }
    wav.with_suffix(".json").write_text(json.dumps(facts))
    wishes = {"keep_recordings": False, "share_for_training": False}
    with receiving(data) as receiver:
        with Device(receiver.port, other) as device:  # it may be that device's, too
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            receiver.wait("unconfirmed")
        with Device(receiver.port, folder) as device:
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            assert device.expect(protocol.DELETED).data == {"count": 1}
    assert audio_files(data) == []


def test_a_device_that_does_not_read_its_answers_is_hung_up_on(shared):
    with Device(shared.port, shared.folder) as device:
        ping = protocol.encode(protocol.PING, {"text": "x" * 64}) * 500
        device.socket.settimeout(15)
        with pytest.raises(OSError):
            for _ in range(2000):
                device.socket.sendall(ping)
    reason = "hung up"
    while reason == "hung up":  # of the test before, told late
        reason = shared.wait("disconnected")["reason"]
    assert reason in ("timeout", "lost")


def test_withdrawn_consent_deletes_what_was_kept_under_it_and_confirms(data):
    kitchen, office = new_device(data, "kitchen"), new_device(data, "office")
    with receiving(data) as receiver:
        with Device(receiver.port, office) as device:
            device.say(SPEECH[:640], keep=True, share=True)
            others = receiver.wait("stream-stop")["recording"]
        with Device(receiver.port, kitchen) as device:
            for number in range(3):
                device.say(SPEECH[:3200], keep=True, share=True, stream=f"{number:016x}")
                receiver.wait("stream-stop")
            wishes = {"keep_recordings": True, "share_for_training": False}
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            assert device.expect(protocol.DELETED).data == {"count": 0}
            shares = {
                path.stem: json.loads(path.read_text())["share_for_training"]
                for path in data.glob("*.json")
                if path.name != "devices.json"
            }
            assert len(shares) == 4 and [id for id in shares if shares[id]] == [others]
            # In the middle of a stream it holds for that stream, too.
            device.consent(keep=True)
            device.send(protocol.AUDIO_START, FORM)
            device.audio(SPEECH[:3200])
            wishes = {"keep_recordings": False, "share_for_training": False}
            device.send(protocol.CONSENT_WITHDRAWN, wishes)
            assert device.expect(protocol.DELETED).data == {"count": 3}
            assert [path.stem for path in audio_files(data)] == [others]
            device.audio(SPEECH[:3200])
            device.send(protocol.AUDIO_STOP)
            assert receiver.wait("stream-stop")["recording"] is None
    assert [path.stem for path in audio_files(data)] == [others]
    assert recordings_in(data) == sorted([f"{others}.wav", f"{others}.json", "devices.json"])


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
    (data / f"{ids[0]}.wav").write_bytes(b"RIFF damaged")
    done = earnest(data, "recordings", "export", ids[0], tmp_path / "x.wav")
    assert done.returncode == 2 and "damaged" in done.stderr
    assert not (tmp_path / "x.wav").exists()
    (data / "mine.wav").write_bytes(b"not ours")
    assert json.loads(
        earnest(data, "recordings", "delete", "--all", "--yes", "--json").stdout
    ) == {"deleted": 2, "left": []}
    assert recordings_in(data) == ["devices.json", "mine.wav"]
    assert earnest(data, "recordings", "list").stdout == "none\n"


def test_recordings_expire_and_those_without_sound_facts_go(data):
    folder = new_device(data, "kitchen")
    with receiving(data, "--keep-days", 10) as receiver, Device(receiver.port, folder) as device:
        ids = []
        for number in range(4):
            device.say(SPEECH[:640], keep=True, stream=f"{number:016x}")
            ids.append(receiver.wait("stream-stop")["recording"])
    for id, changes in (
        (ids[0], {"expires": "2020-01-01T00:00:00Z"}),
        (ids[1], {"created": "2020-01-01T00:00:00Z"}),
        (ids[2], {"version": 9}),
    ):
        path = data / f"{id}.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    (data / ("e" * 16 + ".wav")).write_bytes(b"an orphan")
    (data / ("." + "e" * 16 + ".wav.1234abcd.part")).write_bytes(b"half written")
    with receiving(data, "--keep-days", 10) as receiver:
        counts = [receiver.wait("deleted")["count"] for _ in range(2)]
        assert counts == [2, 2], counts
    assert recordings_in(data) == sorted([f"{ids[3]}.wav", f"{ids[3]}.json", "devices.json"])
    assert list(data.glob(".*")) == []


def test_a_deletion_that_fails_is_never_confirmed_and_the_rest_goes(data):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        ids = []
        for number in range(3):
            device.say(SPEECH[:640], keep=True, stream=f"{number:016x}")
            ids.append(receiver.wait("stream-stop")["recording"])
        stuck = data / f"{ids[0]}.wav"
        stuck.unlink()
        stuck.mkdir()
        (stuck / "within").touch()  # so that it cannot be removed
        wishes = {"keep_recordings": False, "share_for_training": False}
        device.send(protocol.CONSENT_WITHDRAWN, wishes)
        assert receiver.wait("deleted")["count"] == 2
        assert str(stuck) in receiver.wait("unconfirmed")["reason"]
        device.send(protocol.PING)
        device.expect(protocol.PONG)  # and no `deleted` before it
        assert recordings_in(data) == sorted([f"{ids[0]}.json", f"{ids[0]}.wav", "devices.json"])
        (stuck / "within").unlink()
        device.send(protocol.CONSENT_WITHDRAWN, wishes)
        assert device.expect(protocol.DELETED).data == {"count": 1}
    assert recordings_in(data) == ["devices.json"]


def test_a_disk_that_is_full_keeps_nothing_and_the_device_goes_on(data):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        device.say(SPEECH[:640], keep=True)
        receiver.wait("stream-stop")
        for path in data.glob("*.wav"):
            path.unlink()
        data.rename(data.parent / "gone")  # as a disk that was pulled
        data.touch()
        device.say(SPEECH[:640], keep=True, stream="1" * 16)
        assert "not kept" in receiver.wait("warning")["message"]
        assert receiver.wait("stream-stop")["recording"] is None
        device.send(
            protocol.CONSENT_WITHDRAWN, {"keep_recordings": False, "share_for_training": False}
        )
        receiver.wait("unconfirmed")
        device.send(protocol.PING)
        device.expect(protocol.PONG)  # and no `deleted` before it


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


def test_plain_text_only_if_insecure_is_said(data):
    with receiving(data, "--insecure") as receiver:
        told = [event["event"] for event in receiver.events]
        assert told == ["ca", "warning", "listening"] and not receiver.events[2]["is_secure"]
        with Device(receiver.port, None) as device:
            device.say(SPEECH[:640], keep=True)
            stop = receiver.wait("stream-stop")
            assert samples_of(data / f"{stop['recording']}.wav") == SPEECH[:640]
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as tls:
            tls.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(1100))
            assert b"error" in tls.recv(1000)


def test_a_port_in_use_and_a_list_without_devices_say_what_to_do(shared, data):
    done = earnest(data, "receive", "--host", "127.0.0.1", "--port", shared.port)
    assert done.returncode == 2 and "is another `earnest receive` running?" in done.stderr
    assert "no device may connect yet: `earnest provision`" in " ".join(done.stdout.split())


def test_bad_input_on_the_command_line(data, tmp_path):
    (tmp_path / "file").write_text("")
    (data / "authority").mkdir(parents=True)
    for arguments, words in (
        (["receive", "--stt", "http://x"], "is not a tcp:// address"),
        (["receive", "--stt", "tcp://x"], "is not a tcp:// address"),
        (["receive", "--name", "a b"], "cannot be a receiver's name"),
        (["receive", "--host", "203.0.113.1", "--port", "0"], "cannot listen on 203.0.113.1"),
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


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_keep_alive_on_the_wire_fits_the_documented_budget(shared, version):
    """Bytes of the TLS records for a ping and its pong, and nothing besides them."""
    context = tls_context(shared.folder)
    context.minimum_version = context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="earnest-receiver")
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as wire:
        counts = {"sent": 0, "received": 0}

        def pump(action):
            """Call `action` until it needs nothing more from the wire; returns its result."""
            while True:
                try:
                    result, is_done = action(), True
                except ssl.SSLWantReadError:
                    result, is_done = None, False
                data = outgoing.read()
                wire.sendall(data)
                counts["sent"] += len(data)
                if is_done:
                    return result
                data = wire.recv(65536)
                counts["received"] += len(data)
                incoming.write(data)

        pump(tls.do_handshake)
        ping = protocol.encode(protocol.PING)
        for number in range(3):
            counts.update(sent=0, received=0)
            pump(lambda: tls.write(ping))
            assert protocol.encode(protocol.PONG) == pump(lambda: tls.read(4096))
            # Twice a minute in each direction: 256 bytes.
            assert 2 * (counts["sent"] + counts["received"]) <= 256, (number, counts)
            assert counts["sent"] > 35 and counts["received"] > 35
