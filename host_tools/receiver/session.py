"""One device's connection as a state machine: which message may come when, and what follows.

Pure: no socket, no file, no clock; time is passed in.  The connection feeds it events and carries
out the actions that it returns.  A new message is one line in `_HANDLERS` and a method; a new
action is a dataclass here and one line in the connection's table.  Audio of a stream is held only
if its consent allows keeping, and only until the stream ends.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from firmware.satellite import protocol
from firmware.satellite.protocol import Event
from host_tools.receiver.assistant import Status
from host_tools.receiver.sounds import Sounds

#: Seconds without a message before a connection counts as dead: three pings of the device.
IDLE_S = 90.0
#: Seconds from consent to audio-start; then the consent has lapsed.
START_S = 10.0
#: Seconds within a stream without audio.
GAP_S = 5.0
#: The longest stream in ms, without its pre-roll: what a device can be set to, and a little.
MAX_STREAM_MS = 61000
#: A stream may take this much longer on the clock than in samples.
SLACK_S = 30.0
#: Messages of unknown type on one connection.
MAX_IGNORED = 100
#: `status` within a minute; a device sends 6 at most.
MAX_STATUS = 12

_BYTES_PER_MS = protocol.RATE_HZ * protocol.WIDTH_BYTES // 1000


@dataclass
class Stream:
    """One stream and the consent that opened it."""

    id: str
    keep_recordings: bool
    share_for_training: bool
    preroll_ms: int
    wake_word: str | None = None
    #: Unix time; set by the connection, since a session has no clock.
    began_s: float = 0.0
    #: Where its audio went, of history_rows.FATES; set by the connection as it ends.
    destinations: tuple[str, ...] = ()
    bytes: int = 0
    #: The samples, only when they may be kept.
    audio: bytearray | None = None
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)


@dataclass(frozen=True)
class Send:
    """Send a message of this type to the device."""

    type: str
    data: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Consented:
    stream: Stream


@dataclass(frozen=True)
class Detected:
    name: str | None


@dataclass(frozen=True)
class Began:
    stream: Stream


@dataclass(frozen=True)
class Heard:
    """Audio of the running stream: for those who listen, not for keeping."""

    stream: Stream
    audio: bytes


@dataclass(frozen=True)
class Ended:
    """The stream is over; `is_complete` when it ended as agreed and may be kept if consented."""

    stream: Stream
    reason: str
    is_complete: bool


@dataclass(frozen=True)
class Withdrawn:
    """The consent as it now stands; what was kept under more is to be deleted, then confirmed."""

    keep_recordings: bool
    share_for_training: bool
    #: The request that the device answers.
    request: str | None = None


@dataclass(frozen=True)
class Anchored:
    """The number and hash of the newest record of the device's audit log."""

    seq: int
    hash: str


@dataclass(frozen=True)
class Told:
    """The device's status, which differs from the one before."""

    status: Status


@dataclass(frozen=True)
class Changed:
    """Something that a sound may wait for: its state, or the end of a stream."""


Action = (
    Send | Consented | Detected | Began | Heard | Ended | Withdrawn | Anchored | Told | Changed
)


class Session:
    """`deadline_s` is when, without a further message, the connection is to be given up."""

    def __init__(self, now_s: float, max_stream_ms: int = MAX_STREAM_MS) -> None:
        self.deadline_s = now_s + IDLE_S
        self._max_stream_ms = max_stream_ms
        self._consented: Stream | None = None
        self._stream: Stream | None = None
        self._wake_word: str | None = None
        self._consent_until_s = 0.0
        self._stream_until_s = 0.0
        self._is_draining = False
        self._ignored = 0
        #: What the device was asked to play.
        self.sounds = Sounds()
        self.status: Status | None = None
        self._status_times_s: list[float] = []

    @property
    def is_in_stream(self) -> bool:
        """Whether the device sends a stream, or has yet to end one that was stopped."""
        return self._stream is not None or self._is_draining

    @property
    def stream(self) -> Stream | None:
        """Return the running stream."""
        return self._stream

    def handle(self, event: Event, now_s: float) -> list[Action]:
        """Return what follows from `event`, checked by the decoder.  Raises ProtocolError."""
        handler = self._HANDLERS.get(event.type)
        if handler is None:
            self._ignore(event.type)
            actions: list[Action] = []
        else:
            actions = handler(self, event, now_s)
        self._set_deadline(event.type, now_s)
        return actions

    def stop(self, reason: str, now_s: float) -> list[Action]:
        """End the running stream from this side; audio still on its way is dropped.

        What follows from the end comes first: telling the device may take long, or fail.
        """
        if self._stream is None:
            return []
        stream, self._stream = self._stream, None
        self._is_draining = True
        self.deadline_s = now_s + GAP_S
        return [Ended(stream, reason, True), Send(protocol.STOP, {"stream": stream.id})]

    def close(self, reason: str) -> list[Ended]:
        """Drop whatever was held: the connection is gone."""
        self._consented = None
        if self._stream is None:
            return []
        stream, self._stream = self._stream, None
        stream.audio = None
        return [Ended(stream, reason, False)]

    def _ignore(self, kind: str) -> None:
        """Count a message that no handler is for; raises ProtocolError for one too many."""
        if kind in protocol.FROM_RECEIVER:
            raise protocol.ProtocolError(f"{kind} comes from receivers only")
        self._ignored += 1
        if self._ignored > MAX_IGNORED:
            raise protocol.ProtocolError(f"more than {MAX_IGNORED} messages of unknown type")

    def _ping(self, event: Event, now_s: float) -> list[Action]:
        text = event.data.get("text")
        return [Send(protocol.PONG, {} if text is None else {"text": text})]

    def _pong(self, event: Event, now_s: float) -> list[Action]:
        return []

    def _detection(self, event: Event, now_s: float) -> list[Action]:
        if self._stream is not None:
            raise protocol.ProtocolError("detection within a stream")
        self._wake_word = event.data.get("name")
        return [Detected(self._wake_word)]

    def _consent(self, event: Event, now_s: float) -> list[Action]:
        data = event.data
        if self.is_in_stream:
            raise protocol.ProtocolError("consent within a stream")
        stream = Stream(
            id=data["stream"],
            keep_recordings=data["keep_recordings"],
            share_for_training=data["share_for_training"],
            preroll_ms=data["preroll_ms"],
        )
        if self._consented is not None:  # that stream never began: its wake word is not this one's
            self._wake_word = None
        self._consented = stream
        self._consent_until_s = now_s + START_S
        return [Consented(stream), Send(protocol.CONSENT_ACCEPTED, {"stream": stream.id})]

    def _withdraw(self, event: Event, now_s: float) -> list[Action]:
        data = event.data
        for stream in (self._stream, self._consented):
            if stream is not None:
                stream.keep_recordings &= data["keep_recordings"]
                stream.share_for_training &= data["share_for_training"]
                if not stream.keep_recordings:
                    stream.audio = None
        return [Withdrawn(data["keep_recordings"], data["share_for_training"], data.get("id"))]

    def _audit_head(self, event: Event, now_s: float) -> list[Action]:
        return [Anchored(event.data["seq"], event.data["hash"])]

    def _start(self, event: Event, now_s: float) -> list[Action]:
        if self.is_in_stream:
            raise protocol.ProtocolError("audio-start within a stream")
        if self._consented is None or now_s > self._consent_until_s:
            raise protocol.ProtocolError("audio-start without consent")
        stream, self._consented = self._consented, None
        stream.wake_word, self._wake_word = self._wake_word, None
        stream.audio = bytearray() if stream.keep_recordings else None
        self._stream = stream
        longest_s = (stream.preroll_ms + self._max_stream_ms) / 1000
        self._stream_until_s = now_s + longest_s + SLACK_S
        return [Began(stream)]

    def _hear(self, event: Event, now_s: float) -> list[Action]:
        audio = event.payload
        stream = self._stream
        if stream is None:
            if self._is_draining:
                return []
            raise protocol.ProtocolError("audio-chunk outside a stream")
        room = (self._max_stream_ms + stream.preroll_ms) * _BYTES_PER_MS - stream.bytes
        heard = audio[:room]
        if heard:
            stream.bytes += len(heard)
            stream.sha256.update(heard)
            if stream.audio is not None:
                stream.audio += heard
        actions: list[Action] = [Heard(stream, heard)] if heard else []
        return actions + (self.stop("too long", now_s) if len(audio) > room else [])

    def _stop(self, event: Event, now_s: float) -> list[Action]:
        if self._stream is None:
            if not self._is_draining:
                raise protocol.ProtocolError("audio-stop outside a stream")
            self._is_draining = False
            return [Changed()]
        stream, self._stream = self._stream, None
        return [Ended(stream, "audio-stop", True), Changed()]

    def _sound(self, event: Event, now_s: float) -> list[Action]:
        self.sounds.take(event)
        return [Changed()]

    def _status(self, event: Event, now_s: float) -> list[Action]:
        recent = [at_s for at_s in self._status_times_s if now_s - at_s < 60.0]
        if len(recent) >= MAX_STATUS:
            raise protocol.ProtocolError(f"more than {MAX_STATUS} status a minute")
        self._status_times_s = [*recent, now_s]
        before, self.status = self.status, Status.of(event.data)
        return [Told(self.status)] if self.status != before else []

    def _set_deadline(self, kind: str, now_s: float) -> None:
        """Pings keep an idle connection up, not a stream without audio nor one that must end."""
        if self._stream is not None:
            if kind in (protocol.AUDIO_START, protocol.AUDIO_CHUNK):
                self.deadline_s = min(now_s + GAP_S, self._stream_until_s)
        elif not self._is_draining:
            self.deadline_s = now_s + IDLE_S

    #: What a device may send, and what handles it.
    _HANDLERS: ClassVar[dict[str, Callable[[Session, Event, float], list[Action]]]] = {
        protocol.PING: _ping,
        protocol.PONG: _pong,
        protocol.DETECTION: _detection,
        protocol.CONSENT: _consent,
        protocol.CONSENT_WITHDRAWN: _withdraw,
        protocol.AUDIT_HEAD: _audit_head,
        protocol.AUDIO_START: _start,
        protocol.AUDIO_CHUNK: _hear,
        protocol.AUDIO_STOP: _stop,
        protocol.STATUS: _status,
        protocol.SPEAK_ACCEPTED: _sound,
        protocol.SPEAK_REFUSED: _sound,
        protocol.CREDIT: _sound,
        protocol.PLAYED: _sound,
    }
