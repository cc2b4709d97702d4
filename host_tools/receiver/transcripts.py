"""Prints what was said: the assistant behind `earnest receive --stt`, which answers nothing."""

from __future__ import annotations

from host_tools.receiver.assistant import Assistant, Host, Satellite
from host_tools.receiver.history_rows import FORWARDED
from host_tools.receiver.transcription import Transcription, TranscriptionError


class Transcripts(Assistant):
    """Passes each stream to the speech-to-text server at `address` and tells its words."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._running: dict[Satellite, Transcription] = {}
        self._host: Host | None = None

    def begin(self, host: Host) -> None:
        self._host = host

    def stream_started(self, satellite: Satellite, stream: str, wake_word: str | None) -> None:
        self._running[satellite] = Transcription(self._address)

    def stream_audio(self, satellite: Satellite, stream: str, audio: bytes) -> None:
        self._running[satellite].hear(audio)

    def stream_ended(self, satellite: Satellite, stream: str, is_complete: bool) -> None:
        transcription = self._running.pop(satellite)
        if not is_complete:
            transcription.cancel()
            return
        transcription.end()
        assert self._host is not None
        self._host.start(self._tell(self._host, satellite.name, stream, transcription))

    def destinations(self, satellite: Satellite) -> tuple[str, ...]:
        return (FORWARDED,)

    async def _tell(
        self, host: Host, device: str, stream: str, transcription: Transcription
    ) -> None:
        try:
            text = await transcription.text()
        except TranscriptionError as error:
            reason = str(error)
            host.emit("transcript-failed", device=device, stream=stream, reason=reason)
        else:
            host.emit("transcript", device=device, stream=stream, text=text)
