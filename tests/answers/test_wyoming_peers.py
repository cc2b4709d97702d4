"""Handle services and text-to-speech: real Wyoming servers, and hostile ones."""

import asyncio
import json
import re
from contextlib import asynccontextmanager

import numpy as np
import pytest
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.handle import Handled, HandledChunk, HandledStart, HandledStop, NotHandled
from wyoming.server import AsyncEventHandler, AsyncTcpServer

from host_tools.answers import voice, wyoming_peer
from host_tools.answers.voice import Voice
from host_tools.answers.wyoming_peer import PeerError

TONE = (np.sin(np.arange(22050) * 2 * np.pi * 440 / 22050) * 10000).astype("<i2")


class Service(AsyncEventHandler):
    """A handle service and a voice: what it says depends on the text."""

    async def handle_event(self, event):
        if event.type == "transcript":
            text = event.data["text"]
            if text == "in pieces":
                await self.write_event(HandledStart().event())
                for piece in ("turned ", "on"):
                    await self.write_event(HandledChunk(piece).event())
                await self.write_event(HandledStop().event())
            elif text == "not mine":
                await self.write_event(NotHandled("sorry").event())
            else:
                await self.write_event(Handled(f"done: {text} \x1b[31m\n\u202e🍕").event())
        elif event.type == "synthesize":
            rate, channels = (16000, 1) if "plain" in event.data["text"] else (22050, 2)
            samples = TONE if channels == 1 else np.repeat(TONE, 2)
            await self.write_event(AudioStart(rate, 2, channels).event())
            content = samples.tobytes()
            for at in range(0, len(content), 999):  # splits samples
                chunk = AudioChunk(rate, 2, channels, content[at : at + 999])
                await self.write_event(chunk.event())
            await self.write_event(AudioStop().event())
        return True


@asynccontextmanager
async def service():
    server = AsyncTcpServer("127.0.0.1", 0)
    await server.start(Service)
    yield server._server.sockets[0].getsockname()[:2]
    await server.stop()


@asynccontextmanager
async def hostile(words):
    async def serve(reader, writer):
        await reader.readuntil(b"\n")
        for _ in range(1 if isinstance(words, bytes) else 10_000):
            writer.write(words if isinstance(words, bytes) else words[0])
            await writer.drain()
        if not words:
            await asyncio.sleep(30)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[:2]
    server.close()


@pytest.mark.parametrize(
    "text, reply",
    [
        ("größer", "done: größer [31m 🍕"),
        ("in pieces", "turned on"),
        ("not mine", None),
    ],
)
def test_a_handle_service_answers(text, reply):
    async def main():
        async with service() as address:
            return await wyoming_peer.handle(address, text)

    assert asyncio.run(main()) == reply


HEADER = b'{"type": "audio-start", "data": {"rate": 16000, "width": 2, "channels": 1}}\n'
BAD = [
    (b"", "takes too long"),
    (b"\n", "header is not JSON"),
    (b"x" * 70000, "header longer than"),
    (b'{"type": "handled", "data": {"text": 7}}\n', "handled without text|hung up"),
    (b'{"type": "handled", "payload_length": -1}\n', "payload_length is not a length"),
    (b'{"type": "audio-chunk", "payload_length": 9999999}\n', "payload_length is not a length"),
    (b'{"type": "info"}\n', "hung up"),
    ([b'{"type": "info"}\n' * 100], "sends more than 10000 events"),
]


@pytest.mark.parametrize("words, reason", BAD)
def test_a_bad_handle_service_is_told(words, reason, monkeypatch):
    monkeypatch.setattr(wyoming_peer, "EVENT_S", 0.3)
    monkeypatch.setattr(wyoming_peer, "HANDLE_S", 5.0)

    async def main():
        async with hostile(words) as address:
            await wyoming_peer.handle(address, "hello")

    with pytest.raises(PeerError, match=reason):
        asyncio.run(main())


async def spoken(server, text, warnings=None):
    says = Voice(server, ([] if warnings is None else warnings).append)
    return [piece async for piece in says.say(text)]


def test_a_servers_voice_is_played_as_it_comes_or_converted():
    async def main():
        async with service() as address:
            return await spoken(address, "plain"), await spoken(address, "stereo")

    plain, stereo = asyncio.run(main())
    assert b"".join(plain) == TONE.tobytes() and all(len(piece) % 2 == 0 for piece in plain)
    converted = np.frombuffer(b"".join(stereo), "<i2")
    assert converted.size == 16000
    spectrum = np.abs(np.fft.rfft(converted))
    assert np.argmax(spectrum) == 440 and 9000 < np.max(np.abs(converted)) < 11000


@pytest.mark.parametrize(
    "words, reason",
    [
        *[bad for bad in BAD if bad[0] != BAD[3][0]],
        (b'{"type": "audio-chunk"}\n', "audio before audio-start"),
        (HEADER.replace(b"16000", b'"1"'), "audio of '1' Hz"),
        (HEADER.replace(b"16000", b"48001"), "audio of 48001 Hz"),
        (HEADER.replace(b'"width": 2', b'"width": 4'), "4 bytes"),
        (HEADER.replace(b'"channels": 1', b'"channels": 3'), "3 channels"),
        (HEADER, "hung up before the end"),
    ],
)
def test_a_bad_voice_is_told_and_espeak_speaks(words, reason, monkeypatch):
    monkeypatch.setattr(wyoming_peer, "EVENT_S", 0.3)
    warnings = []

    async def main():
        async with hostile(words) as address:
            return await spoken(address, "it is ten past nine", warnings)

    pieces = asyncio.run(main())
    assert len(b"".join(pieces)) > 16000
    assert len(warnings) == 1 and re.search(reason, warnings[0])


def test_a_flood_of_audio_ends_at_its_limit():
    chunk = json.dumps({"type": "audio-chunk", "payload_length": 100_000}).encode() + b"\n"

    async def main(words):
        async with hostile(words) as address:
            return await spoken(address, "plain", warnings)

    warnings = []
    flood = HEADER + (chunk + bytes(100_000)) * 12
    assert len(b"".join(asyncio.run(main(flood)))) == voice.MAX_S * 16000 * 2
    assert warnings == []
    again = HEADER + chunk + bytes(100_000)  # a start for each would count anew
    assert len(b"".join(asyncio.run(main([again])))) == 100_000
    assert warnings == ["text-to-speech: audio-start within audio"]


def test_nobody_there_and_nothing_to_say():
    warnings = []
    assert asyncio.run(spoken(("127.0.0.1", 1), "hello", warnings))
    assert warnings == ["text-to-speech: cannot reach the service at 127.0.0.1:1"]
    assert asyncio.run(spoken(None, " \n ")) == []


def test_a_long_text_is_cut_after_a_word():
    assert voice.shorten("word " * 200) == ("word " * 90).strip()
    assert voice.shorten("x" * 1000) == "x" * voice.MAX_TEXT_CHARACTERS
