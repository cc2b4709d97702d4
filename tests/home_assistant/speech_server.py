"""Speech-to-text and text-to-speech for the test, as Wyoming servers in a thread.

Hears with the engine of `earnest receive --answers`, speaks with espeak-ng.
"""

from __future__ import annotations

import asyncio
import threading

import numpy as np
from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.info import AsrModel, AsrProgram, Attribution, Info, TtsProgram, TtsVoice
from wyoming.server import AsyncEventHandler, AsyncServer
from wyoming.tts import Synthesize

from host_tools.audio import speech

_WHOSE = {
    "attribution": Attribution(name="Earnest", url="https://example.org"),
    "installed": True,
    "description": "for a test",
    "version": "1",
}
INFO = Info(
    asr=[
        AsrProgram(
            name="test-hearing",
            models=[AsrModel(name="model", languages=["en"], **_WHOSE)],
            **_WHOSE,
        )
    ],
    tts=[
        TtsProgram(
            name="test-voice",
            voices=[TtsVoice(name="voice", languages=["en"], **_WHOSE)],
            **_WHOSE,
        )
    ],
)
FORM = {"rate": 16000, "width": 2, "channels": 1}


class _Handler(AsyncEventHandler):
    """One connection."""

    hear = staticmethod(lambda samples: "")
    audio = b""

    async def handle_event(self, event):
        if event.type == "describe":
            await self.write_event(INFO.event())
        elif AudioChunk.is_type(event.type):
            self.audio += AudioChunk.from_event(event).audio
        elif AudioStop.is_type(event.type):
            samples = np.frombuffer(self.audio, "<i2")
            text = await asyncio.to_thread(self.hear, samples)
            await self.write_event(Transcript(text=text).event())
            return False
        elif Synthesize.is_type(event.type):
            text = Synthesize.from_event(event).text
            pcm = (await asyncio.to_thread(speech.synthesise, text)).tobytes()
            await self.write_event(AudioStart(**FORM).event())
            for at in range(0, len(pcm), 2048):
                await self.write_event(AudioChunk(**FORM, audio=pcm[at : at + 2048]).event())
            await self.write_event(AudioStop().event())
        return True


def serve(port: int, hear) -> None:
    """Serve on the loopback in a thread; `hear` takes int16 samples and returns text."""

    class Handler(_Handler):
        pass

    Handler.hear = staticmethod(hear)
    server = AsyncServer.from_uri(f"tcp://127.0.0.1:{port}")
    threading.Thread(
        target=lambda: asyncio.run(server.run(Handler)), daemon=True, name="speech"
    ).start()
