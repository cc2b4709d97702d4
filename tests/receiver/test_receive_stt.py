"""What becomes of a stream's words: a real Wyoming speech-to-text server, and ones that fail."""

import asyncio
import hashlib
import json
import threading
from contextlib import contextmanager

import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.server import AsyncEventHandler, AsyncTcpServer

from firmware.satellite import protocol
from host_tools.receiver import transcription
from tests.fakes.receivers import FORM, Device, new_device, receiving

SPEECH = bytes(range(256)) * 50


class SpeechToText(AsyncEventHandler):
    """Answers with the SHA-256 of what it heard, in hostile clothes."""

    #: How many streams came to their end, in all connections.
    ends = 0

    def __init__(self, *arguments, **keywords):
        super().__init__(*arguments, **keywords)
        self.heard = b""
        self.seen = []

    async def handle_event(self, event):
        if AudioChunk.is_type(event.type):
            self.heard += AudioChunk.from_event(event).audio
            return True
        self.seen.append(event.type)
        if AudioStop.is_type(event.type):
            SpeechToText.ends += 1
            text = f"turn on \x1b[31mthe light\n{hashlib.sha256(self.heard).hexdigest()} "
            await self.write_event(Transcript(text + " ".join(self.seen)).event())
            return False
        return Transcribe.is_type(event.type) or AudioStart.is_type(event.type)


@contextmanager
def serving(start):
    """Run `await start()` -> asyncio server in a thread; gives its port."""
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()


async def wyoming_server():
    server = AsyncTcpServer("127.0.0.1", 0)
    await server.start(SpeechToText)
    return server._server


def answering(words):
    """A server that waits for the end of the audio and then says `words`."""

    async def handle(reader, writer):
        await reader.readuntil(b"audio-stop")
        writer.write(words)
        writer.close()

    return lambda: asyncio.start_server(handle, "127.0.0.1", 0)


def test_the_words_are_told_and_nothing_is_kept(data):
    folder = new_device(data, "kitchen")
    with serving(wyoming_server) as port, receiving(data, "--stt", f"tcp://127.0.0.1:{port}") as r:
        with Device(r.port, folder) as device:
            for stream in ("1" * 16, "2" * 16):
                device.say(SPEECH, stream=stream)
                told = r.wait("transcript")
                digest = hashlib.sha256(SPEECH).hexdigest()
                words = f"turn on [31mthe light {digest} transcribe audio-start audio-stop"
                assert told["text"] == words and told["stream"] == stream
    assert list(data.glob("*.sealed")) == []


@pytest.mark.parametrize(
    "words, reason",
    [
        (b"", "hung up without a transcript"),
        (b"nonsense\n", "header is not JSON"),
        (b"x" * 70000, "header longer than 65536 bytes"),
        (b'{"type":"transcript","data":{"text":1}}\n', "transcript without text"),
        (b'{"type":"transcript-chunk"}\n', "transcript-chunk without text"),
        (b'{"type":"transcript","payload_length":9999999999}\n', "payload_length is not a length"),
        (b'{"type":"transcript","data_length":1048577}\n', "data_length is not a length"),
        (b'{"type":"transcript","data_length":5}\n{}', "hung up within a message"),
        (b'{"type":', "hung up within a message"),
    ],
)
def test_a_server_that_fails_is_told_and_the_device_goes_on(data, words, reason):
    folder = new_device(data, "kitchen")
    with serving(answering(words)) as port:
        with receiving(data, "--stt", f"tcp://127.0.0.1:{port}") as receiver:
            with Device(receiver.port, folder) as device:
                device.say(SPEECH)
                assert reason in receiver.wait("transcript-failed")["reason"]
                device.send(protocol.PING)
                device.expect(protocol.PONG)


def message(kind, text=None, is_in_header=False):
    """An event as a server writes it: its data behind the header, or within."""
    body = {} if text is None else {"text": text}
    if is_in_header:
        return json.dumps({"type": kind, "data": body}).encode() + b"\n"
    content = json.dumps(body).encode()
    header = {"type": kind, "version": "1.7.2", "data_length": len(content)}
    return json.dumps(header).encode() + b"\n" + content


LONG = "turn on the light and " * 300


@pytest.mark.parametrize(
    "words, text",
    [
        (message("transcript", LONG), LONG[:4000].strip()),
        (message("transcript", LONG, is_in_header=True), LONG[:4000].strip()),
        (
            message("transcript-start")
            + message("transcript-chunk", "turn on ")
            + message("transcript-chunk", "the light")
            + message("transcript-stop"),
            "turn on the light",
        ),
        (
            message("transcript-chunk", "turn on")
            + message("transcript", "Turn on the light.")
            + message("transcript-stop"),
            "Turn on the light.",
        ),
    ],
    ids=["long", "long header", "chunks", "chunks and whole"],
)
def test_long_answers_and_answers_in_chunks(data, words, text):
    folder = new_device(data, "kitchen")
    with serving(answering(words)) as port:
        with receiving(data, "--stt", f"tcp://127.0.0.1:{port}") as receiver:
            with Device(receiver.port, folder) as device:
                device.say(SPEECH)
                assert receiver.wait("transcript")["text"] == text


def test_no_server_at_all(data):
    folder = new_device(data, "kitchen")
    with receiving(data, "--stt", "tcp://127.0.0.1:9") as receiver:
        with Device(receiver.port, folder) as device:
            device.say(SPEECH)
            assert "cannot reach" in receiver.wait("transcript-failed")["reason"]


def test_a_broken_stream_is_not_transcribed(data):
    folder = new_device(data, "kitchen")
    before = SpeechToText.ends
    with serving(wyoming_server) as port, receiving(data, "--stt", f"tcp://127.0.0.1:{port}") as r:
        with Device(r.port, folder) as device:
            device.consent()
            device.send(protocol.AUDIO_START, FORM)
            device.audio(SPEECH[:640])
            r.wait("stream-start")
        r.wait("disconnected")
        with Device(r.port, folder) as device:
            device.say(SPEECH)
            r.wait("transcript")
    told = [json.dumps(event) for event in r.events if "transcript" in event["event"]]
    assert len(told) == 1, told
    assert SpeechToText.ends == before + 1


def test_what_reaches_the_terminal_is_bounded_and_printable():
    assert transcription.clean("a\x00b\x1b]0;x\x07c\u202ed\n\te") == "a b ]0;x c d e"
    assert len(transcription.clean("x" * 5000)) == transcription.MAX_TEXT_CHARACTERS
