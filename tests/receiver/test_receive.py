"""The real receiver process over real TLS: streams, what is kept of them, limits on messages."""

import hashlib
import json
import stat
import time

import pytest

from firmware.satellite import protocol
from tests.fakes.receivers import (
    FORM,
    SPEECH,
    STREAM,
    Device,
    audio_files,
    kept_wav,
    new_device,
    receiving,
    samples_of,
)


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
    sealed, facts = data / f"{recording}.sealed", data / f"{recording}.json"
    assert samples_of(kept_wav(data, recording)) == SPEECH
    assert SPEECH[:64] not in sealed.read_bytes() and SPEECH[-64:] not in sealed.read_bytes()
    known = json.loads(facts.read_text())
    assert known["samples"] * 2 == len(SPEECH) and known["wake_word"] == "okay_nabu"
    assert known["preroll_ms"] == 200 and known["share_for_training"] is False
    text = facts.read_text()
    assert "kitchen" not in text and STREAM not in text and "127.0.0.1" not in text
    for path in (
        sealed,
        facts,
        *data.glob("*.sqlite*"),
        *(data / "authority").iterdir(),
        *folder.glob("*.der"),
    ):
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


def test_a_ping_is_answered_with_its_text(shared):
    with Device(shared.port, shared.folder) as device:
        device.send(protocol.PING)
        device.expect(protocol.PONG)
        device.send(protocol.PING, {"text": "hello"})
        assert device.expect(protocol.PONG).data == {"text": "hello"}


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
