"""The receiver's own audit log: who looked at recordings, what was deleted, and who signed in, in
a hash chain.

The format is the device's (firmware/satellite/audit_record.py, docs/audit.md) with kinds of its
own, and `t_ms` is the time of this computer, in milliseconds since 1970.  It holds ids, numbers
and fixed words.  A record is on the disk before what it tells of is done; what cannot be recorded
is not done.  Several processes may write, one at a time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from firmware.satellite import audit_record
from firmware.satellite.audit_record import BOOL, COUNT, NAME, NO_HASH
from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.folder_lock import waiting

FOLDER = "receiver-audit"
LOG_NAME, HEAD_NAME, LOCK_NAME = "audit.jsonl", "audit.head", "audit.lock"
#: Given up when the disk is full, so that deletions can be recorded, which make room.
RESERVE_NAME, RESERVE_BYTES = "audit.reserve", 65536
#: A file that is longer becomes `audit.N.jsonl`, the latest with the highest N.
MAX_FILE_BYTES = 1 << 20
MAX_FILES = 64
LOOKS = ("hear", "download", "export", "read", "measure")
#: Who asked: a command, the page on this computer or on another, the receiver by itself, or a
#: device.
SOURCES = ("command", "page", "page-network", "receiver", "device")
#: Where somebody looks at the page: on this computer, or on another one.
SESSIONS = ("loopback", "network")
#: Why a session ends before its time: somebody left, ended it from another one, or ended all.
SIGN_OUTS = ("left", "ended", "everywhere")
SET_UPS = ("set", "reset")
#: Why recordings are deleted: their owner wants it, their time is over, consent was withdrawn,
#: nobody can say or read what they are.
WHYS = ("owner", "expired", "withdrawn", "unsound")
_ONE, _MANY = ("recording", NAME), ("recordings", COUNT)
#: As audit_record.KINDS.  `ids` is the SHA-256 of the sorted ids of several recordings, each with
#: a newline; `device` is the id in the receiver's list.
KINDS: dict[str, tuple[audit_record.Fields, audit_record.Fields]] = {
    "look": ((("what", LOOKS), ("source", SOURCES), _ONE), ()),
    "delete": (
        (("why", WHYS), ("source", SOURCES), _MANY),
        (_ONE, ("ids", NAME), ("device", NAME)),
    ),
    "deleted": ((_MANY, ("left", COUNT)), ()),
    "withdraw": (
        (("keep_recordings", BOOL), ("share_for_training", BOOL), ("device", NAME)),
        (),
    ),
    "withdraw-asked": ((("source", SOURCES), ("device", NAME)), ()),
    "label": ((("source", SOURCES), _ONE), ()),
    "donate": ((_MANY, ("ids", NAME)), (("archive", NAME), ("source", SOURCES))),
    "leave": ((_MANY, ("archive", NAME), ("source", SOURCES)), ()),
    "sign-in": ((("session", SESSIONS), ("id", NAME)), (("address", NAME),)),
    "sign-in-failed": ((("count", COUNT), ("refused", COUNT)), (("address", NAME),)),
    "sign-out": ((("why", SIGN_OUTS), ("sessions", COUNT)), (("id", NAME),)),
    "set-up": ((("what", SET_UPS),), ()),
    "rotate": audit_record.KINDS["rotate"],
    "torn": audit_record.KINDS["torn"],
}


class ReceiverLog:
    """The log in the folder `data`/receiver-audit."""

    def __init__(self, data: Path) -> None:
        self.folder = data / FOLDER
        self._log = self.folder / LOG_NAME
        self._head = self.folder / HEAD_NAME

    def add(self, kind: str, **fields: object) -> None:
        """Append a record; it is on the disk when this returns.

        Raises:
            HostToolError: it could not be written; what it tells of must not be done.
        """
        owner_only_files.make_folder(self.folder)
        with waiting(self.folder / LOCK_NAME):
            try:
                self._add(kind, fields)
            except OSError:
                with contextlib.suppress(OSError):
                    (self.folder / RESERVE_NAME).unlink()
                try:
                    self._add(kind, fields)
                except OSError as error:
                    raise HostToolError(
                        f"cannot write {self._log}: {error.strerror}",
                        "what cannot be recorded is not done; check the free space",
                    ) from error
            with contextlib.suppress(HostToolError):  # the disk is full; the next time
                self._reserve()

    def deleting(
        self, why: str, source: str, ids: Sequence[str], device: str | None = None
    ) -> None:
        """Record that these recordings are about to be deleted; raises HostToolError as `add`."""
        fields: dict[str, object] = {"why": why, "source": source, "recordings": len(ids)}
        fields |= {"recording": ids[0]} if len(ids) == 1 else {"ids": digest_of(ids)}
        if device is not None:
            fields["device"] = device
        self.add("delete", **fields)

    def prepare(self) -> None:
        """Make room for the records of deletions before there is something to delete; raises
        HostToolError."""
        owner_only_files.make_folder(self.folder)
        with waiting(self.folder / LOCK_NAME):
            self._reserve()

    def _add(self, kind: str, fields: dict[str, Any]) -> None:
        seq, digest = self._settle()
        if self._log.exists() and self._log.stat().st_size > MAX_FILE_BYTES:
            seq, digest = self._rotate(seq, digest)
        self._append(seq, digest, kind, fields)

    def _append(self, seq: int, digest: str, kind: str, fields: dict[str, Any]) -> tuple[int, str]:
        """Write a record behind this one, then the head; returns its number and hash."""
        t_ms = round(time.time() * 1000)
        try:
            line, new = audit_record.encode(seq + 1, t_ms, kind, fields, digest, KINDS)
        except audit_record.AuditError as error:
            raise HostToolError(f"cannot record {kind}: {error}") from error
        is_new = not self._log.exists()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(self._log, flags, atomic_file.OWNER_ONLY_MODE), "ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            atomic_file.sync_folder(self.folder)
        try:
            owner_only_files.write(self._head, audit_record.encode_head(seq + 1, new))
        except HostToolError as error:
            raise OSError(None, error.message) from error
        return seq + 1, new

    def _settle(self) -> tuple[int, str]:
        """Return number and hash of the last record, after a torn line was cut off and noted.

        What was taken away or changed stays visible: the log goes on behind what the head names.
        """
        content = self._log.read_bytes() if self._log.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        torn = len(content) - len(whole)
        if torn:
            os.truncate(self._log, len(whole))
        seq, digest = self._last(whole)
        if torn:
            fields = {"bytes": torn, "lost": 0, "head": "good"}
            seq, digest = self._append(seq, digest, "torn", fields)
        return seq, digest

    def _last(self, content: bytes) -> tuple[int, str]:
        try:
            head = audit_record.decode_head(self._head.read_bytes())
        except (OSError, audit_record.AuditError):
            head = None
        try:
            record = audit_record.decode(audit_record.split(content)[-1], KINDS)
        except (IndexError, audit_record.AuditError):
            return head or (-1, NO_HASH)
        last: tuple[int, str] = record["seq"], record["hash"]
        # The head is a record behind when the power went between the two.
        return head if head is not None and head[0] > last[0] else last

    def _rotate(self, seq: int, digest: str) -> tuple[int, str]:
        """Begin a new file; the oldest goes when there are too many."""
        numbered = sorted(self.folder.glob("audit.*.jsonl"), key=_number)
        number = _number(numbered[-1]) + 1 if numbered else 1
        os.replace(self._log, self.folder / f"audit.{number}.jsonl")
        numbered.append(self.folder / f"audit.{number}.jsonl")
        while len(numbered) >= MAX_FILES:
            numbered.pop(0).unlink()
        first = audit_record.split(numbered[0].read_bytes())[0]
        try:
            oldest = int(audit_record.decode(first, KINDS)["seq"])
        except audit_record.AuditError:
            oldest = 0
        return self._append(seq, digest, "rotate", {"oldest": oldest})

    def _reserve(self) -> None:
        path = self.folder / RESERVE_NAME
        if not path.exists():
            owner_only_files.write(path, os.urandom(RESERVE_BYTES))


def address_of(peer: str) -> str:
    """Return the address of a peer as a record can hold it: IPv6 with '-' in place of ':'."""
    return peer.partition("%")[0].replace(":", "-")


def digest_of(ids: Iterable[str]) -> str:
    """Return what a record says of several recordings."""
    return hashlib.sha256("".join(f"{id}\n" for id in sorted(ids)).encode()).hexdigest()


def _number(path: Path) -> int:
    middle = path.name.split(".")[1]
    return int(middle) if middle.isdigit() else 0
