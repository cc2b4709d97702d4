"""A record of the audit log: its fields, its one spelling, and the chain that ties it to others.

docs/audit.md specifies it.  Stands below `audit_log` on the device; the host reads a copied log
with this same file.  A record is a line of JSON:

    {"v":1,"seq":7,"t_ms":512,"kind":"mic","on":true,"prev":"<64 hex>","hash":"<64 hex>"}

`hash` is the SHA-256 of all bytes before `,"hash"`, and `prev` the hash of the record before.  No
field can hold audio, words or who somebody is: numbers, true or false, words out of a fixed list,
and the names that the owner gave to models and receivers.
"""

import binascii
import hashlib
import json

from .protocol import (
    CHIME,
    MAX_CUTOFF_THOUSANDTHS,
    MAX_PREROLL_MS,
    MAX_SEQ,
    MAX_SPEECH_MS,
    MIN_CUTOFF_THOUSANDTHS,
    PLAYED_REASONS,
    REFUSED,
    SPEAK,
    SPEECH_KINDS,
    VOLUME,
)

if False:  # for type checkers alone: it is not compiled
    from typing import Any

    FieldType = str | tuple[int, int] | tuple[str, ...]
    Fields = tuple[tuple[str, FieldType], ...]
    Problem = tuple[int, str]

VERSION = 1
MAX_RECORD_BYTES = 512
MAX_NAME_CHARACTERS = 64
NO_HASH = "0" * 64

BOOL = "true or false"
NAME = "a name"
COUNT = (0, MAX_SEQ)
PERCENT = (0, 100)
_NAME_CHARACTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_. "

SOURCES = ("button", "switch", "network", "boot", "stored", "usb")
RESETS = ("power", "brownout", "reset", "watchdog", "sleep", "soft", "unknown")
#: Why a stream ended, in the order of the gate's numbers.
END_REASONS = (
    "end-of-speech",
    "cap",
    "receiver",
    "network",
    "late",
    "no-consent",
    "mute",
    "fault",
    "no-speech",
)
CONSENTS = ("set", "accepted", "refused", "withdrawn", "deleted")
#: What was refused: what protocol.py says the network must not ask, and what is wrong in itself.
ASKED = REFUSED + ("peer", "message", "stream", "other", "sensitivity", SPEAK, CHIME, VOLUME)
FAULTS = (
    "light",
    "microphone",
    "speaker",
    "model",
    "engine",
    "storage",
    "config",
    "audit",
    "network",
    "certificate",
    "memory",
    "overrun",
    "watchdog",
    "crash",
    "cable",  # no fault: somebody stopped the firmware at the cable
    "other",
)
DROPPED = ("audio", "records")
#: What is said: what the network asks for, and the chime for an error of the device's own.
SPOKEN = SPEECH_KINDS + ("error",)
SPEAK_ENDS = PLAYED_REASONS + ("network",)
HEADS = ("good", "missing", "damaged", "differs", "behind")

#: Kind of record: (fields that it must have, fields that it may have), each (name, type), in the
#: order in which they are written.  A type is BOOL, NAME, (lowest, highest) or the allowed words.
KINDS: "dict[str, tuple[Fields, Fields]]" = {
    "boot": (
        (),
        (
            ("firmware", NAME),
            ("reset", RESETS),
            ("muted", BOOL),
            ("preroll_ms", (0, MAX_PREROLL_MS)),
            ("keep_recordings", BOOL),
            ("share_for_training", BOOL),
            ("insecure", BOOL),
        ),
    ),
    "mic": ((("on", BOOL),), ()),
    "mute": ((("on", BOOL), ("source", SOURCES)), ()),
    "sensitivity": (
        (
            ("model", NAME),
            ("cutoff_thousandths", (MIN_CUTOFF_THOUSANDTHS, MAX_CUTOFF_THOUSANDTHS)),
            ("source", SOURCES),
        ),
        (),
    ),
    "wake": ((("model", NAME), ("probability", (0, 255))), (("streamed", BOOL), ("count", COUNT))),
    "stream-start": (
        (),
        (
            ("preroll_ms", (0, MAX_PREROLL_MS)),
            ("keep_recordings", BOOL),
            ("share_for_training", BOOL),
            ("receiver", NAME),
        ),
    ),
    "stream-end": (
        (("bytes", COUNT), ("duration_ms", COUNT), ("reason", END_REASONS)),
        (("dropped_chunks", COUNT), ("receiver", NAME)),
    ),
    "speak-start": ((("what", SPOKEN),), (("volume", PERCENT),)),
    "speak-end": (
        (("what", SPOKEN), ("duration_ms", (0, MAX_SPEECH_MS)), ("reason", SPEAK_ENDS)),
        (("late_ms", (0, MAX_SPEECH_MS)),),
    ),
    "volume": ((("percent", PERCENT), ("source", SOURCES)), ()),
    "consent": (
        (("what", CONSENTS),),
        (
            ("keep_recordings", BOOL),
            ("share_for_training", BOOL),
            ("recordings", COUNT),
            ("source", SOURCES),
        ),
    ),
    "refused": ((("what", ASKED),), (("source", SOURCES), ("count", COUNT))),
    "fault": ((("what", FAULTS),), (("count", COUNT),)),
    "dropped": ((("what", DROPPED), ("count", COUNT)), ()),
    "rotate": ((("oldest", COUNT),), ()),
    "torn": ((("bytes", COUNT), ("lost", COUNT), ("head", HEADS)), ()),
}
#: The kinds that may be the first of a file that continues a log.
OPENERS = ("rotate", "torn")


class AuditError(ValueError):
    """A record that is not one, or is not in its place; says which and why."""


def _spelled(name: str, kind: "Any", value: object) -> str:
    """Return the value as JSON; raises AuditError if the field's type does not allow it."""
    if kind is BOOL:
        if value is True or value is False:
            return "true" if value else "false"
    elif kind is NAME:
        if isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARACTERS:
            if all(c in _NAME_CHARACTERS for c in value):
                return '"' + value + '"'
    elif isinstance(kind[0], str):
        if isinstance(value, str) and value in kind:
            return '"' + value + '"'
    elif isinstance(value, int) and value is not True and value is not False:
        if kind[0] <= value <= kind[1]:
            return "%d" % value
    raise AuditError("the field %s has a value that it cannot have" % name)


def encode(
    seq: int,
    t_ms: int,
    kind: str,
    fields: "dict[str, Any]",
    previous: str,
    kinds: "dict[str, tuple[Fields, Fields]]" = KINDS,
) -> tuple[bytes, str]:
    """Return (the line as bytes, with its newline; its hash); raises AuditError for what `kinds`
    does not allow; `previous` is the hash of the record before, NO_HASH for the first.
    """
    if not isinstance(kind, str) or kind not in kinds:
        raise AuditError("there is no such kind of record")
    must, may = kinds[kind]
    number = _spelled("seq", COUNT, seq)
    time = _spelled("t_ms", COUNT, t_ms)
    parts = ['{"v":%d,"seq":%s,"t_ms":%s,"kind":"%s"' % (VERSION, number, time, kind)]
    written = 0
    for name, allowed in must + may:
        if name in fields:
            parts.append(',"%s":%s' % (name, _spelled(name, allowed, fields[name])))
            written += 1
        elif (name, allowed) in must:
            raise AuditError("a record of kind %s needs the field %s" % (kind, name))
    if written != len(fields):
        raise AuditError("a record of kind %s has a field that it cannot have" % kind)
    parts.append(',"prev":"%s"' % _checked_hash(previous))
    body = "".join(parts).encode()
    digest = binascii.hexlify(hashlib.sha256(body).digest())
    line = body + b',"hash":"' + digest + b'"}\n'
    if len(line) > MAX_RECORD_BYTES:
        raise AuditError("the record would be too long")
    return line, digest.decode()


def _checked_hash(value: object) -> str:
    if isinstance(value, str) and len(value) == 64 and all(c in "0123456789abcdef" for c in value):
        return value
    raise AuditError("a hash is 64 lower-case hexadecimal digits")


def _object(line: bytes, what: str) -> "dict[str, Any]":
    if len(line) > MAX_RECORD_BYTES:
        raise AuditError("%s is too long" % what)
    if line[-1:] != b"\n":
        raise AuditError("%s is cut off" % what)
    try:
        record = json.loads(bytes(line).decode())
    except (ValueError, RuntimeError):
        raise AuditError("%s is damaged: it is not JSON" % what) from None
    if not isinstance(record, dict):
        raise AuditError("%s is damaged: it is not a JSON object" % what)
    if record.get("v") is True or record.get("v") != VERSION:
        raise AuditError("%s has a version other than %d" % (what, VERSION))
    return record


def decode(line: bytes, kinds: "dict[str, tuple[Fields, Fields]]" = KINDS) -> "dict[str, Any]":
    """Return the record of a line, newline included, as a dict; raises AuditError.

    There is one spelling of each record: whatever differs in a byte is refused.
    """
    record = _object(line, "the record")
    try:
        head = [record.pop(name) for name in ("v", "seq", "t_ms", "kind", "prev", "hash")]
    except KeyError:
        raise AuditError("the record is damaged: a field is missing") from None
    _, seq, t_ms, kind, previous, digest = head
    spelled, right = encode(seq, t_ms, kind, record, previous, kinds)
    if digest != right:
        raise AuditError("record %d was changed: its hash does not fit" % seq)
    if spelled != bytes(line):
        raise AuditError("record %d was changed: it is spelled otherwise" % seq)
    record["seq"], record["t_ms"], record["kind"] = seq, t_ms, kind
    record["prev"], record["hash"] = previous, digest
    return record


def encode_head(seq: int, digest: str) -> bytes:
    """Return the head file, which names the last record so that a missing tail is seen."""
    number = _spelled("seq", COUNT, seq)
    return ('{"v":%d,"seq":%s,"hash":"%s"}\n' % (VERSION, number, _checked_hash(digest))).encode()


def decode_head(data: bytes) -> tuple[int, str]:
    """Return (seq, hash) of the head file's bytes; raises AuditError."""
    record = _object(data, "the head")
    try:
        if encode_head(record["seq"], record["hash"]) == bytes(data):
            return record["seq"], record["hash"]
    except (KeyError, AuditError):
        pass
    raise AuditError("the head is damaged")


class Chain:
    """Follows records one by one: `seq` and `hash` of the last good one, -1 and NO_HASH before."""

    def __init__(self, kinds: "dict[str, tuple[Fields, Fields]]" = KINDS) -> None:
        self._kinds = kinds
        self.seq = -1
        self.hash = NO_HASH
        self.first_seq = -1
        self._unreadable = 0  # lines since the last good one: each told of, each once a record

    def add(self, line: bytes) -> "dict[str, Any]":
        """Check the next line and return its record.  Raises AuditError and, where the line is a
        record at all, goes on from it.
        """
        try:
            record = decode(line, self._kinds)
        except AuditError as error:
            self._unreadable += 1
            at = self.seq + self._unreadable
            raise AuditError("where record %d should be: %s" % (at, error)) from None
        problem = self._problem(record)
        if self.first_seq < 0:
            self.first_seq = record["seq"] - self._unreadable
        self._unreadable = 0
        self.seq, self.hash = record["seq"], record["hash"]
        if problem:
            raise AuditError(problem)
        return record

    def _problem(self, record: "dict[str, Any]") -> str | None:
        seq = record["seq"]
        if self._unreadable and (self.first_seq < 0 or seq == self.seq + self._unreadable + 1):
            return None  # those were told of already
        if self.first_seq < 0 and seq:
            if record["kind"] not in OPENERS:
                return "record %d: the records before it are missing" % seq
        elif self.first_seq < 0:
            if record["prev"] != NO_HASH:
                return "record 0 is not the start of a log"
        elif seq > self.seq + 1:
            return "record %d: records %d to %d are missing before it" % (
                seq,
                self.seq + 1,
                seq - 1,
            )
        elif seq <= self.seq:
            return "record %d comes after record %d: out of order or twice" % (seq, self.seq)
        elif record["prev"] != self.hash:
            return "record %d does not follow from record %d: one of them was replaced" % (
                seq,
                self.seq,
            )
        return None


def split(data: bytes) -> list[bytes]:
    """Return the lines of a file's bytes, each with its newline; one that was cut off has none."""
    lines = [line + b"\n" for line in data.split(b"\n")]
    last = lines.pop()[:-1]
    return lines + [last] if last else lines


def verify(
    lines: list[bytes],
    head: bytes | None = None,
    kinds: "dict[str, tuple[Fields, Fields]]" = KINDS,
) -> "tuple[list[dict[str, Any]], list[Problem]]":
    """Check a whole log, oldest line first (as `split` gives them); `head` is the head file's
    bytes, or None where it was not copied; `kinds` are those of the device, unless another log
    of this format is read.

    Returns (records that could be read, problems): a problem is (index of the line, sentence),
    with an index of len(lines) for what is missing at the end.  No problems: the chain is
    intact and ends where the head says, or one record later.  docs/audit.md says what that proves.
    """
    chain = Chain(kinds)
    records = []
    problems = []
    for i, line in enumerate(lines):
        try:
            record = chain.add(line)
        except AuditError as error:
            problems.append((i, str(error)))
            try:
                record = decode(line, kinds)
            except AuditError:
                continue
        records.append(record)
    oldest = 0
    for record in records:
        if record["kind"] == "rotate":
            oldest = record["oldest"]
    if 0 <= oldest < chain.first_seq:
        what = "records %d to %d are missing at the start" % (oldest, chain.first_seq - 1)
        problems.insert(0, (0, what))
    if head is not None:
        problem = _head_problem(head, chain, records)
        if problem:
            problems.append((len(lines), problem))
    return records, problems


def _head_problem(data: bytes, chain: Chain, records: "list[dict[str, Any]]") -> str | None:
    try:
        seq, digest = decode_head(data)
    except AuditError as error:
        return str(error)
    if seq > chain.seq:
        return "records %d to %d are missing at the end" % (chain.seq + 1, seq)
    if seq == chain.seq:
        known = chain.hash
    elif seq == chain.seq - 1 and records:
        known = records[-1]["prev"]  # the power went between the record and the head
    else:
        return "the head is at record %d: the records after it were added by another hand" % seq
    return None if digest == known else "record %d is not the one that the head names" % seq
