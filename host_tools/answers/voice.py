"""Text to speech: a Wyoming server's voice where one is configured, else espeak-ng's.

Gives 16 kHz mono int16, as a device plays it.  A server that fails before its first sound is
replaced by espeak-ng, so that an answer is heard.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.tts import Synthesize

from host_tools.answers import wyoming_peer
from host_tools.answers.wyoming_peer import PeerError
from host_tools.audio import speech
from host_tools.errors import missing_module

RATE_HZ = speech.SAMPLE_RATE_HZ
#: More is not spoken at a time; about 30 s.
MAX_TEXT_CHARACTERS = 450
MAX_S = 30
#: What a server may send.
MIN_SERVER_HZ, MAX_SERVER_HZ = 8000, 48000
ESPEAK_VOICE = "en-us"
WORDS_PER_MINUTE = 150
_PIECE_BYTES = 2048


class Voice:
    """Says texts; `warn` is told, in a sentence, why a server's voice was not used."""

    def __init__(self, server: tuple[str, int] | None, warn: Callable[[str], None]) -> None:
        self._server = server
        self._warn = warn

    async def say(self, text: str) -> AsyncIterator[bytes]:
        """Yield the speech in pieces: 16 kHz mono int16, at most MAX_S; none for an empty text.

        Raises:
            HostToolError: nobody can speak.
        """
        text = shorten(text)
        if not text:
            return
        if self._server is not None:
            has_begun = False
            try:
                async for piece in _of_server(self._server, text):
                    has_begun = True
                    yield piece
                return
            except PeerError as error:
                self._warn(f"text-to-speech: {error}")
                if has_begun:
                    return
        samples = await asyncio.to_thread(speech.synthesise, text, ESPEAK_VOICE, WORDS_PER_MINUTE)
        content = samples[: MAX_S * RATE_HZ].astype("<i2").tobytes()
        for start in range(0, len(content), _PIECE_BYTES):
            yield content[start : start + _PIECE_BYTES]


def shorten(text: str) -> str:
    """Return at most MAX_TEXT_CHARACTERS, cut after a whole word."""
    text = " ".join(text.split())
    if len(text) <= MAX_TEXT_CHARACTERS:
        return text
    head = text[:MAX_TEXT_CHARACTERS]
    return head[: head.rfind(" ")] if " " in head else head


async def _of_server(address: tuple[str, int], text: str) -> AsyncIterator[bytes]:
    """Yield the server's speech at 16 kHz mono; raises PeerError."""
    events = wyoming_peer.ask(address, Synthesize(text=text).event())
    form, left, waiting = (0, 0, 0), MAX_S * RATE_HZ * 2, b""
    try:
        async for kind, data, payload in events:
            if AudioStart.is_type(kind):
                if form[0] != 0:
                    raise PeerError("audio-start within audio")
                form = _form(data)
                left = MAX_S * form[0] * form[1] * form[2]
            elif AudioChunk.is_type(kind):
                if form[0] == 0:
                    raise PeerError("audio before audio-start")
                payload = payload[:left]
                left -= len(payload)
                waiting += payload
                if form == (RATE_HZ, 2, 1):  # as it comes
                    whole = len(waiting) // 2 * 2
                    if whole:
                        yield waiting[:whole]
                    waiting = waiting[whole:]
            if AudioStop.is_type(kind) or left == 0:
                if form[0] not in (0, RATE_HZ) or form[2] == 2:
                    converted = await asyncio.to_thread(_convert, waiting, form)
                    for start in range(0, len(converted), _PIECE_BYTES):
                        yield converted[start : start + _PIECE_BYTES]
                return
    finally:
        await events.aclose()  # type: ignore[attr-defined]  # an async generator
    raise PeerError("hung up before the end of its speech")


def _form(data: dict[str, Any]) -> tuple[int, int, int]:
    """Return rate, width and channels of an audio-start; raises PeerError for what we do not
    play."""
    form = (data.get("rate"), data.get("width"), data.get("channels"))
    rate, width, channels = form
    if (
        isinstance(rate, int)
        and MIN_SERVER_HZ <= rate <= MAX_SERVER_HZ
        and width == 2
        and channels in (1, 2)
    ):
        return rate, 2, int(channels)
    raise PeerError(f"audio of {rate!r} Hz, {width!r} bytes, {channels!r} channels")


def _convert(content: bytes, form: tuple[int, int, int]) -> bytes:
    """Return 16 kHz mono of whole int16 samples of another form."""
    rate, width, channels = form
    size = width * channels
    samples = np.frombuffer(content[: len(content) // size * size], "<i2").astype(np.float64)
    mono = samples.reshape(-1, channels).mean(axis=1)
    if rate != RATE_HZ and mono.size:
        try:
            from scipy.signal import resample_poly
        except ModuleNotFoundError as error:
            raise missing_module("scipy") from error
        mono = resample_poly(mono, RATE_HZ, rate)
    return bytes(np.clip(np.rint(mono), -32768, 32767).astype("<i2").tobytes())
