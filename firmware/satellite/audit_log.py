"""The audit log on the device: written as things happen, whole after any power loss.

Place: beside app and streamer, which say what happened; `earnest audit` reads it.  The records
and their chain are in `audit_record`; here they get onto the storage (drivers/storage.py), which
is handed in: the newest in FILE, older ones in files of their own, until the oldest is removed.
HEAD names the last record.  Times are passed in.

How much is written: a record costs one append and one small atomic write.  What others can cause -
faults, refusals, drops, wake words - takes from a budget of BURST records that grows by one each
REFILL_MS: at most 86,400,000 / REFILL_MS + BURST records a day, MAX_DAY_BYTES with their heads.
What a person at the device does, and each start, is always written at once.
"""

from .audit_record import (
    MAX_RECORD_BYTES,
    NO_HASH,
    OPENERS,
    AuditError,
    Chain,
    decode,
    decode_head,
    encode,
    encode_head,
)

FILE = "audit.jsonl"
HEAD = "audit.head"
FILE_BYTES = 16384
FILES = 16

BURST = 64
REFILL_MS = 15000
#: Of the budget: what a stream needs, and what a flood of other records leaves for streams.
STREAM_RECORDS = 4
RESERVED = 16
#: A fault, refusal or drop is written at once, its repetitions after this time, with a count.
REPEAT_MS = 60000
MAX_PENDING = 16
MAX_HEAD_BYTES = 128
MAX_DAY_BYTES = (86400000 // REFILL_MS + BURST) * (MAX_RECORD_BYTES + MAX_HEAD_BYTES)

#: Kinds that may wait and be counted together; all others are written at once.
_COUNTED = ("fault", "refused", "dropped")


def file_name(age):
    """Return the name of a file: age 0 is being written, FILES - 1 is the oldest."""
    return "audit.%d.jsonl" % age if age else FILE


class AuditLog:
    """Call `open` at start; then `append` what happens and `tick` now and then.

    Times are device time in ms.  All methods that write may raise OSError; after one, the next
    call reads the storage anew, as after a power loss.
    """

    def __init__(self, storage, file_bytes=FILE_BYTES, files=FILES):
        if file_bytes < 4 * MAX_RECORD_BYTES or files < 2:
            raise ValueError("%d files of %d bytes" % (files, file_bytes))
        self._storage = storage
        self._file_bytes = file_bytes
        self._files = files
        self._is_open = False
        self._size = 0
        self.seq = -1
        self.hash = NO_HASH
        self._tokens = BURST
        self._refilled_ms = None
        #: Whether `tick` may have something to do.
        self.has_waiting = False
        self._pending = []  # [kind, fields, count, when it was last written, in ms]
        self._uncounted = 0
        self._uncounted_ms = 0

    # --- what happens ---

    def append(self, kind, now_ms, **fields):
        """Record an event.  Return True if it was written, False if it will be, with a count.

        Raises AuditError for a kind or field that audit_record does not know.
        """
        if not self._is_open:
            self.open(now_ms)
        self._refill(now_ms)
        if kind in _COUNTED:
            return self._count(kind, now_ms, fields)
        if kind == "wake" and self._tokens < STREAM_RECORDS:
            return self._count(kind, now_ms, fields)
        self._write(kind, now_ms, fields)
        return True

    def may_stream(self, now_ms):
        """Whether the budget has room for the records of a stream; otherwise none may start."""
        self._refill(now_ms)
        return self._tokens >= STREAM_RECORDS

    def has_room(self, now_ms):
        """Whether the budget has room for a record that others cause, besides those of streams."""
        self._refill(now_ms)
        return self._tokens > RESERVED

    def tick(self, now_ms):
        """Write the counts that are due; cheap when there are none."""
        if self.has_waiting:
            self._write_due(now_ms)
            self.has_waiting = self._uncounted > 0 or len(self._pending) > 0

    def _write_due(self, now_ms):
        if not self._is_open:
            self.open(now_ms)
        self._refill(now_ms)
        for entry in list(self._pending):
            kind, fields, count, written_ms = entry
            if now_ms - written_ms < REPEAT_MS:
                continue
            if count and self._tokens <= RESERVED:
                return
            self._pending.remove(entry)
            if count:
                self._write(kind, now_ms, _counted(kind, fields, count))
        is_due = now_ms - self._uncounted_ms >= REPEAT_MS
        if self._uncounted and is_due and self._tokens > RESERVED:
            count, self._uncounted = self._uncounted, 0
            self._write("dropped", now_ms, {"what": "records", "count": count})

    def _count(self, kind, now_ms, fields):
        encode(0, now_ms, kind, _counted(kind, fields, 1), NO_HASH)  # refuse wrong fields now
        self.tick(now_ms)
        self.has_waiting = True
        count = fields.get("count", 1)
        what = fields.get("what", fields.get("model"))
        for entry in self._pending:
            if entry[0] == kind and entry[1].get("what", entry[1].get("model")) == what:
                entry[1] = fields
                entry[2] += count
                return False
        if len(self._pending) == MAX_PENDING:
            if not self._uncounted:
                self._uncounted_ms = now_ms
            self._uncounted += 1
            return False
        if self._tokens <= RESERVED:
            self._pending.append([kind, fields, count, now_ms])
            return False
        self._pending.append([kind, fields, 0, now_ms])
        self._write(kind, now_ms, fields)
        return True

    def _refill(self, now_ms):
        if self._refilled_ms is None:
            self._refilled_ms = now_ms
        grown = (now_ms - self._refilled_ms) // REFILL_MS
        if grown > 0:
            self._refilled_ms += grown * REFILL_MS
            self._tokens = min(BURST, self._tokens + grown)

    # --- onto the storage ---

    def _write(self, kind, now_ms, fields):
        self._is_open = False  # until all of it is there
        self._put(kind, now_ms, fields)
        self._is_open = True

    def _put(self, kind, now_ms, fields):
        line, digest = encode(self.seq + 1, now_ms, kind, fields, self.hash)
        if self._size and self._size + len(line) > self._file_bytes:
            self._rotate()
        if not self._size and self.seq >= 0 and kind not in OPENERS:
            oldest = self._oldest_seq()
            self._put("rotate", now_ms, {"oldest": self.seq + 1 if oldest is None else oldest})
            if self._storage.size(file_name(self._files)) >= 0:
                self._storage.remove(file_name(self._files))
            line, digest = encode(self.seq + 1, now_ms, kind, fields, self.hash)
        self._storage.append(FILE, line)
        self._size += len(line)
        self._advance(digest)

    def _advance(self, digest):
        self.seq += 1
        self.hash = digest
        if self._tokens:
            self._tokens -= 1
        self._storage.write_atomic(HEAD, encode_head(self.seq, digest))

    def _rotate(self):
        """Give each file the name of the next older one.  A power loss in between leaves a gap in
        the names, none in the records: what becomes too old is removed only when the `rotate`
        record has said so.
        """
        for age in range(self._files, 0, -1):
            if self._storage.size(file_name(age - 1)) >= 0:
                self._storage.rename(file_name(age - 1), file_name(age))
        self._size = 0

    def _oldest_seq(self):
        """Return the first record's number in the oldest readable file, None without any."""
        for age in range(self._files - 1, -1, -1):
            data = self._storage.read(file_name(age), MAX_RECORD_BYTES)
            if data:
                try:
                    return decode(data[: data.find(b"\n") + 1])["seq"]
                except AuditError:
                    continue
        return None

    # --- at start ---

    def open(self, now_ms):
        """Find the end of the log; cut off a record that was torn by a power loss, and record it.

        A file that is damaged elsewhere is kept as it is and a new one begun, so that the damage
        can be seen.
        """
        self._is_open = False
        storage = self._storage
        limit = self._file_bytes + 2 * MAX_RECORD_BYTES
        data = storage.read(FILE, limit) or b""
        chain, good = _follow(data)
        rest = data[good:]
        is_torn = bool(rest) and b"\n" not in rest and len(data) < limit
        is_damaged = bool(rest) and not is_torn
        if chain.seq < 0:
            older = storage.read(file_name(1), limit)
            if older:
                chain = _follow(older)[0]
        state, head_seq, head_hash = self._head(chain)
        lost = max(0, head_seq - chain.seq)
        self.seq, self.hash = (head_seq, head_hash) if lost else (chain.seq, chain.hash)
        self._size = len(data)
        fields = {"bytes": len(rest), "lost": lost, "head": state}
        if is_torn:
            line, digest = encode(self.seq + 1, now_ms, "torn", fields, self.hash)
            storage.write_atomic(FILE, data[:good] + line)
            self._size = good + len(line)
            self._advance(digest)
        elif is_damaged:
            self._rotate()
            self._put("torn", now_ms, fields)
        elif lost or state != "good":
            self._put("torn", now_ms, fields)
        self._is_open = True

    def _head(self, chain):
        """Return (state of the head, its seq, its hash) for a log that ends as `chain` does."""
        data = self._storage.read(HEAD, MAX_HEAD_BYTES)
        if data is None:
            # The power may have gone before the very first head was written.
            return ("good" if chain.seq <= 0 else "missing"), -1, NO_HASH
        try:
            seq, digest = decode_head(data)
        except AuditError:
            return "damaged", -1, NO_HASH
        state = "good"
        if seq == chain.seq and digest != chain.hash:
            state = "differs"
        elif seq < chain.seq - 1:
            state = "behind"
        return state, seq, digest


def _follow(data):
    """Return (Chain after the good records at the start of `data`, where they end)."""
    chain = Chain()
    good = 0
    while True:
        end = data.find(b"\n", good) + 1
        if not end:
            return chain, good
        before = chain.seq, chain.hash
        try:
            chain.add(data[good:end])
        except AuditError:
            chain.seq, chain.hash = before
            return chain, good
        good = end


def _counted(kind, fields, count):
    """Return the fields with their count; a single event has none, unless it is a drop."""
    if count == 1 and kind != "dropped":
        return fields
    result = dict(fields)
    result["count"] = count
    return result
