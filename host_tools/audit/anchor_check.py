"""Holds an audit log against its anchors: what the receiver was told of it while it grew.

The chain shows that records fit together, not that they are the ones that the device wrote; the
anchors lie outside the device.  docs/audit.md says what that finds and what it does not.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host_tools.errors import HostToolError
from host_tools.receiver.anchors import Anchor, Anchors
from host_tools.receiver.devices import DeviceList


@dataclass(frozen=True)
class AnchorCheck:
    """What the anchors say of a log."""

    #: The device's name in the receiver's list; None when it is not known whose log this is.
    device: str | None
    #: The anchors of this device.
    anchors: list[Anchor]
    #: How many of them are in the log, and the newest of those.
    found: int
    newest: Anchor | None
    problems: list[str]
    #: Why nothing was checked; None if something was.
    unchecked: str | None = field(default=None)
    #: The device's id in the receiver's list; None when it is not known whose log this is.
    id: str | None = None
    #: Which of the problems is that the log ends before the newest anchor: a copy that was made
    #: earlier does so as well.
    missing: str | None = None


def check_anchors(
    records: Sequence[dict[str, Any]],
    data: Path,
    *,
    device: str | None = None,
    certificate: bytes | None = None,
) -> AnchorCheck:
    """Check a log's records, in order, against the anchors that the receiver keeps in `data`.

    Args:
        records: The records as `device_log.read` gives them.
        data: The receiver's folder.
        device: The device's name; without it the log tells, or there is one device only.
        certificate: The board's own certificate, DER, where it was read.

    Raises:
        HostToolError: the receiver has no device of this name, or a file cannot be read.
    """
    anchors = Anchors(data)
    devices = DeviceList(data / "devices.json")
    names = {entry.id: entry.name for entry in devices.all()}
    if device is not None:
        ids = [id for id, name in names.items() if name == device]
        if not ids:
            raise HostToolError(
                f"the receiver knows no device {device!r}", "earnest devices list shows them"
            )
        id = ids[0]
    else:
        known = devices.find(certificate) if certificate else None
        found = known.id if known else _whose(records, anchors, is_stranger=bool(certificate))
        if found is None:
            return _unchecked(anchors, data)
        id = found
    told = anchors.of(id)
    if not told:
        name = names.get(id, id)
        why = f"the receiver was never told of the log of {name}"
        return AnchorCheck(name, [], 0, None, [], why, id)
    hashes = {record["seq"]: record["hash"] for record in records}
    fitting = [anchor for anchor in told if hashes.get(anchor.seq) == anchor.hash]
    newest = fitting[-1] if fitting else None
    problems, missing = _problems(told, hashes)
    return AnchorCheck(
        names.get(id, id), told, len(fitting), newest, problems, id=id, missing=missing
    )


def _whose(
    records: Sequence[dict[str, Any]], anchors: Anchors, *, is_stranger: bool
) -> str | None:
    """Return the id of the device with an anchor in the log, or of the only one with anchors.

    A stranger, whose certificate is not in the list, is not taken for the only one.
    """
    ids = anchors.devices()
    pairs = {(record["seq"], record["hash"]) for record in records}
    fitting = [id for id in ids if any((a.seq, a.hash) in pairs for a in anchors.of(id))]
    candidates = fitting or ([] if is_stranger else ids)
    return candidates[0] if len(candidates) == 1 else None


def _unchecked(anchors: Anchors, data: Path) -> AnchorCheck:
    if not anchors.devices():
        why = f"no receiver was told of a log: there are no anchors in {data}"
        return AnchorCheck(None, [], 0, None, [], why)
    problem = (
        "no device's anchors are in this log: it is of a device that this receiver does not know, "
        "or was rewritten; name the device with --device"
    )
    return AnchorCheck(None, [], 0, None, [problem])


def restarted(told: Sequence[Anchor]) -> tuple[int, str] | None:
    """Return where the numbers that a device told went back last, or a record got another hash:
    the index of the first anchor after it, and what that says; None when they never did.

    Args:
        told: A device's anchors, in the order in which they were told.
    """
    for i in range(len(told) - 1, 0, -1):
        before, after = told[i - 1], told[i]
        if after.seq < before.seq or (after.seq == before.seq and after.hash != before.hash):
            return i, (
                f"the log was restarted or cut between {_date(before)}, when its newest record "
                f"was {before.seq}, and {_date(after)}, when it was {after.seq}"
            )
    return None


def _problems(told: list[Anchor], hashes: dict[int, str]) -> tuple[list[str], str | None]:
    """Return what the log lacks of the anchors, and which of it is only a missing end."""
    problems = []
    current = told
    if (found := restarted(told)) is not None:
        problems.append(found[1])
        current = told[found[0] :]
    first, last = min(hashes, default=0), max(hashes, default=-1)
    gone = [anchor for anchor in current if anchor.seq > last]
    missing = None
    if gone:
        missing = (
            f"the receiver was told of record {gone[-1].seq} on {_date(gone[-1])}: "
            f"records {last + 1} to {gone[-1].seq} are missing at the end"
        )
        problems.append(missing)
    for anchor in current:
        if first <= anchor.seq <= last and hashes.get(anchor.seq) != anchor.hash:
            what = "is not in the log" if anchor.seq not in hashes else "has another hash"
            problems.append(
                f"record {anchor.seq}, of which the receiver was told on {_date(anchor)}, {what}: "
                "it or one before it was replaced"
            )
            break
    return problems, missing


def _date(anchor: Anchor) -> str:
    return f"{datetime.datetime.fromtimestamp(anchor.told_s):%Y-%m-%d %H:%M}"


def clock_times(
    records: Sequence[dict[str, Any]], anchors: Sequence[Anchor]
) -> list[float | None]:
    """Return the Unix time of each record, None where no anchor tells.

    A device has no clock: `t_ms` counts from its start.  A record of which the receiver was told
    is at most that old, so the earliest start that any anchor of a run allows is taken.  It is
    late by the time from the record to the message: a few seconds if the receiver was there, and
    a minute at most while it was.
    """
    told = {(anchor.seq, anchor.hash): anchor.told_s for anchor in anchors}
    times: list[float | None] = [None] * len(records)
    begin = 0
    for end in range(1, len(records) + 1):
        if end < len(records) and records[end]["kind"] != "boot":
            continue
        starts = [
            told[(record["seq"], record["hash"])] - record["t_ms"] / 1000
            for record in records[begin:end]
            if (record["seq"], record["hash"]) in told
        ]
        if starts:
            for i in range(begin, end):
                times[i] = min(starts) + records[i]["t_ms"] / 1000
        begin = end
    return times
