"""Whole conversations: the receiver in this process, over TLS, with devices of few lines."""

import asyncio
import threading
import time
from contextlib import contextmanager

import pytest
from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStop
from wyoming.server import AsyncEventHandler, AsyncTcpServer

from firmware.satellite import protocol
from host_tools.answers import setup
from host_tools.answers.timers import read
from host_tools.audio import speech
from tests.fakes.answers import FakeClock
from tests.fakes.receivers import STREAM, Device, new_device, serving, streams_of


class Dictation(AsyncEventHandler):
    """A speech-to-text server that takes the audio's bytes for the words."""

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.heard = b""

    async def handle_event(self, event):
        if AudioChunk.is_type(event.type):
            self.heard += AudioChunk.from_event(event).audio
        elif AudioStop.is_type(event.type):
            await self.write_event(Transcript(self.heard.decode()).event())
        return True


@contextmanager
def dictation():
    loop = asyncio.new_event_loop()
    server = AsyncTcpServer("127.0.0.1", 0)
    loop.run_until_complete(server.start(Dictation))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server._server.sockets[0].getsockname()[:2]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


def words(text):
    """Audio of an even length that the server above takes for these words."""
    content = text.encode()
    return content + b" " * (len(content) % 2)


def answer(device, ms=500, why="end"):
    """Take the reply: its request, and its audio."""
    asked = device.accept(credit=protocol.MAX_CREDIT_BYTES)
    device.expect(protocol.AUDIO_START)
    heard = b""
    while (event := device.next()).type == protocol.AUDIO_CHUNK:
        heard += event.payload
        device.send(protocol.CREDIT, {"id": asked["id"], "bytes": len(event.payload)})
    assert event.type == protocol.AUDIO_STOP
    device.send(protocol.PLAYED, {"id": asked["id"], "ms": ms, "why": why})
    return asked, heard


def said(text):
    return speech.synthesise(text, "en-us", 150).astype("<i2").tobytes()


def test_what_time_is_it_with_the_built_in_engine_and_voice(tmp_path):
    pytest.importorskip("moonshine_cpp")
    data = tmp_path / "data"
    folder = new_device(data, "kitchen")
    answers = setup.local_answers(data, clock=FakeClock())
    with serving(data, answers) as receiver, Device(receiver.port, folder) as device:
        device.tell_status()
        device.say(speech.synthesise("what time is it").tobytes())
        asked, heard = answer(device)
        assert (asked["kind"], asked["stream"]) == ("reply", STREAM)
        assert heard == said("It is ten past nine.")
        told = receiver.wait("transcript")
        assert told["text"] == "What time is it?" and told["device"] == "kitchen"
        assert receiver.wait("answer")["text"] == "It is ten past nine."


@pytest.fixture
def house(tmp_path):
    """Two devices, a receiver with answers, and a server that takes dictation."""
    data = tmp_path / "data"
    folders = [new_device(data, name) for name in ("kitchen", "hall")]
    clock = FakeClock()
    with dictation() as stt:
        answers = setup.local_answers(data, stt=stt, clock=clock)
        with serving(data, answers) as receiver:
            with Device(receiver.port, folders[0]) as kitchen:
                with Device(receiver.port, folders[1]) as hall:
                    for device in (kitchen, hall):
                        device.tell_status(timers=True)
                    receiver.data, receiver.clock, receiver.folders = data, clock, folders
                    yield receiver, kitchen, hall


def test_two_devices_at_once_get_their_own_answers(house):
    _, kitchen, hall = house
    for device in (kitchen, hall):
        device.consent(stream=("1" if device is kitchen else "2") * 16)
        device.send(protocol.AUDIO_START, {"rate": 16000, "width": 2, "channels": 1})
    kitchen.audio(words("what time is it"))
    hall.audio(words("what is the date"))
    for device in (hall, kitchen):
        device.send(protocol.AUDIO_STOP)
    asked, heard = answer(kitchen)
    assert asked["stream"] == "1" * 16 and heard == said("It is ten past nine.")
    asked, heard = answer(hall)
    assert asked["stream"] == "2" * 16
    assert heard == said("It is Saturday, the twenty-eighth of November.")


def begin(device, stream, word):
    device.consent(stream=stream)
    device.send(protocol.DETECTION, {"name": word})
    device.send(protocol.AUDIO_START, {"rate": 16000, "width": 2, "channels": 1})


def test_of_two_devices_that_hear_one_wake_word_one_answers(house):
    receiver, kitchen, hall = house
    begin(kitchen, "1" * 16, "okay_nabu")
    receiver.wait("stream-start", device="kitchen")
    begin(hall, "2" * 16, "okay_nabu")
    assert hall.expect(protocol.STOP).data == {"stream": "2" * 16}
    hall.send(protocol.AUDIO_STOP)
    told = receiver.wait("unanswered", device="hall")
    assert told["reason"] == "kitchen heard the same wake word"
    kitchen.audio(words("what time is it"))
    kitchen.send(protocol.AUDIO_STOP)
    assert answer(kitchen)[1] == said("It is ten past nine.")
    hall.send(protocol.PING, {"text": "quiet"})
    assert hall.expect(protocol.PONG).data == {"text": "quiet"}
    fates = {row.device_name: row.fates for row in streams_of(receiver.data, 2)}
    assert fates == {"kitchen": ("forwarded", "answered"), "hall": ("dropped",)}


def test_two_wake_words_or_some_time_are_two_persons(house, monkeypatch):
    receiver, kitchen, hall = house
    begin(kitchen, "1" * 16, "okay_nabu")
    receiver.wait("stream-start", device="kitchen")
    begin(hall, "2" * 16, "alexa")
    for device in (kitchen, hall):
        device.audio(words("what time is it"))
        device.send(protocol.AUDIO_STOP)
        assert answer(device)[1] == said("It is ten past nine.")
    monkeypatch.setattr("host_tools.answers.assistant.SAME_WORD_S", 0.0)
    begin(kitchen, "3" * 16, "alexa")
    kitchen.audio(words("what time is it"))
    kitchen.send(protocol.AUDIO_STOP)
    assert answer(kitchen)[1] == said("It is ten past nine.")


def test_a_device_that_lost_its_connection_may_say_its_word_again(house):
    receiver, kitchen, _ = house
    begin(kitchen, "1" * 16, "okay_nabu")
    receiver.wait("stream-start", device="kitchen")
    kitchen.socket.close()
    receiver.wait("disconnected", device="kitchen")
    with Device(receiver.port, receiver.folders[0]) as again:
        again.tell_status()
        begin(again, "2" * 16, "okay_nabu")
        again.audio(words("what time is it"))
        again.send(protocol.AUDIO_STOP)
        assert answer(again)[1] == said("It is ten past nine.")


def test_a_timer_rings_where_it_was_set_and_a_press_ends_it(house):
    receiver, kitchen, hall = house
    kitchen.say(words("set a pizza timer for 10 minutes"))
    _, heard = answer(kitchen)
    assert heard == said("Your pizza timer is set for ten minutes.")
    assert [timer.name for timer in read(receiver.data)] == ["pizza"]
    receiver.clock.pass_s(600)
    asked, heard = answer(kitchen)
    assert asked["kind"] == "timer" and heard == said("Your pizza timer is over.")
    chime = kitchen.expect(protocol.CHIME).data
    assert chime["kind"] == "timer"
    kitchen.send(protocol.SPEAK_ACCEPTED, {"id": chime["id"], "credit": 0})
    kitchen.send(protocol.PLAYED, {"id": chime["id"], "ms": 2000, "why": "button"})
    assert receiver.wait("timer-rang")["ended"] == "button"
    assert read(receiver.data) == []
    hall.send(protocol.PING, {"text": "quiet"})
    assert hall.expect(protocol.PONG).data == {"text": "quiet"}


def test_a_timer_lives_through_a_restart_of_the_receiver(tmp_path):
    data, clock = tmp_path / "data", FakeClock()
    folder = new_device(data, "kitchen")
    with dictation() as stt:
        answers = setup.local_answers(data, stt=stt, clock=clock)
        with serving(data, answers) as receiver, Device(receiver.port, folder) as device:
            device.tell_status(timers=True)
            device.say(words("set a timer for 5 minutes"))
            answer(device)
        clock.pass_s(420)
        answers = setup.local_answers(data, stt=stt, clock=clock.restart())
        with serving(data, answers) as receiver, Device(receiver.port, folder) as device:
            device.tell_status(timers=True)
            asked, heard = answer(device, why="button")
            assert asked["kind"] == "timer"
            late = "Your timer was over two minutes ago; I could not tell you then."
            assert heard == said(late)
            assert receiver.wait("timer-rang")["ended"] == "button"


def test_what_was_not_understood_is_said_and_stop_is_silent(house):
    receiver, kitchen, _ = house
    kitchen.say(words("the kettle is on \x1b[31m\u202e"))
    _, heard = answer(kitchen)
    assert heard == said("Sorry, I did not understand that.")
    assert receiver.wait("transcript")["text"] == "the kettle is on [31m"
    kitchen.say(words("stop"), stream="2" * 16)
    assert receiver.wait("answer", stream="2" * 16)["text"] == ""
    kitchen.send(protocol.PING, {"text": "quiet"})
    assert kitchen.expect(protocol.PONG).data == {"text": "quiet"}


def test_a_server_that_cannot_be_reached_ends_with_the_devices_own_sound(tmp_path):
    data = tmp_path / "data"
    folder = new_device(data, "kitchen")
    answers = setup.local_answers(data, stt=("127.0.0.1", 1))
    with serving(data, answers) as receiver, Device(receiver.port, folder) as device:
        device.tell_status()
        device.say(words("what time is it"))
        chime = device.expect(protocol.CHIME).data
        assert (chime["kind"], chime["stream"]) == ("error", STREAM)
        assert "cannot reach" in receiver.wait("transcript-failed")["reason"]


def test_a_stream_that_broke_off_is_forgotten(house):
    receiver, kitchen, _ = house
    kitchen.consent()
    kitchen.send(protocol.AUDIO_START, {"rate": 16000, "width": 2, "channels": 1})
    kitchen.audio(words("set a timer for 5 minutes"))
    kitchen.socket.close()
    receiver.wait("disconnected", device="kitchen")
    time.sleep(0.3)
    assert not [told for told in receiver.told if told["event"] in ("transcript", "answer")]
    assert read(receiver.data) == []


def test_the_program_is_asked_first_and_the_next_when_it_fails(tmp_path):
    data = tmp_path / "data"
    folder = new_device(data, "kitchen")
    program = tmp_path / "answer.sh"
    program.write_text(
        "#!/bin/sh\nread words\n"
        'case "$words" in *light*) echo "Light on in the $EARNEST_DEVICE.";;\n'
        "*time*) exit 1;; *) exit 5;; esac\n"
    )
    program.chmod(0o755)
    with dictation() as stt:
        answers = setup.local_answers(data, stt=stt, run=str(program), clock=FakeClock())
        with serving(data, answers) as receiver, Device(receiver.port, folder) as device:
            device.tell_status()
            for stream, text, reply, by in (
                ("1", "turn on the light", "Light on in the kitchen.", "program"),
                ("2", "what time is it", "It is ten past nine.", "built in"),
                ("3", "the kettle is on", "Sorry, that did not work.", "nobody"),
            ):
                device.say(words(text), stream=stream * 16)
                assert answer(device)[1] == said(reply)
                assert receiver.wait("answer", stream=stream * 16)["by"] == by
            assert "--run: answer.sh ended with status 5" in receiver.wait("warning")["message"]


def test_a_device_without_a_loudspeaker_gets_no_answer_and_no_error(house):
    receiver, kitchen, _ = house
    kitchen.tell_status(speaker=False)
    receiver.wait("status", device="kitchen", speaker=False)
    kitchen.say(words("what time is it"))
    assert receiver.wait("speak-refused", device="kitchen")["why"] == "no-speaker"
    assert not [told for told in receiver.told if told["event"] == "assistant-failed"]
