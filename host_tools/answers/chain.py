"""Who answers: the first of the owner's program, a handle service and the built-in answers that
knows what was meant."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from host_tools.answers import program, wyoming_peer
from host_tools.answers.intents import Recogniser
from host_tools.answers.replies import FAILED, NOT_UNDERSTOOD, Replies
from host_tools.receiver.assistant import Host, Satellite

PROGRAM, HANDLE, BUILT_IN, NOBODY = "program", "handle service", "built in", "nobody"


@dataclass(frozen=True)
class Answer:
    """What is said, and who says so; an empty text is silence."""

    text: str
    by: str


@dataclass(frozen=True)
class Chain:
    """The answerers, in their order."""

    program: Path | None
    handle: tuple[str, int] | None
    recogniser: Recogniser
    replies: Replies

    async def answer(
        self, host: Host, satellite: Satellite, text: str, wake_word: str | None
    ) -> Answer:
        """Return what to say to `text`; who fails is told to `host`, and the next one is asked.

        Raises:
            ConnectionLost: the device is gone.
        """
        has_failed = False
        if self.program is not None:
            extra = {"EARNEST_DEVICE": satellite.name, "EARNEST_WAKE_WORD": wake_word or ""}
            try:
                reply = await program.ask(self.program, text, extra)
                if reply is not None:
                    return Answer(reply, PROGRAM)
            except program.ProgramError as error:
                host.emit("warning", message=f"--run: {error}")
                has_failed = True
        if self.handle is not None:
            try:
                reply = await wyoming_peer.handle(self.handle, text)
                if reply is not None:
                    return Answer(reply, HANDLE)
            except wyoming_peer.PeerError as error:
                host.emit("warning", message=f"--handle: {error}")
                has_failed = True
        intent = self.recogniser.recognise(text)
        if intent is None:
            return Answer(FAILED if has_failed else NOT_UNDERSTOOD, NOBODY)
        return Answer(await self.replies.reply(satellite, intent), BUILT_IN)
