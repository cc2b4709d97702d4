"""What left the device: each stream of a simulation, and whether it is what the device heard.

Filled from the trace's events, with SHA-256 over those samples of the input that the events name.
What a receiver got is then laid beside it: the same number of samples, the same SHA-256.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, TypedDict

from host_tools.simulation.events import Event, SentEvent
from host_tools.simulation.tape import Tape

SAMPLES_PER_MS = 16


class ReceivedStream(TypedDict):
    """What a receiver got of a stream."""

    samples: int
    sha256: str
    reason: str


@dataclass
class SentStream:
    """One stream, from its wake word to its end."""

    wake_ms: int
    samples_from: int | None = None  # of the input; None while nothing was sent
    samples_to: int | None = None
    bytes: int = 0
    is_contiguous: bool = True
    first_byte_after_ms: int | None = None  # after the speech began, to the socket
    end_ms: int | None = None
    reason: str | None = None
    sha256: str | None = None  # of the input's samples that were sent
    lost_ms: int = 0  # of the audio between its first and last sample
    received: ReceivedStream | None = None
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)

    @property
    def samples(self) -> int:
        return self.bytes // 2

    @property
    def is_as_received(self) -> bool | None:
        """Whether the receiver has exactly these samples; None when it reported none."""
        if self.received is None:
            return None if self.samples else True
        return (self.received["samples"], self.received["sha256"]) == (self.samples, self.sha256)

    def as_json(self) -> dict[str, Any]:
        return {
            "wake_ms": self.wake_ms,
            "end_ms": self.end_ms,
            "reason": self.reason,
            "samples_from": self.samples_from,
            "samples_to": self.samples_to,
            "bytes": self.bytes,
            "first_byte_after_ms": self.first_byte_after_ms,
            "lost_ms": self.lost_ms,
            "sha256": self.sha256,
            "received": self.received,
        }


class SentStreams:
    """Reads events in order; `all` has the streams so far."""

    def __init__(self, tape: Tape, losses: list[tuple[int, int]]) -> None:
        """`losses` are (sample, ms lost before it), see Microphone.losses."""
        self._tape = tape
        self._losses = losses
        self._gaps: dict[int, int] = {}  # first to last sample of what the device lost
        self.all: list[SentStream] = []
        self.stray_bytes = 0  # sent in no stream: must stay 0

    @property
    def bytes(self) -> int:
        """Audio bytes that left the device."""
        return sum(stream.bytes for stream in self.all) + self.stray_bytes

    @property
    def are_as_received(self) -> bool:
        """Whether a receiver has exactly what was sent, of every stream."""
        return all(stream.is_as_received for stream in self.all) and not self.stray_bytes

    def read(self, event: Event) -> None:
        """Take note of an event of the trace."""
        if event["event"] == "state":
            if event["to"] == "STREAMING":
                self.all.append(SentStream(event["t_ms"]))
            elif event["from"] == "STREAMING":
                self._end(event["t_ms"], event["reason"])
        elif event["event"] == "first-byte" and self.all:
            self.all[-1].first_byte_after_ms = event["after_ms"]
        elif event["event"] == "sent":
            self._sent(event)
        elif event["event"] == "lost":
            self._gaps[event["samples_from"]] = event["samples_to"]
        elif event["event"] in ("power", "end") and self.all and self.all[-1].end_ms is None:
            self._end(event["t_ms"], "power" if event["event"] == "power" else "end of input")

    def received(self, streams: list[ReceivedStream]) -> None:
        """Lay beside it what a receiver says that it got: samples, sha256 and reason of each."""
        # A stream that ended before its first sample left is opened and closed, empty.
        sent = [stream for stream in self.all if stream.samples]
        for stream, got in zip(sent, [got for got in streams if got["samples"]], strict=False):
            stream.received = got

    def _sent(self, event: SentEvent) -> None:
        if not self.all or self.all[-1].end_ms is not None:
            self.stray_bytes += event["bytes"]
            return
        stream = self.all[-1]
        start, end = event["samples_from"], event["samples_to"]
        if stream.samples_from is None:
            stream.samples_from = start
        elif start not in (stream.samples_to, self._gaps.get(stream.samples_to or 0)):
            stream.is_contiguous = False
        stream.samples_to = end
        stream.lost_ms = self._lost_ms(stream.samples_from, end)
        stream.bytes += event["bytes"]
        stream._hash.update(self._tape.between(start, end))
        stream.sha256 = stream._hash.hexdigest()

    def _lost_ms(self, start: int, end: int) -> int:
        """Return how much is missing between two samples: before the device, and in its ring."""
        gaps = (last - at for at, last in self._gaps.items() if start < at < end)
        before = (ms for at, ms in self._losses if start < at < end)
        return sum(before) + sum(gaps) // SAMPLES_PER_MS

    def _end(self, t_ms: int, reason: str) -> None:
        self.all[-1].end_ms = t_ms
        self.all[-1].reason = reason
