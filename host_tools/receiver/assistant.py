"""What answers a device: the interface between the receiver and its assistants.

An assistant is told of every connected device and of what it sends, and may speak to it: Home
Assistant's gateway, local answers.  Several can be active.  The receiver never waits for one, and
an assistant that fails is told to the owner; it ends neither a stream nor the receiver.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, fields
from typing import Any, Protocol

from firmware.satellite import protocol

#: What may be spoken: the answer to a stream, or what the owner's configuration allows.
REPLY, TIMER, ANNOUNCEMENT = KINDS = protocol.SPEECH_KINDS

#: Why the receiver itself refuses a sound, beside protocol.REFUSAL_REASONS of the device: the
#: device has not told its status, or too much waits to be spoken.
OLDER, TOO_MANY = "older-firmware", "too-much-waits"
NO_SPEAKER = "no-speaker"
#: Two of protocol.PLAYED_REASONS: all of it sounded; an assistant ended it.
END, RECEIVER = "end", "receiver"


@dataclass(frozen=True)
class Status:
    """A device's last `status`; docs/protocol.md says what each field means."""

    speaker: bool
    #: Whether anything mutes it; whether its mute switch does.
    muted: bool
    switch: bool
    #: Whether the microphone may be on: neither muted nor stopped by a fault.
    listening: bool
    #: In percent.
    volume: int
    volume_max: int
    #: The wake words that it listens for.
    words: tuple[str, ...]
    keep_recordings: bool
    share_for_training: bool
    #: What its owner allows it to say unasked.
    timers: bool
    announcements: bool
    firmware: str | None = None
    #: Why the microphone is off: one of protocol.OFF_REASONS; None where it is on, or not told.
    off_by: str | None = None
    #: The probability cutoff of each of the words, in thousandths; None where it is not told.
    cutoffs: tuple[int, ...] | None = None
    #: Whether it answers a request to take its consent back; older firmware does not.
    withdraw: bool = False

    @staticmethod
    def of(data: dict[str, Any]) -> Status:
        """Return the status in the data of a message; raises protocol.ProtocolError."""
        protocol.check(protocol.Event(protocol.STATUS, data))
        names = (field.name for field in fields(Status))
        known = {name: data[name] for name in names if name in data}
        known["words"] = tuple(data["words"])
        if known.get("cutoffs") is not None:
            known["cutoffs"] = tuple(known["cutoffs"])
        return Status(**known)


@dataclass(frozen=True)
class Played:
    """How much of a sound was heard, and why it ended: one of protocol.PLAYED_REASONS."""

    ms: int
    why: str


class SpeakRefused(Exception):  # noqa: N818 - a refusal is an answer
    """The device makes no sound: `why` is OLDER, TOO_MANY or one of protocol.REFUSAL_REASONS."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class ConnectionLost(Exception):  # noqa: N818 - as asyncio names what ended
    """The device is gone: its connection ended, or was replaced by a newer one."""


class Satellite(Protocol):
    """One connected device.  A new connection of the same device is a new Satellite with the same
    `id`; what is asked of one that is gone raises ConnectionLost."""

    @property
    def id(self) -> str:
        """The random id of the receiver's list, which survives renewals of the certificate.  Of
        plain connections (--insecure) it is the same for all."""

    @property
    def name(self) -> str:
        """The owner's name for it."""

    @property
    def status(self) -> Status | None:
        """None until the device has told; older firmware never does.  Until then it can neither
        speak nor change its volume."""

    @property
    def is_speaking(self) -> bool:
        """Whether it has accepted a sound that is not over: it sounds, is about to, or a timer
        pauses, so the microphone may be on or off."""

    def end_stream(self, stream: str) -> None:
        """Enough was heard: ask the device to end this stream, if it is still the running one."""

    async def speak(
        self,
        kind: str,
        audio: AsyncIterator[bytes],
        *,
        stream: str | None = None,
        length_ms: int = protocol.MAX_SPEECH_MS,
    ) -> Played:
        """Speak, and return when it has really sounded, or was ended.

        Waits for its turn behind what is being spoken, for the end of a running stream, and for
        the first audio: the device's microphone is off only from then on.  Cancelling it ends the
        speech.  What cannot be played in time is not played.

        Args:
            kind: One of KINDS.
            audio: 16 kHz mono, int16 little-endian, in pieces of any size; it may come slower
                than it is played.
            stream: For a reply: the stream that it answers.
            length_ms: An upper bound, 1 to protocol.MAX_SPEECH_MS; the rest is dropped.

        Raises:
            SpeakRefused: the device, or the receiver for it, refuses.
            ConnectionLost: the device is gone.
            Exception: what `audio` raised; what had come before was spoken.
        """

    async def stop_speaking(self) -> None:
        """End what is being spoken, and drop what waits; harmless when nothing is."""

    async def mute(self) -> None:
        """Mute the device.  Nothing that the network sends unmutes it."""

    async def withdraw_consent(self) -> bool:
        """Ask the device to take back its consent, as its owner did here; whether it was asked:
        older firmware is not.  Raises ConnectionLost."""

    async def set_volume(self, percent: int) -> None:
        """Set the volume, 0 to 100; the device clips it to its owner's limit and tells its
        `status`.  Raises SpeakRefused (OLDER), ConnectionLost."""

    async def chime(self, kind: str, *, stream: str | None = None) -> Played:
        """Let the device make a sound of its own, and return when it is over.

        Args:
            kind: One of protocol.CHIME_KINDS.  "timer" rings, with pauses in which the device
                listens, until somebody ends it, or 30 s; "error" is short.
            stream: For "error": the stream that it answers.

        Raises: as `speak`.
        """


class Host(Protocol):
    """The receiver, as an assistant sees it."""

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside everything else until the receiver ends: then it is cancelled.
        Its failure is told, and no more."""

    def emit(self, event: str, **fields: object) -> None:
        """Tell the owner: an event of view.py."""


class Assistant:
    """Whoever answers inherits from this; its methods do nothing.

    Every method is called in the event loop and must return at once; longer work goes to
    `Host.start`.  `stream` is the random number of a stream; samples are int16, 16 kHz, mono.
    """

    def begin(self, host: Host) -> None:
        """The receiver serves from now on: called once, before anything else."""

    def connected(self, satellite: Satellite) -> None:
        """A device is there.  Its `status` is None until `status_changed`."""

    def disconnected(self, satellite: Satellite) -> None:
        """It is gone, after its stream has ended; told before a newer connection of the same
        device."""

    def status_changed(self, satellite: Satellite) -> None:
        """`satellite.status` is new, and differs from the one before."""

    def sound_changed(self, satellite: Satellite) -> None:
        """`satellite.is_speaking` is another than before."""

    def stream_started(self, satellite: Satellite, stream: str, wake_word: str | None) -> None:
        """A stream began, opened with its owner's consent."""

    def stream_audio(self, satellite: Satellite, stream: str, audio: bytes) -> None:
        """Audio of the running stream: an even number of bytes."""

    def stream_ended(self, satellite: Satellite, stream: str, is_complete: bool) -> None:
        """The stream is over.  Not complete: it broke off, and what was heard must be dropped."""

    def destinations(self, satellite: Satellite) -> tuple[str, ...]:
        """Return where the running stream's audio goes: some of history_rows.FATES.

        Asked as it ends, before `stream_ended`."""
        return ()
