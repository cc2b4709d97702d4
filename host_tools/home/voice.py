"""One device's conversation with one Home Assistant, as a state machine: a command, its answer.

Pure: no socket, no clock; time is passed in.  What happens on the device's side (`wake`, `audio`,
`end`, `abort`, `played`) and on Home Assistant's (`answered`, `event`, `reply_audio`) goes in;
actions come out.  Home Assistant says RUN_END before the reply's audio has even begun: a run is
over when the reply has been played.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from host_tools.home.messages import make

IDLE, ASKED, HEARING, WAITING, REPLYING, PLAYING = (
    "idle",  # nothing goes on
    "asked",  # Home Assistant was told of the wake word; audio waits here
    "hearing",  # audio goes on as it comes
    "waiting",  # all audio was sent
    "replying",  # the reply's audio comes
    "playing",  # all of it came; the device still speaks
)
#: For Home Assistant to accept a command.
ANSWER_S = 10.0
#: From the end of the command to the reply: the device answers no stream that is older.
REPLY_S = 60.0
#: From the end of the run to the reply, where there is one.
BEGIN_S = 5.0
#: Within a reply, without audio.
GAP_S = 20.0
#: Errors after which nothing sounds: another satellite answers, or nothing was said to it.
_SILENT = ("duplicate_wake_up_detected", "stt-no-text-recognized", "wake-word-timeout")


@dataclass(frozen=True)
class Send:
    """Send this message to Home Assistant."""

    message: Any


@dataclass(frozen=True)
class EndStream:
    """Home Assistant heard enough: ask the device to end its stream."""


@dataclass(frozen=True)
class Reply:
    """Audio of the reply, int16, 16 kHz, mono."""

    audio: bytes


@dataclass(frozen=True)
class ReplyEnded:
    """The reply is complete."""


@dataclass(frozen=True)
class Failed:
    """The run is over without an answer; what of the reply was not yet spoken is to be dropped.

    `is_heard`: the person is waiting for an answer, so a short error chime is due.
    """

    reason: str
    is_heard: bool


@dataclass(frozen=True)
class Transcript:
    """What Home Assistant understood."""

    text: str


@dataclass(frozen=True)
class Refused:
    """What Home Assistant wanted and does not get."""

    what: str


Action = Send | EndStream | Reply | ReplyEnded | Failed | Transcript | Refused


class Voice:
    """`deadline_s` is when, without anything further, `expired` is to be called; or None."""

    def __init__(self) -> None:
        self.state = IDLE
        self.deadline_s: float | None = None
        self._waiting: list[bytes] = []
        self._is_ended = False
        self._is_reply_due = False

    def wake(self, phrase: str, now_s: float) -> list[Action]:
        """The device heard its wake word, and then somebody speaking."""
        self._is_ended = True  # the stream of the command before, whatever became of it
        actions = self._give_up("a newer command")
        self._waiting, self._is_ended, self._is_reply_due = [], False, False
        self._go(ASKED, now_s + ANSWER_S)
        return [*actions, Send(_request(True, phrase))]

    def answered(self, is_error: bool, now_s: float) -> list[Action]:
        """Home Assistant accepted the command, or did not."""
        if self.state != ASKED:
            return []
        if is_error:
            return self._fail("Home Assistant refused the command", True)
        actions = [Send(_audio(data)) for data in self._waiting]
        self._waiting = []
        self._go(HEARING, None)
        return [*actions, *self._finish_audio(now_s)]

    def audio(self, data: bytes) -> list[Action]:
        """Audio of the stream."""
        if self.state == ASKED:
            self._waiting.append(data)
        elif self.state == HEARING:
            return [Send(_audio(data))]
        return []

    def end(self, now_s: float) -> list[Action]:
        """The stream ended as agreed: the command is complete."""
        self._is_ended = True
        return self._finish_audio(now_s)

    def abort(self) -> list[Action]:
        """The stream broke off: Home Assistant is to forget what it heard."""
        if self.state not in (ASKED, HEARING):
            return []
        self._is_ended = True
        return self._give_up("the stream broke off")

    def event(self, kind: str, data: dict[str, str], now_s: float) -> list[Action]:
        """Home Assistant tells how far it is."""
        if self.state == IDLE:
            return []
        actions: list[Action] = []
        if kind == "STT_END" and data.get("text"):
            actions.append(Transcript(data["text"]))
        if kind in ("STT_VAD_END", "STT_END") and self.state in (ASKED, HEARING):
            self._waiting, self._is_ended = [], True
            self._go(WAITING, now_s + REPLY_S)
            actions.append(EndStream())
        elif kind == "INTENT_END" and data.get("continue_conversation", "0") not in ("", "0"):
            actions.append(Refused("to listen on without a wake word (continue_conversation)"))
        elif kind == "TTS_START":
            self._is_reply_due = True
        elif kind == "TTS_STREAM_START":
            self._go(REPLYING, now_s + GAP_S)
        elif kind == "TTS_STREAM_END" and self.state == REPLYING:
            self._go(PLAYING, None)
            actions.append(ReplyEnded())
        elif kind == "RUN_END" and self.state in (ASKED, HEARING, WAITING):
            actions += self._run_ended(now_s)
        elif kind == "ERROR":
            reason = f"{data.get('code', '')}: {data.get('message', '')}"
            is_heard = data.get("code") not in _SILENT
            actions += self._stop_hearing() + self._fail(reason, is_heard)
        return actions

    def reply_audio(self, data: bytes, now_s: float) -> list[Action]:
        """Audio of the reply."""
        if self.state != REPLYING or not data:
            return []
        self._go(REPLYING, now_s + GAP_S)
        return [Reply(data)]

    def played(self, is_whole: bool) -> list[Action]:
        """The device spoke the reply, or ended it, or refused it."""
        if self.state not in (REPLYING, PLAYING):
            return []
        self._go(IDLE, None)
        return [Send(make("VoiceAssistantAnnounceFinished", success=is_whole))]

    def lost(self) -> list[Action]:
        """Home Assistant is gone.  What came of its reply is spoken; nothing more will come."""
        if self.state == IDLE:
            return []
        if self.state in (REPLYING, PLAYING):
            self._go(IDLE, None)
            return [ReplyEnded()]
        return self._fail("the connection to Home Assistant was lost", True)

    def expired(self) -> list[Action]:
        """The deadline passed."""
        if self.state == REPLYING:  # what came of it is spoken
            self._go(PLAYING, None)
            return [ReplyEnded()]
        return self._give_up("Home Assistant did not answer", is_heard=True)

    def _run_ended(self, now_s: float) -> list[Action]:
        """The run is over; the reply may be about to begin."""
        actions = self._stop_hearing()
        if self._is_reply_due:
            self._go(WAITING, now_s + BEGIN_S)
            return actions
        self._go(IDLE, None)  # an empty reply: nothing to say
        return actions

    def _stop_hearing(self) -> list[Action]:
        """Ask the device to end its stream if it still runs."""
        is_running = self.state in (ASKED, HEARING) and not self._is_ended
        return [EndStream()] if is_running else []

    def _finish_audio(self, now_s: float) -> list[Action]:
        if self.state != HEARING or not self._is_ended:
            return []
        self._go(WAITING, now_s + REPLY_S)
        return [Send(make("VoiceAssistantAudio", end=True))]

    def _give_up(self, reason: str, is_heard: bool = False) -> list[Action]:
        """Have Home Assistant abort: start=False means that, not the end of the audio."""
        if self.state == IDLE:
            return []
        abort: list[Action] = [Send(_request(False, ""))]
        return [*abort, *self._stop_hearing(), *self._fail(reason, is_heard)]

    def _fail(self, reason: str, is_heard: bool) -> list[Action]:
        self._waiting = []
        self._go(IDLE, None)
        return [Failed(reason, is_heard)]

    def _go(self, state: str, deadline_s: float | None) -> None:
        self.state, self.deadline_s = state, deadline_s


def _request(is_start: bool, phrase: str) -> Any:
    return make("VoiceAssistantRequest", start=is_start, wake_word_phrase=phrase)


def _audio(data: bytes) -> Any:
    return make("VoiceAssistantAudio", data=data)
