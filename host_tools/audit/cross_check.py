"""Holds a device's log against this receiver: chain, anchors, and the streams that came here.

`earnest audit` and the page both ask here; `results` keeps what came of it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from host_tools.audit.anchor_check import AnchorCheck, check_anchors
from host_tools.audit.device_log import Log, Problem
from host_tools.audit.results import CABLE, FILES, Result, Results
from host_tools.audit.stream_check import MAX_ROWS, StreamCheck, check_streams
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.history import HISTORY_FILE, History
from host_tools.receiver.history_rows import Filter


@dataclass(frozen=True)
class CrossCheck:
    """`log` has what the anchors found among its problems; `streams` is None where nobody can
    tell."""

    log: Log
    anchors: AnchorCheck
    streams: StreamCheck | None

    def result(self, source: str) -> Result | None:
        """Return what is to be kept; None when it is not known whose log this is, or it is empty.

        Args:
            source: CABLE when the log was fetched just now, as it is; else FILES.
        """
        log, anchors, streams = self.log, self.anchors, self.streams
        if anchors.id is None or not log.records:
            return None
        # A copy of yesterday lacks what the device told since; that is no sign of a change.
        is_behind = source == FILES and anchors.missing is not None
        left_out = anchors.missing if is_behind else None
        first, last, newest = log.records[0], log.records[-1], anchors.newest
        return Result(
            checked_s=time.time(),
            source=source,
            first_seq=first["seq"],
            last_seq=last["seq"],
            last_hash=last["hash"],
            broken=tuple(_words(p) for p in log.problems if p.what != left_out),
            behind=left_out,
            unanchored=anchors.unchecked,
            anchor_seq=None if newest is None else newest.seq,
            anchor_told_s=None if newest is None else newest.told_s,
            sent=None if streams is None else streams.sent,
            matched=0 if streams is None else streams.matched,
            older=0 if streams is None else streams.older,
            mismatches=() if streams is None else tuple(streams.mismatches),
        )

    def keep(self, data: Path, source: str) -> bool:
        """Keep the result in the receiver's folder, if it is to be; returns whether.

        Raises:
            HostToolError: it cannot be written.
        """
        result = self.result(source)
        if result is None or self.anchors.id is None:
            return False
        hashes = {record["hash"] for record in self.log.records}
        return Results(data).keep(self.anchors.id, result, hashes)


def cross_check(
    log: Log, data: Path, *, device: str | None = None, certificate: bytes | None = None
) -> CrossCheck:
    """Hold a log against what the receiver in the folder `data` was told and got.

    Args: as `check_anchors`.

    Raises:
        HostToolError: the receiver has no device of this name, or a file cannot be read.
    """
    anchors = check_anchors(log.records, data, device=device, certificate=certificate)
    problems = [*log.problems, *(Problem("", 0, p) for p in anchors.problems)]
    log = replace(log, problems=problems)
    return CrossCheck(log, anchors, _streams(log, anchors, data))


def _streams(log: Log, anchors: AnchorCheck, data: Path) -> StreamCheck | None:
    """Check the log's streams against those that the receiver got; None where nobody can tell."""
    if anchors.id is None or not (data / HISTORY_FILE).exists():
        return None
    if all(device.id != anchors.id for device in DeviceList(data / "devices.json").all()):
        return None
    history = History(data / HISTORY_FILE)
    try:
        rows = history.page(Filter(device=anchors.id), limit=MAX_ROWS)[::-1]
    finally:
        history.close()
    return check_streams(log.records, log.times(anchors), rows) if rows else None


def _words(problem: Problem) -> str:
    place = f"{problem.file} line {problem.line}: " if problem.line else ""
    return place + problem.what


__all__ = ["CABLE", "FILES", "CrossCheck", "cross_check"]
