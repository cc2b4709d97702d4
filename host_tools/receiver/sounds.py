"""The sound that a device was asked to make, as its messages tell of it.  Pure, as the session.

A device answers every request, gives out credit, and says once how the sound ended.  What does
not fit that is a broken protocol: the connection ends.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from firmware.satellite import protocol
from firmware.satellite.protocol import Event
from host_tools.receiver.assistant import Played

_BYTES_PER_MS = protocol.RATE_HZ * protocol.WIDTH_BYTES // 1000


@dataclass
class Sound:
    """One sound, from the request to its end."""

    id: str
    #: One of protocol.SPEECH_KINDS; of protocol.CHIME_KINDS for a chime.
    kind: str
    is_chime: bool = False
    #: The stream that it answers.
    stream: str | None = None
    is_accepted: bool = False
    #: Why the device refused it.
    refused: str | None = None
    #: How it ended, once it did.
    played: Played | None = None
    #: `speak-stop` was sent.
    is_stopped: bool = False
    #: `audio-start` was sent, and `audio-stop` was not.
    is_open: bool = False
    #: How many bytes of audio may be sent now.
    credit: int = 0
    sent_bytes: int = 0
    sha256: hashlib._Hash = field(default_factory=hashlib.sha256)

    @property
    def is_answered(self) -> bool:
        return self.is_accepted or self.refused is not None

    @property
    def is_over(self) -> bool:
        return self.refused is not None or self.played is not None

    def spend(self, audio: bytes) -> None:
        """Take note of audio that is sent now."""
        assert len(audio) <= self.credit
        self.credit -= len(audio)
        self.sent_bytes += len(audio)
        self.sha256.update(audio)


class Sounds:
    """`current` is the sound that was asked for and is not over; there is one at a time."""

    def __init__(self) -> None:
        self.current: Sound | None = None

    def ask(self, sound: Sound) -> None:
        """Expect the device's messages about this sound from now on."""
        assert self.current is None
        self.current = sound

    def take(self, event: Event) -> Sound:
        """Take note of a device's message and return its sound.  Raises ProtocolError."""
        sound, kind, data = self.current, event.type, event.data
        if sound is None or sound.id != data["id"]:
            raise protocol.ProtocolError(f"{kind} of a sound that nobody asked for")
        is_answer = kind in (protocol.SPEAK_ACCEPTED, protocol.SPEAK_REFUSED)
        if is_answer == sound.is_accepted:
            when = "twice" if is_answer else "before speak-accepted"
            raise protocol.ProtocolError(f"{kind} {when}")
        if kind == protocol.SPEAK_ACCEPTED:
            sound.is_accepted = True
            self._grant(sound, data["credit"])
        elif kind == protocol.CREDIT:
            self._grant(sound, data["bytes"])
        else:
            if kind == protocol.SPEAK_REFUSED:
                sound.refused = data["why"]
            else:
                sound.played = Played(self._heard_ms(sound, data["ms"]), data["why"])
            self.current = None
        return sound

    def _grant(self, sound: Sound, count: int) -> None:
        if sound.is_chime and count:
            raise protocol.ProtocolError("credit for a chime")
        if sound.credit + count > protocol.MAX_CREDIT_BYTES:
            raise protocol.ProtocolError(f"credit above {protocol.MAX_CREDIT_BYTES} bytes")
        sound.credit += count

    def _heard_ms(self, sound: Sound, told_ms: int) -> int:
        """Return how long it sounded: never longer than what was sent."""
        if sound.is_chime:
            return told_ms
        return min(told_ms, -(-sound.sent_bytes // _BYTES_PER_MS))
