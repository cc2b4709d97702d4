"""Puts the parts of the answers together, and says in one line what is missing."""

from __future__ import annotations

import asyncio
from pathlib import Path

from host_tools.answers import program as programs
from host_tools.answers.assistant import LocalAnswers
from host_tools.answers.chain import Chain
from host_tools.answers.clock import Clock, SystemClock
from host_tools.answers.hearing import MAX_AT_A_TIME, EngineHearing, Hearing, require_engine
from host_tools.answers.intents import Recogniser
from host_tools.answers.replies import Replies
from host_tools.answers.timers import Timers
from host_tools.receiver.transcription import Transcription


def local_answers(
    data: Path,
    *,
    stt: tuple[str, int] | None = None,
    run: str | None = None,
    handle: tuple[str, int] | None = None,
    tts: tuple[str, int] | None = None,
    clock: Clock | None = None,
) -> LocalAnswers:
    """Return the assistant that answers without Home Assistant.

    Args:
        data: The receiver's data folder, for the timers.
        stt: Host and port of a Wyoming speech-to-text server; None: the built-in engine.
        run: The owner's program.
        handle: A Wyoming handle service.
        tts: A Wyoming text-to-speech server; None: espeak-ng.
        clock: None: the computer's.

    Raises:
        HostToolError: a package or the program is missing, or the file of the timers is damaged.
    """
    if stt is None:
        require_engine()
    clock = clock or SystemClock()
    timers = Timers(data, clock)
    chain = Chain(
        programs.find(run) if run is not None else None,
        handle,
        Recogniser(),
        Replies(timers, clock),
    )

    turns = asyncio.Semaphore(MAX_AT_A_TIME)

    def hearing() -> Hearing:
        return EngineHearing(turns) if stt is None else Transcription(stt)

    return LocalAnswers(hearing, chain, timers, tts)
