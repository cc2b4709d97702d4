"""A copied audit log: its files, its records, and what is wrong with them.

Records and chain are read with the firmware's own `satellite.audit_record`, so the host and the
device cannot disagree; docs/audit.md says what the chain proves and what it does not.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware.satellite import audit_record
from host_tools.audit.anchor_check import AnchorCheck, clock_times
from host_tools.errors import HostToolError

if TYPE_CHECKING:
    Kinds = dict[str, tuple[audit_record.Fields, audit_record.Fields]]

JSON_VERSION = 1
#: Names of the device's files: the newest is `audit.jsonl`, older ones `audit.1.jsonl` and so on.
LOG_PATTERN = "audit*.jsonl"
HEAD_NAME = "audit.head"
MAX_FILE_BYTES = 16 << 20
MAX_FILES = 1000
#: Fields that every record has; the others depend on its kind.
_COMMON = ("seq", "t_ms", "kind", "prev", "hash")


@dataclass(frozen=True)
class Problem:
    """What is wrong, and in which line of which file; line 0 stands for the whole log."""

    file: str
    line: int
    what: str


@dataclass(frozen=True)
class Log:
    """A log that was read; `has_head` tells whether its head was among the files."""

    records: list[dict[str, Any]]
    problems: list[Problem]
    has_head: bool
    files: list[str]
    #: The last record, if the head does not know it: the power was lost as it was written, or it
    #: was added by hand.
    unconfirmed: int | None = None
    #: Whose records: the fields of each kind.
    kinds: Kinds = field(default_factory=lambda: audit_record.KINDS)

    def times(self, check: AnchorCheck | None) -> list[float | None]:
        """Return the Unix time of each record, None where nobody knows."""
        if self.kinds is not audit_record.KINDS:  # the receiver has a clock
            return [record["t_ms"] / 1000 for record in self.records]
        return clock_times(self.records, check.anchors if check else [])


def find(names: tuple[str, ...]) -> list[Path]:
    """Return the named files and the log files in the named folders; raises HostToolError."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(path.glob(LOG_PATTERN)) + sorted(path.glob(HEAD_NAME))
            if not inside:
                raise HostToolError(
                    f"{name}: no audit log in this folder", f"its files are named {LOG_PATTERN}"
                )
            found += inside
        else:
            found.append(path)
    unique = list(dict.fromkeys(path.resolve() for path in found))
    if len(unique) > MAX_FILES:
        raise HostToolError(f"{len(unique)} files are too many", f"give {MAX_FILES} at most")
    return unique


def read(paths: list[Path], expect: str | None = None, kinds: Kinds = audit_record.KINDS) -> Log:
    """Read and verify the files of one log; raises HostToolError for what cannot be read.

    Args:
        paths: Its files.
        expect: A hash that must be in it.
        kinds: The records that it may have: a device's, or the receiver's.
    """
    return read_contents([(path.name, _bytes(path)) for path in paths], expect, kinds)


def read_contents(
    files: Iterable[tuple[str, bytes]],
    expect: str | None = None,
    kinds: Kinds = audit_record.KINDS,
) -> Log:
    """As `read`, of (name, content) of each file."""
    head = None
    logs: list[tuple[int, str, list[bytes]]] = []
    for name, data in files:
        if name.endswith(".head"):
            if head is not None:
                raise HostToolError(
                    "two files named .head were given", "give the files of one device only"
                )
            head = data
            continue
        lines = audit_record.split(data)
        logs.append((_first_seq(lines, kinds), name, lines))
    if not logs:
        raise HostToolError("no log file was given", f"add {LOG_PATTERN}")
    logs.sort(key=lambda log: log[0])
    places = [(name, i + 1) for _, name, lines in logs for i in range(len(lines))]
    everything = [line for _, _, lines in logs for line in lines]
    records, found = audit_record.verify(everything, head, kinds)
    if everything and not records:
        raise HostToolError(
            f"{', '.join(name for _, name, _ in logs)}: no record of an audit log in it",
            "copy audit.jsonl from the device",
        )
    places.append((HEAD_NAME, 0))  # for what is missing at the end
    problems = [Problem(places[at][0], places[at][1], what) for at, what in found]
    if expect is not None and all(record["hash"] != expect for record in records):
        problems.append(Problem("", 0, f"no record has the expected hash {expect}"))
    log_names = [name for _, name, _ in logs]
    return Log(records, problems, head is not None, log_names, _unconfirmed(records, head), kinds)


def _unconfirmed(records: list[dict[str, Any]], head: bytes | None) -> int | None:
    try:
        seq = audit_record.decode_head(head)[0] if head is not None else None
    except audit_record.AuditError:
        return None
    last = records[-1]["seq"] if records else None
    return last if seq is not None and last == seq + 1 else None


def as_document(log: Log, check: AnchorCheck | None) -> dict[str, Any]:
    """Return what --json prints; `check` is None where no anchors were asked for."""
    last = log.records[-1] if log.records else None
    times = log.times(check)
    records = [
        {**record, "time": None if time is None else round(time, 3)}
        for record, time in zip(log.records, times, strict=True)
    ]
    return {
        "version": JSON_VERSION,
        "files": log.files,
        "whole": not log.problems,
        "head_checked": log.has_head,
        "unconfirmed": log.unconfirmed,
        "last": None if last is None else {"seq": last["seq"], "hash": last["hash"]},
        "problems": [
            {"file": problem.file, "line": problem.line, "what": problem.what}
            for problem in log.problems
        ],
        "anchors": None if check is None else _anchors_as_document(check),
        "records": records,
    }


def _anchors_as_document(check: AnchorCheck) -> dict[str, Any]:
    newest = check.newest
    return {
        "device": check.device,
        "known": len(check.anchors),
        "found": check.found,
        "newest": None if newest is None else {"seq": newest.seq, "told": newest.told_s},
        "unchecked": check.unchecked,
    }


def details(record: dict[str, Any]) -> str:
    """Return a record's own fields as text, in the order in which the log has them."""
    fields = audit_record.KINDS.get(record.get("kind", ""), ((), ()))
    order = [name for part in fields for name, _ in part]
    own = [name for name in record if name not in _COMMON]
    own.sort(key=lambda name: order.index(name) if name in order else len(order))
    return ", ".join(f"{name} {_plain(record[name])}" for name in own)


def describe(record: dict[str, Any], unix_s: float | None = None) -> str:
    """Return a record as one line: with its time where that is known, else with the milliseconds
    since that start of the device.
    """
    when = f"{record.get('t_ms')} ms"
    if unix_s is not None:
        when = f"{datetime.datetime.fromtimestamp(unix_s):%Y-%m-%d %H:%M:%S}"
    return f"#{record.get('seq')} {when} {record.get('kind')} {details(record)}".rstrip()


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise HostToolError(f"{path}: too large for an audit log", "check the file name")
        return path.read_bytes()
    except OSError as error:
        raise HostToolError(
            f"{path}: {error.strerror or error}", "check the name and the folder"
        ) from error


def _first_seq(lines: list[bytes], kinds: Kinds) -> int:
    """Return the number of the file's first record, as far as its lines tell; for sorting."""
    for i, line in enumerate(lines):
        try:
            return int(audit_record.decode(line, kinds)["seq"]) - i
        except audit_record.AuditError:
            continue
    return 1 << 62


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
