"""Keeps what each device said is the newest record of its audit log, to check the log against.

An anchor is the number and the hash of a record, and when the receiver was told.  It lies outside
the device, so a log that was written anew, or cut, no longer fits.  One file for each device, a
line of JSON for each anchor; it holds nothing of what the records say.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files

FOLDER = "anchors"
VERSION = 1
#: A file that grew to twice this many anchors is cut to the newest of them; each also stands for
#: all records before it.
MAX_ANCHORS = 1000
_SUFFIX = ".jsonl"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class Anchor:
    """`seq` and `hash` of a record; `told_s` is when the receiver heard of it, in Unix time."""

    seq: int
    hash: str
    told_s: float


class Anchors:
    """The anchors in the folder `data`/anchors, by the id that the receiver gave a device."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def add(self, device: str, anchor: Anchor) -> Anchor | None:
        """Keep an anchor that differs from the last one; raises HostToolError.

        Returns the last one if it contradicts this one: the log was restarted or cut.
        """
        path = self._path(device)
        content = owner_only_files.read(path) if path.exists() else b""
        known = _anchors(content)
        if known and (known[-1].seq, known[-1].hash) == (anchor.seq, anchor.hash):
            return None
        owner_only_files.make_folder(self._folder)
        is_torn = content and not content.endswith(b"\n")
        if is_torn or len(known) >= 2 * MAX_ANCHORS:
            kept = [*known[-MAX_ANCHORS + 1 :], anchor]
            owner_only_files.write(path, b"".join(map(_line, kept)))
        else:
            owner_only_files.append(path, _line(anchor))
        return known[-1] if known and anchor.seq <= known[-1].seq else None

    def of(self, device: str) -> list[Anchor]:
        """Return a device's anchors, oldest first; raises HostToolError."""
        path = self._path(device)
        return _anchors(owner_only_files.read(path)) if path.exists() else []

    def devices(self) -> list[str]:
        """Return the ids of the devices that have anchors."""
        if not self._folder.is_dir():
            return []
        ids = (path.stem for path in self._folder.glob("*" + _SUFFIX))
        return sorted(id for id in ids if _ID.fullmatch(id))

    def _path(self, device: str) -> Path:
        if not _ID.fullmatch(device):
            raise HostToolError(f"{device!r} is not the id of a device", "check devices.json")
        return self._folder / (device + _SUFFIX)


def _anchors(content: bytes) -> list[Anchor]:
    found = (_anchor(line) for line in content.split(b"\n"))
    return [anchor for anchor in found if anchor is not None]


def _line(anchor: Anchor) -> bytes:
    fields = {"v": VERSION, "told_s": anchor.told_s, "seq": anchor.seq, "hash": anchor.hash}
    return json.dumps(fields).encode() + b"\n"


def _anchor(line: bytes) -> Anchor | None:
    """Return the anchor of a line; None for what a power loss left of one."""
    try:
        row = json.loads(line)
        if row["v"] != VERSION:
            return None
        anchor = Anchor(int(row["seq"]), str(row["hash"]), float(row["told_s"]))
        protocol.encode(protocol.AUDIT_HEAD, {"seq": anchor.seq, "hash": anchor.hash})
    except (ValueError, TypeError, KeyError, protocol.ProtocolError):
        return None
    return anchor
