"""A stream in the history, and which of them somebody asks for."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from firmware.satellite import protocol
from host_tools.receiver.recording import Recording, seconds

#: What may be done with a stream, several at once: its recording was kept; its audio went to a
#: speech-to-text server, to Home Assistant, or to the answers of this computer; none of these.
KEPT, FORWARDED, HOME, ANSWERED, DROPPED = FATES = (
    "kept",
    "forwarded",
    "home",
    "answered",
    "dropped",
)


@dataclass(frozen=True)
class StreamRow:
    """One stream; `id` is 0 until it is in the history, then its number there."""

    began_s: float
    device_id: str
    #: The device's name when the stream came.
    device_name: str
    wake_word: str | None
    duration_ms: int
    bytes: int
    #: Of the samples as bytes, int16 little-endian; None when their recording was deleted.
    sha256: str | None
    #: Why it ended, as the receiver saw it.
    reason: str
    #: Some of FATES.
    fates: tuple[str, ...]
    keep_recordings: bool
    share_for_training: bool
    #: The recording, while it is there.
    recording: str | None = None
    #: When the recording was deleted.
    deleted_s: float | None = None
    id: int = 0

    @property
    def cursor(self) -> tuple[float, int]:
        """Where the next page begins, if this is the last row of one."""
        return self.began_s, self.id


@dataclass(frozen=True)
class Filter:
    """Which rows; None does not matter.  `since_s` is within, `until_s` is not."""

    device: str | None = None
    wake_word: str | None = None
    #: Whether the recording is there.
    kept: bool | None = None
    since_s: float | None = None
    until_s: float | None = None


EVERYTHING = Filter()


@dataclass(frozen=True)
class DayBytes:
    """What one device sent on one day of this computer's time zone."""

    day: str
    device_id: str
    streams: int
    bytes: int


def day_bounds_s(day: datetime.date) -> tuple[float, float]:
    """Return when a day of this computer's time zone begins and ends."""
    first = datetime.datetime.combine(day, datetime.time())
    second = datetime.datetime.combine(day + datetime.timedelta(days=1), datetime.time())
    return first.timestamp(), second.timestamp()


def row_of_recording(recording: Recording, names: Mapping[str, str]) -> StreamRow:
    """Return what the history can say of a recording that it does not know."""
    return StreamRow(
        began_s=seconds(recording.created) - recording.duration_ms / 1000,
        device_id=recording.device,
        device_name=names.get(recording.device, ""),
        wake_word=recording.wake_word,
        duration_ms=recording.duration_ms,
        bytes=recording.samples * protocol.WIDTH_BYTES,
        sha256=recording.sha256,
        reason="",
        fates=(KEPT,),
        keep_recordings=True,
        share_for_training=recording.share_for_training,
        recording=recording.id,
    )
