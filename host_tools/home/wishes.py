"""What a Home Assistant wants, as `dialogue` reads it from its messages."""

from __future__ import annotations

from dataclasses import dataclass

from host_tools.home.voice import Refused, Send


@dataclass(frozen=True)
class HangUp:
    """The conversation is over."""


@dataclass(frozen=True)
class Mute:
    """Mute the device."""


@dataclass(frozen=True)
class SetVolume:
    percent: int


@dataclass(frozen=True)
class Subscribed:
    """Whether this Home Assistant answers commands from now on."""

    is_on: bool


@dataclass(frozen=True)
class Answered:
    """It accepted the command, or did not."""

    is_error: bool


@dataclass(frozen=True)
class Told:
    """It tells how far the command is."""

    kind: str
    data: dict[str, str]


@dataclass(frozen=True)
class ReplyAudio:
    audio: bytes


@dataclass(frozen=True)
class Announce:
    """Speak what is at these addresses, one after the other."""

    urls: tuple[str, ...]


@dataclass(frozen=True)
class TimerEvent:
    """STARTED, UPDATED, CANCELLED or FINISHED; the timer's own name is not passed on."""

    kind: str
    id: str


Wish = (
    Send
    | Refused
    | HangUp
    | Mute
    | SetVolume
    | Subscribed
    | Answered
    | Told
    | ReplyAudio
    | Announce
    | TimerEvent
)
