"""The owner's commands for the loudspeaker (`earnest receive --commands`), to try it out.

An assistant like any other: it can do no more than they can.
"""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver.assistant import (
    ANNOUNCEMENT,
    REPLY,
    Assistant,
    ConnectionLost,
    Host,
    Satellite,
    SpeakRefused,
)

COMMANDS = (
    "say WORDS, announce WORDS, play FILE.wav, chime timer, chime error, volume PERCENT, "
    "timer SECONDS"
)
_VERBS = ("say", "announce", "play", "chime", "volume", "timer")
_PIECE_BYTES = 3200
_MAX_TIMER_S = 86400

#: Turns words into samples: int16, 16 kHz, mono.
Voice = Callable[[str], bytes]


def samples_of(path: Path) -> bytes:
    """Return the samples of a WAV file; raises HostToolError."""
    form = (protocol.CHANNELS, protocol.WIDTH_BYTES, protocol.RATE_HZ)
    try:
        with wave.open(str(path)) as file:
            is_ours = (file.getnchannels(), file.getsampwidth(), file.getframerate()) == form
            samples: bytes = file.readframes(file.getnframes())
    except (OSError, EOFError, wave.Error) as error:
        raise HostToolError(f"cannot read {path}: {error}", "name a WAV file") from error
    if not is_ours:
        raise HostToolError(
            f"{path} cannot be played", "it must be a WAV of 16 kHz, mono, 16 bits a sample"
        )
    return samples


async def in_pieces(samples: bytes) -> AsyncIterator[bytes]:
    """Yield the samples as an assistant's audio comes."""
    for at in range(0, len(samples), _PIECE_BYTES):
        yield samples[at : at + _PIECE_BYTES]


class OwnerSounds(Assistant):
    """`reply`: samples that answer every stream, None for no answer."""

    def __init__(self, voice: Voice, reply: bytes | None = None) -> None:
        self._voice = voice
        self._reply = reply
        self._host: Host | None = None
        #: Each device that is connected, with the last stream that it ended.
        self._streams: dict[Satellite, str | None] = {}

    def begin(self, host: Host) -> None:
        self._host = host

    def connected(self, satellite: Satellite) -> None:
        self._streams[satellite] = None

    def disconnected(self, satellite: Satellite) -> None:
        del self._streams[satellite]

    def stream_ended(self, satellite: Satellite, stream: str, is_complete: bool) -> None:
        if not is_complete:
            return
        self._streams[satellite] = stream
        if self._reply is not None:
            self._start(satellite.speak(REPLY, in_pieces(self._reply), stream=stream))

    async def obey(self, line: str) -> bool:
        """Carry out one of COMMANDS for every device; return whether it is one.  What it lets
        sound goes on beside whatever follows."""
        verb, _, rest = line.strip().partition(" ")
        if verb not in _VERBS:
            return False
        assert self._host is not None
        try:
            await self._carry_out(verb, rest.strip())
        except HostToolError as error:
            self._host.emit("warning", message=f"{error.message}; {error.hint}")
        return True

    async def _carry_out(self, verb: str, rest: str) -> None:
        if verb == "volume":
            percent = _number(rest, 100)
            self._each(lambda satellite: satellite.set_volume(percent))
        elif verb == "timer":
            self._start(self._ring_in(_number(rest, _MAX_TIMER_S)))
        elif verb == "chime":
            if rest not in protocol.CHIME_KINDS:
                raise HostToolError(f"unknown chime {rest!r}", "it is timer or error")
            self._chime(rest)
        else:
            if not rest:
                raise HostToolError(f"{verb}: what?", f"it is {COMMANDS}")
            make = self._voice if verb != "play" else lambda name: samples_of(Path(name))
            samples = await asyncio.to_thread(make, rest)
            kind = ANNOUNCEMENT if verb == "announce" else REPLY
            self._each(lambda satellite: self._speak(satellite, kind, samples))

    async def _ring_in(self, seconds: int) -> None:
        await asyncio.sleep(seconds)
        self._chime("timer")

    def _chime(self, kind: str) -> None:
        def chime(satellite: Satellite) -> Coroutine[Any, Any, object]:
            stream = self._stream(satellite) if kind == "error" else None
            return satellite.chime(kind, stream=stream)

        self._each(chime)

    def _speak(
        self, satellite: Satellite, kind: str, samples: bytes
    ) -> Coroutine[Any, Any, object]:
        stream = self._stream(satellite) if kind == REPLY else None
        return satellite.speak(kind, in_pieces(samples), stream=stream)

    def _stream(self, satellite: Satellite) -> str:
        """Return the stream that is answered; raises HostToolError."""
        stream = self._streams[satellite]
        if stream is None:
            raise HostToolError(f"{satellite.name} has said nothing to answer", "wake it first")
        return stream

    def _each(self, ask: Callable[[Satellite], Coroutine[Any, Any, object]]) -> None:
        if not self._streams:
            raise HostToolError("that reached nobody", "no device is connected")
        for satellite in list(self._streams):
            self._start(ask(satellite))

    def _start(self, asked: Coroutine[Any, Any, object]) -> None:
        async def run() -> None:
            try:
                await asked
            except (SpeakRefused, ConnectionLost):
                pass  # the view has told it

        assert self._host is not None
        self._host.start(run())


def _number(text: str, most: int) -> int:
    if not text.isdecimal() or int(text) > most:
        raise HostToolError(f"{text!r} is not a number", f"0 to {most}")
    return int(text)
