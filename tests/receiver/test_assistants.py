"""What assistants are told, in which order, and that one that fails hurts nobody else."""

from __future__ import annotations

import pytest

from firmware.satellite import protocol
from host_tools.receiver.assistant import Assistant, ConnectionLost, SpeakRefused
from tests.fakes.receivers import FORM, SPEECH, STREAM, Device, new_device, serving


class Scribe(Assistant):
    """Writes down what it is told."""

    def __init__(self):
        self.heard = bytearray()
        self.calls = []
        self.satellites = []
        self.host = None

    def begin(self, host):
        self.host = host
        self.calls.append("begin")

    def connected(self, satellite):
        self.satellites.append(satellite)
        self.calls.append(f"connected {satellite.name} {satellite.status}")

    def disconnected(self, satellite):
        self.calls.append(f"disconnected {self.satellites.index(satellite)}")

    def stream_started(self, satellite, stream, wake_word):
        self.calls.append(f"started {stream} {wake_word}")

    def stream_audio(self, satellite, stream, audio):
        assert stream == STREAM
        self.heard += audio

    def stream_ended(self, satellite, stream, is_complete):
        self.calls.append(f"ended {stream} {is_complete}")


class Failing(Scribe):
    def stream_started(self, satellite, stream, wake_word):
        self.host.start(self.fail_later())
        raise RuntimeError("at the start")

    def stream_audio(self, satellite, stream, audio):
        raise ValueError("at every chunk")

    async def fail_later(self):
        raise KeyError("later")


class Broken(Scribe):
    def begin(self, host):
        raise OSError("no port")


async def nothing():
    return
    yield b""


@pytest.fixture
def kitchen(tmp_path):
    """(data, folder) of a receiver and its device."""
    return tmp_path / "data", new_device(tmp_path / "data", "kitchen")


def test_a_stream_is_told_from_its_wake_word_to_its_end(kitchen):
    scribe = Scribe()
    with serving(kitchen[0], scribe) as receiver, Device(receiver.port, kitchen[1]) as device:
        device.consent()
        device.send(protocol.DETECTION, {"name": "okay_nabu"})
        device.send(protocol.AUDIO_START, FORM)
        device.audio(SPEECH)
        device.send(protocol.AUDIO_STOP)
        receiver.wait("stream-stop")
        device.socket.close()
        receiver.wait("disconnected")
    assert bytes(scribe.heard) == SPEECH
    assert scribe.calls == [
        "begin",
        "connected kitchen None",
        f"started {STREAM} okay_nabu",
        f"ended {STREAM} True",
        "disconnected 0",
    ]


def test_one_that_fails_is_told_and_hurts_nobody(kitchen):
    scribe, failing, broken = Scribe(), Failing(), Broken()
    with serving(kitchen[0], broken, failing, scribe) as receiver:
        with Device(receiver.port, kitchen[1]) as device:
            device.say(SPEECH)
            assert receiver.wait("stream-stop")["bytes"] == len(SPEECH)
            device.send(protocol.PING)
            device.expect(protocol.PONG)
        receiver.wait("disconnected", reason="hung up")
    assert bytes(scribe.heard) == SPEECH and len(scribe.calls) == 5
    assert broken.calls == []  # what did not begin is told nothing
    told = [t["reason"].partition(" (")[0] for t in receiver.told if "assistant" in t]
    assert sorted(told) == [
        "KeyError: 'later'",
        "OSError: no port",
        "RuntimeError: at the start",
        "ValueError: at every chunk",  # once, not fifty times
    ]


def test_a_newer_connection_replaces_the_older_one_also_for_assistants(kitchen):
    scribe = Scribe()
    with serving(kitchen[0], scribe) as receiver, Device(receiver.port, kitchen[1]) as old:
        old.consent()
        old.send(protocol.AUDIO_START, FORM)
        receiver.wait("stream-start")
        with Device(receiver.port, kitchen[1]) as new:
            new.send(protocol.PING)
            new.expect(protocol.PONG)
    assert scribe.calls[2:] == [
        f"started {STREAM} None",
        f"ended {STREAM} False",
        "disconnected 0",
        "connected kitchen None",
        "disconnected 1",
    ]
    first, second = scribe.satellites
    assert first.id == second.id and first is not second
    with pytest.raises(ConnectionLost):
        first.mute().send(None)  # at once: the receiver has ended


def test_an_assistant_ends_the_stream_that_it_means(kitchen):
    scribe = Scribe()
    with serving(kitchen[0], scribe) as receiver, Device(receiver.port, kitchen[1]) as device:
        device.consent()
        device.send(protocol.AUDIO_START, FORM)
        receiver.wait("stream-start")
        [satellite] = scribe.satellites
        receiver.call(call(satellite.end_stream, "0" * 16))
        device.audio(SPEECH[:640])
        receiver.call(call(satellite.end_stream, STREAM))
        assert device.expect(protocol.STOP).data == {"stream": STREAM}
        device.send(protocol.AUDIO_STOP)
        assert receiver.wait("stream-stop")["reason"] == "enough was heard"
        assert scribe.calls[-1] == f"ended {STREAM} True"


async def call(function, *arguments):
    function(*arguments)


def test_older_firmware_gets_no_message_that_it_does_not_know(kitchen):
    scribe = Scribe()
    with serving(kitchen[0], scribe) as receiver, Device(receiver.port, kitchen[1]) as device:
        device.send(protocol.PING)
        device.expect(protocol.PONG)
        [satellite] = scribe.satellites
        assert satellite.status is None
        for asked in (
            satellite.speak("reply", nothing(), stream=STREAM),
            satellite.chime("timer"),
            satellite.set_volume(10),
        ):
            with pytest.raises(SpeakRefused, match="older-firmware"):
                receiver.call(asked)
        receiver.call(satellite.stop_speaking())
        receiver.call(satellite.mute())
        assert device.expect(protocol.MUTE).data == {}  # and nothing before it
