"""The assistant of `earnest receive --answers`: from a stream's audio to a spoken reply."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

from host_tools.answers.chain import Answer, Chain
from host_tools.answers.hearing import Hearing
from host_tools.answers.ringing import Ringing
from host_tools.answers.timers import Timers
from host_tools.answers.voice import Voice
from host_tools.errors import HostToolError
from host_tools.receiver.assistant import (
    REPLY,
    Assistant,
    ConnectionLost,
    Host,
    Satellite,
    SpeakRefused,
)
from host_tools.receiver.history_rows import ANSWERED, FORWARDED
from host_tools.receiver.transcription import Transcription, TranscriptionError

#: Two devices that hear the same wake word within this time hear the same person, as Home
#: Assistant has it.
SAME_WORD_S = 2.0
#: Streams of one device that are heard, or are on their way to words and an answer: each has an
#: engine of its own.
MAX_OF_A_DEVICE = 3


class LocalAnswers(Assistant):
    """Answers every stream, without Home Assistant."""

    def __init__(
        self,
        hearing: Callable[[], Hearing],
        chain: Chain,
        timers: Timers,
        tts: tuple[str, int] | None,
    ) -> None:
        """Take the parts.

        Args:
            hearing: Makes the way to words for a stream, in the event loop.
            chain: Who answers.
            timers: The same that `chain` sets.
            tts: Host and port of a Wyoming text-to-speech server; None: espeak-ng.
        """
        self._make_hearing = hearing
        self._chain = chain
        self._timers = timers
        self._voice = Voice(tts, self._warn)
        self._host: Host | None = None
        self._satellites: dict[str, Satellite] = {}
        #: What is being heard, and after which wake word.
        self._hearings: dict[Satellite, tuple[Hearing, str | None]] = {}
        #: How many are heard or answered, by the device's id.
        self._busy: Counter[str] = Counter()
        #: When a stream began after each wake word, and on which device.
        self._woken: dict[str, tuple[float, Satellite]] = {}

    def begin(self, host: Host) -> None:
        self._host = host
        host.start(Ringing(self._timers, self._satellites, host, self._say).run())

    def connected(self, satellite: Satellite) -> None:
        self._satellites[satellite.id] = satellite

    def disconnected(self, satellite: Satellite) -> None:
        if self._satellites.get(satellite.id) is satellite:
            del self._satellites[satellite.id]

    def stream_started(self, satellite: Satellite, stream: str, wake_word: str | None) -> None:
        if self._is_heard_elsewhere(satellite, stream, wake_word):
            satellite.end_stream(stream)
            return
        if self._busy[satellite.id] >= MAX_OF_A_DEVICE:
            satellite.end_stream(stream)
            self._emit("unanswered", satellite, stream, "too much is being recognised")
            return
        self._busy[satellite.id] += 1
        self._hearings[satellite] = (self._make_hearing(), wake_word)

    def stream_audio(self, satellite: Satellite, stream: str, audio: bytes) -> None:
        if satellite in self._hearings:
            self._hearings[satellite][0].hear(audio)

    def stream_ended(self, satellite: Satellite, stream: str, is_complete: bool) -> None:
        if satellite not in self._hearings:  # another device answers
            return
        hearing, wake_word = self._hearings.pop(satellite)
        if not is_complete or self._host is None:
            hearing.cancel()
            self._busy[satellite.id] -= 1
            return
        hearing.end()
        self._host.start(self._finish(self._host, satellite, stream, hearing, wake_word))

    def _is_heard_elsewhere(self, satellite: Satellite, stream: str, word: str | None) -> bool:
        """Return whether another device began after the same wake word just before: then that one
        answers, and this one does not do it a second time."""
        if word is None:
            return False
        now_s = asyncio.get_running_loop().time()
        began_s, first = self._woken.get(word, (-SAME_WORD_S, satellite))
        if now_s - began_s < SAME_WORD_S and first.id != satellite.id:
            self._emit("unanswered", satellite, stream, f"{first.name} heard the same wake word")
            return True
        self._woken[word] = (now_s, satellite)
        return False

    def _emit(self, event: str, satellite: Satellite, stream: str, reason: str) -> None:
        if self._host is not None:
            self._host.emit(event, device=satellite.name, stream=stream, reason=reason)

    def destinations(self, satellite: Satellite) -> tuple[str, ...]:
        if satellite not in self._hearings:  # another device answers
            return ()
        hearing, _ = self._hearings[satellite]
        return (ANSWERED, FORWARDED) if isinstance(hearing, Transcription) else (ANSWERED,)

    async def _finish(
        self,
        host: Host,
        satellite: Satellite,
        stream: str,
        hearing: Hearing,
        wake_word: str | None,
    ) -> None:
        try:
            await self._answer(host, satellite, stream, hearing, wake_word)
        finally:
            self._busy[satellite.id] -= 1

    async def _answer(
        self,
        host: Host,
        satellite: Satellite,
        stream: str,
        hearing: Hearing,
        wake_word: str | None,
    ) -> None:
        device = satellite.name
        try:
            text = await hearing.text()
        except TranscriptionError as error:
            host.emit("transcript-failed", device=device, stream=stream, reason=str(error))
            await self._fail(satellite, stream)
            return
        except asyncio.CancelledError:
            hearing.cancel()
            raise
        host.emit("transcript", device=device, stream=stream, text=text)
        try:
            answer = await self._chain.answer(host, satellite, text, wake_word)
            await self._speak(host, satellite, stream, answer)
        except ConnectionLost:
            host.emit("unanswered", device=device, stream=stream, reason="the device is gone")
        except SpeakRefused:
            pass  # told by the receiver
        except HostToolError as error:
            host.emit("unanswered", device=device, stream=stream, reason=error.message)

    async def _speak(self, host: Host, satellite: Satellite, stream: str, answer: Answer) -> None:
        fields = {"device": satellite.name, "stream": stream, "text": answer.text, "by": answer.by}
        host.emit("answer", **fields)
        if answer.text:
            await satellite.speak(REPLY, self._say(answer.text), stream=stream)

    async def _fail(self, satellite: Satellite, stream: str) -> None:
        """Let the person hear that nobody understood: with a sound of the device's own."""
        try:
            await satellite.chime("error", stream=stream)
        except (SpeakRefused, ConnectionLost):
            pass  # told by the receiver

    def _say(self, text: str) -> AsyncIterator[bytes]:
        return self._voice.say(text)

    def _warn(self, message: str) -> None:
        if self._host is not None:
            self._host.emit("warning", message=message)
