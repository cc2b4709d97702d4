"""What came of the last check of each device's log, in the receiver's folder, for the page.

One JSON file for each device, for the owner alone, replaced whole.  It holds numbers and times of
records and no audio.  What a device told since is held against it as well: anchors come over the
network, so a log that was cut or written anew shows before anybody fetches it.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from host_tools.audit.anchor_check import restarted
from host_tools.audit.stream_check import Mismatch
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.anchors import Anchor, Anchors

FOLDER = "checks"
VERSION = 1
#: Where the log came from: fetched from the board, as it is now; or copied files of some day.
CABLE, FILES = SOURCES = ("cable", "files")
#: Kept of what is wrong; the number of the rest is kept too.
MAX_LISTED = 100
MAX_TEXT = 300
MAX_FILE_BYTES = 256 * 1024
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Result:
    """What a check of a log found.  Times are Unix times."""

    checked_s: float
    #: One of SOURCES.
    source: str
    #: The log's first and last record.
    first_seq: int
    last_seq: int
    last_hash: str
    #: What was changed, left out or moved, as chain and anchors tell.
    broken: tuple[str, ...]
    #: That the copy ends before what the device told since.
    behind: str | None
    #: Why no anchor was compared.
    unanchored: str | None
    #: The newest anchor in the log.
    anchor_seq: int | None
    anchor_told_s: float | None
    #: The log's streams from which audio left; None where there is no history to compare with.
    sent: int | None
    matched: int
    #: From before the history began.
    older: int
    mismatches: tuple[Mismatch, ...]
    #: How many more there were than are listed.
    unlisted: int = 0
    #: Of an earlier check: those records are not in the log any more.
    earlier: tuple[Mismatch, ...] = ()

    @property
    def is_red(self) -> bool:
        """Return whether somebody else may have got audio, or the log was changed."""
        return bool(self.broken or self.mismatches or self.unlisted or self.earlier)


class Results:
    """The files in the folder `data`/checks, by the id that the receiver gave a device."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._anchors = Anchors(data)

    def keep(self, device: str, result: Result, hashes: Collection[str]) -> bool:
        """Keep a result in place of the one before, and return whether: of copied files, one that
        found nothing and reaches less far than the one before is not kept.

        Args:
            device: Its id in the receiver's list.
            result: Of the check.
            hashes: Of the records in that log: what an earlier check found and that is not among
                them any more is kept with it.

        Raises:
            HostToolError: it cannot be written.
        """
        before = self.of(device)
        if before is not None:
            is_older = result.source == FILES and result.last_seq < before.last_seq
            if is_older and not result.is_red:
                return False
            known = (*before.earlier, *(m for m in before.mismatches if m.hash is not None))
            earlier = tuple(m for m in known if m.hash not in hashes)
            result = replace(result, earlier=earlier[-MAX_LISTED:])
        owner_only_files.make_folder(self._folder)
        content = json.dumps({"v": VERSION, **asdict(_bounded(result))}).encode()
        owner_only_files.write(self._path(device), content)
        return True

    def of(self, device: str) -> Result | None:
        """Return what the last check found; None without one, or for one that cannot be read."""
        path = self._path(device)
        if not path.exists():
            return None
        content = owner_only_files.read(path)
        return _result(content) if len(content) <= MAX_FILE_BYTES else None

    def disagreement(self, device: str) -> str | None:
        """Return how what the device tells of its log contradicts what it told before, or the log
        as it was checked; None when it does not.  Raises HostToolError."""
        told = self._anchors.of(device)
        checked = self.of(device)
        if checked is not None:
            last = Anchor(checked.last_seq, checked.last_hash, checked.checked_s)
            if checked.source == CABLE:
                told = sorted([*told, last], key=lambda anchor: anchor.told_s)
            elif any(a.seq == last.seq and a.hash != last.hash for a in told):
                return f"record {last.seq} is another than in the log that was checked"
        found = restarted(told)
        return None if found is None else found[1]

    def newest_told(self, device: str) -> Anchor | None:
        """Return the newest anchor of a device; raises HostToolError."""
        told = self._anchors.of(device)
        return told[-1] if told else None

    def forget(self, device: str) -> None:
        """Remove a device's result; raises HostToolError."""
        try:
            self._path(device).unlink(missing_ok=True)
        except OSError as error:
            raise HostToolError(
                f"cannot remove {self._path(device)}: {error.strerror}", "remove it by hand"
            ) from error

    def _path(self, device: str) -> Path:
        if not _ID.fullmatch(device):
            raise HostToolError(f"{device!r} is not the id of a device", "check devices.json")
        return self._folder / (device + ".json")


def _bounded(result: Result) -> Result:
    """Return what is kept of a result, whatever a log holds."""
    texts = tuple(text[:MAX_TEXT] for text in result.broken[:MAX_LISTED])
    listed = result.mismatches[:MAX_LISTED]
    unlisted = result.unlisted + len(result.mismatches) - len(listed)
    return replace(result, broken=texts, mismatches=listed, unlisted=unlisted)


def _result(content: bytes) -> Result | None:
    try:
        row = json.loads(content)
        if row.pop("v") != VERSION:
            return None
        for name in ("mismatches", "earlier"):
            row[name] = tuple(_mismatch(each) for each in row[name])
        result = Result(**{**row, "broken": tuple(map(str, row["broken"]))})
        _check(result)
    except (ValueError, TypeError, KeyError, AttributeError):
        return None
    return result


def _mismatch(row: dict[str, Any]) -> Mismatch:
    mismatch = Mismatch(**row)
    _check(mismatch)
    return mismatch


_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (int, float),
    "str": (str,),
    "int | None": (int, type(None)),
    "float | None": (int, float, type(None)),
    "str | None": (str, type(None)),
}


def _check(row: Result | Mismatch) -> None:
    """Raise ValueError unless each plain field has its type: the page reckons with them."""
    for field in dataclasses.fields(row):
        kinds = _KINDS.get(str(field.type))
        value = getattr(row, field.name)
        if kinds is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise ValueError(field.name)
