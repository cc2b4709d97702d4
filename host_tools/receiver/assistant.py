"""What answers a device: the interface between the receiver and its assistants.

An assistant is told of every connected device and of what it sends, and may speak to it: Home
Assistant's gateway, local answers.  Several can be active.  The receiver never waits for one, and
an assistant that fails is told to the owner; it ends neither a stream nor the receiver.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

#: What may be spoken: the answer to a stream, or what the owner's configuration allows.
REPLY, TIMER, ANNOUNCEMENT = KINDS = ("reply", "timer", "announcement")
#: The longest that a device speaks at a time.
MAX_SPEECH_MS = 30000

#: Why the receiver itself refuses to speak, beside the words of the device (protocol.py): the
#: device has not told that it can speak, has no speaker, or too much waits to be spoken.
OLDER, NO_SPEAKER, TOO_MANY = "older firmware", "no speaker", "too much waits"


@dataclass(frozen=True)
class Status:
    """A device's last `status`; docs/protocol.md says what each field means."""

    speaker: bool
    muted: bool
    #: Where the mute switch stands: True on mute; None without one.
    switch: bool | None
    #: In percent.
    volume: int
    volume_max: int
    #: The wake words that it listens for.
    words: tuple[str, ...]
    #: The one that it heard last, or None.
    word: str | None
    keep_recordings: bool
    share_for_training: bool
    #: What its owner allows it to say unasked.
    timers: bool
    announcements: bool
    firmware: str
    #: Number and hash of the newest record of its audit log; None before the first.
    audit_seq: int | None
    audit_hash: str | None


@dataclass(frozen=True)
class Played:
    """How much of what was to be spoken sounded, and why it ended (see `played` in
    docs/protocol.md): "end" when all of it did."""

    ms: int
    why: str


class SpeakRefused(Exception):  # noqa: N818 - a refusal is an answer
    """The device does not speak, and says why: OLDER, NO_SPEAKER, TOO_MANY or a device's word."""

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
        """None until the device has told: then it takes none of what follows but `stop`, `mute`;
        a device with older firmware never does."""

    def end_stream(self, stream: str) -> None:
        """Enough was heard: ask the device to end this stream, if it is still the running one."""

    async def speak(
        self,
        kind: str,
        audio: AsyncIterator[bytes],
        *,
        stream: str | None = None,
        length_ms: int = MAX_SPEECH_MS,
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
            length_ms: An upper bound, 1 to MAX_SPEECH_MS; the rest is dropped.

        Raises:
            SpeakRefused: the device, or the receiver for it, refuses.
            ConnectionLost: the device is gone.
            Exception: what `audio` raised; what had come before was spoken.
        """

    async def stop_speaking(self) -> None:
        """End what is being spoken, and drop what waits; harmless when nothing is."""

    async def mute(self) -> None:
        """Mute the device.  Nothing that the network sends unmutes it."""

    async def set_volume(self, percent: int) -> None:
        """Set the volume, 0 to 100; the device clips it to its owner's limit and tells its
        `status`.  Raises SpeakRefused, ConnectionLost."""

    async def chime(self, kind: str) -> None:
        """Play a short sound of the device's own, "timer" or "error".  Raises as set_volume."""


class Host(Protocol):
    """The receiver, as an assistant sees it."""

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine beside everything else until the receiver ends: then it is cancelled.
        Its failure is told, and no more."""

    def emit(self, event: str, **fields: object) -> None:
        """Tell the owner: an event of view.py."""


class Assistant(Protocol):
    """Whoever answers.  Inherit from it to get methods that do nothing.

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

    def stream_started(self, satellite: Satellite, stream: str, wake_word: str | None) -> None:
        """A stream began, opened with its owner's consent."""

    def stream_audio(self, satellite: Satellite, stream: str, audio: bytes) -> None:
        """Audio of the running stream: an even number of bytes."""

    def stream_ended(self, satellite: Satellite, stream: str, is_complete: bool) -> None:
        """The stream is over.  Not complete: it broke off, and what was heard must be dropped."""
