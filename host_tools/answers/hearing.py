"""Speech to text with the built-in engine: one utterance, one process (see `hearing_worker`).

The same three steps as `receiver.transcription.Transcription`, which asks a server: `hear` each
piece, `end` once, `text` gives the words.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import sys
from pathlib import Path
from typing import Protocol

from host_tools.answers import hearing_worker
from host_tools.errors import missing_module
from host_tools.receiver.cancellation import within
from host_tools.receiver.transcription import TranscriptionError, clean

#: From the end of the audio to the words; a command takes half a second.
ANSWER_S = 30.0
#: Later audio is dropped: no command is longer.
MAX_AUDIO_BYTES = 30 * 16000 * 2
#: How many recognise at a time: each takes 600 MB and what cores there are.
MAX_AT_A_TIME = 2
_MODULE = "moonshine_cpp"


class Hearing(Protocol):
    """One stream on its way to words."""

    def hear(self, audio: bytes) -> None:
        """Pass on audio: int16, 16 kHz, mono."""

    def end(self) -> None:
        """All was heard."""

    def cancel(self) -> None:
        """Forget the stream."""

    async def text(self) -> str:
        """Return the words, cleaned; raises TranscriptionError, or CancelledError after
        cancel()."""


def require_engine() -> None:
    """Raise HostToolError unless the built-in engine is installed."""
    if importlib.util.find_spec(_MODULE) is None:
        raise missing_module(_MODULE)


class EngineHearing:
    """See `Hearing`.  Created in the event loop; its process starts at once.  `turns` bounds how
    many recognise at a time."""

    def __init__(self, turns: asyncio.Semaphore | None = None) -> None:
        self._turns = turns or asyncio.Semaphore()
        self._audio = bytearray()
        self._ended = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def hear(self, audio: bytes) -> None:
        self._audio += audio[: MAX_AUDIO_BYTES - len(self._audio)]

    def end(self) -> None:
        self._ended.set()

    def cancel(self) -> None:
        self._task.cancel()

    async def text(self) -> str:
        return await self._task

    async def _run(self) -> str:
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, str(Path(hearing_worker.__file__)))
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=pipe
            )
        except OSError as error:
            raise TranscriptionError(f"cannot start the engine: {error.strerror}") from error
        try:
            await self._ended.wait()
            audio = bytes(self._audio)
            self._audio.clear()
            async with self._turns:
                output, complaint = await within(ANSWER_S, process.communicate(audio))
        except asyncio.TimeoutError as error:
            raise TranscriptionError("the engine takes too long") from error
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.returncode != 0:
            last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
            raise TranscriptionError(f"the engine fails: {clean(last) or process.returncode}")
        return clean(output.decode(errors="replace"))
