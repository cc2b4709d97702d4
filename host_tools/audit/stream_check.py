"""Holds the streams of a device's log against those that this receiver got.

Both sides count the bytes of each stream.  One that the device recorded and that did not come
here went to somebody else.  Pure: the rows of the history are handed in.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from host_tools.receiver.history_rows import StreamRow

#: The history began, as far as the log's times are known, this much before its first row.
_EARLIER_S = 120.0
#: Rows that are compared at most: the newest.  A device's log holds some hundred streams.
MAX_ROWS = 4000


@dataclass(frozen=True)
class _Sent:
    """A stream of the log; `bytes` is None when its end was never recorded: a power loss."""

    seq: int
    bytes: int | None
    is_broken: bool
    receiver: str
    time_s: float | None
    hash: str | None = None

    def is_of(self, row: StreamRow) -> bool:
        """Return whether this may be the stream of a row.  Of a stream that the network broke
        off, what was under way is lost."""
        if self.bytes is None:
            return True
        return row.bytes == self.bytes or (self.is_broken and row.bytes < self.bytes)


@dataclass(frozen=True)
class Mismatch:
    """A stream that one side knows alone.

    The device's: `seq` is its record, of this `hash`, and `receiver` whom it was sent to.  Without
    them the receiver's: it came here, and the device did not record it.
    """

    bytes: int
    time_s: float | None
    seq: int | None = None
    hash: str | None = None
    receiver: str | None = None

    def __str__(self) -> str:
        if self.seq is None:
            return (
                f"{self.bytes} bytes came here{_about(self.time_s)}, which the device did not "
                "record"
            )
        return (
            f"record {self.seq}: {self.bytes} bytes left the device{_about(self.time_s)} for "
            f"{self.receiver}; this receiver did not get them"
        )


@dataclass(frozen=True)
class StreamCheck:
    """`matched` of the log's `sent` streams came here, those aside whose end a power loss kept
    out of the log; `older` ones are from before the history began."""

    sent: int
    matched: int
    older: int
    mismatches: list[Mismatch]

    @property
    def problems(self) -> list[str]:
        """Return the mismatches in words."""
        return [str(mismatch) for mismatch in self.mismatches]


def check_streams(
    records: Sequence[dict[str, Any]], times: Sequence[float | None], rows: Sequence[StreamRow]
) -> StreamCheck:
    """Check a log's streams against the history's rows of its device.

    Args:
        records: The records as `device_log.read` gives them.
        times: About when each was written, in Unix time, as `clock_times` gives them.
        rows: The device's streams that came here, the oldest first.
    """
    sent = _sent(records, times)
    begin_s = rows[0].began_s - _EARLIER_S if rows else 0.0
    older = [s for s in sent if rows and s.time_s is not None and s.time_s < begin_s]
    sent = [s for s in sent if s not in older]
    pairs = _matches(sent, rows)
    here = {i for i, _ in pairs}
    found = [
        Mismatch(s.bytes, s.time_s, s.seq, s.hash, s.receiver)
        for i, s in enumerate(sent)
        if i not in here and s.bytes is not None
    ]
    if pairs:
        known = {j for _, j in pairs}
        found += [
            Mismatch(rows[j].bytes, rows[j].began_s)
            for j in range(min(known), max(known))
            if j not in known and rows[j].bytes
        ]
    matched = sum(sent[i].bytes is not None for i in here)
    return StreamCheck(sum(s.bytes is not None for s in sent), matched, len(older), found)


def _sent(records: Sequence[dict[str, Any]], times: Sequence[float | None]) -> list[_Sent]:
    """Return the streams of a log from which audio left, or may have."""
    found = []
    open_seq: int | None = None
    for record, time_s in zip(records, times, strict=True):
        kind = record["kind"]
        if kind in ("boot", "stream-start") and open_seq is not None:
            found.append(_Sent(open_seq, None, True, "-", None))
            open_seq = None
        if kind == "stream-start":
            open_seq = record["seq"]
        elif kind == "stream-end":
            open_seq = None
            if record["bytes"]:
                is_broken = record["reason"] == "network"
                receiver = record.get("receiver", "a receiver without a name")
                seq, size, digest = record["seq"], record["bytes"], record.get("hash")
                found.append(_Sent(seq, size, is_broken, receiver, time_s, digest))
    return found


def _matches(sent: Sequence[_Sent], rows: Sequence[StreamRow]) -> list[tuple[int, int]]:
    """Return the most pairs (stream, row) that can be made in the order of both; streams whose
    bytes are known come first."""
    worth = [1 if s.bytes is None else len(sent) + 1 for s in sent]
    width = len(rows) + 1
    most = [[0] * width for _ in range(len(sent) + 1)]
    for i in range(len(sent) - 1, -1, -1):
        for j in range(len(rows) - 1, -1, -1):
            most[i][j] = max(most[i + 1][j], most[i][j + 1])
            if sent[i].is_of(rows[j]):
                most[i][j] = max(most[i][j], most[i + 1][j + 1] + worth[i])
    pairs, i, j = [], 0, 0
    while i < len(sent) and j < len(rows):
        if sent[i].is_of(rows[j]) and most[i][j] == most[i + 1][j + 1] + worth[i]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif most[i][j] == most[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _about(time_s: float | None) -> str:
    if time_s is None:
        return ""
    return f" about {datetime.datetime.fromtimestamp(time_s):%Y-%m-%d %H:%M}"
