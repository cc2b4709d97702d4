"""The history: every stream that ever came, kept or not, in an SQLite file of its own.

It holds no audio: when a stream came, from which device, after which wake word, how long it was,
why it ended, what was done with it and under which consent.  A row outlives its recording, and
then says when that was deleted.  Rows go when they are MAX_AGE_DAYS old, and the oldest when there
are more than MAX_ROWS; a row whose recording is still there stays with it.  Used by one thread,
and by several processes.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard, TypeVar

from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.history_rows import EVERYTHING, DayBytes, Filter, StreamRow
from host_tools.receiver.owner_only_database import connect, transaction

HISTORY_FILE = "history.sqlite"
VERSION = 3
MAX_AGE_DAYS = 366
MAX_ROWS = 200_000
_DAY_S = 86400.0
_COLUMNS = (
    "began_s, device_id, device_name, wake_word, duration_ms, bytes, sha256, reason, fate, "
    "keep_recordings, share_for_training, recording, deleted_s"
)
_BY_LABEL = "CREATE INDEX by_label ON streams (recording) WHERE labels IS NOT NULL"
_TABLES = (
    # AUTOINCREMENT: the number of a row that went is never another's.
    "CREATE TABLE streams (number INTEGER PRIMARY KEY AUTOINCREMENT, began_s REAL NOT NULL, "
    "device_id TEXT NOT NULL, device_name TEXT NOT NULL, wake_word TEXT, "
    "duration_ms INTEGER NOT NULL, bytes INTEGER NOT NULL, sha256 TEXT, reason TEXT NOT NULL, "
    "fate TEXT NOT NULL, keep_recordings INTEGER NOT NULL, share_for_training INTEGER NOT NULL, "
    "recording TEXT UNIQUE, deleted_s REAL, transcript BLOB, labels BLOB)",
    "CREATE INDEX by_time ON streams (began_s, number)",
    "CREATE INDEX by_device ON streams (device_id, began_s, number)",
    "CREATE INDEX by_word ON streams (wake_word, began_s, number)",
    "CREATE INDEX by_kept ON streams (recording IS NOT NULL, began_s, number)",
    _BY_LABEL,
)
_UPGRADES = {
    1: ("ALTER TABLE streams ADD COLUMN transcript BLOB",),
    2: ("ALTER TABLE streams ADD COLUMN labels BLOB", _BY_LABEL),
}
_Result = TypeVar("_Result")


@dataclass
class _Where:
    """A condition in SQL, and its values."""

    parts: list[str] = field(default_factory=list)
    values: list[object] = field(default_factory=list)

    def add(self, part: str, *values: object) -> None:
        self.parts.append(part)
        self.values += values

    def __str__(self) -> str:
        return " WHERE " + " AND ".join(self.parts) if self.parts else ""


class History:
    """The history in the file `path`; each method raises HostToolError when it cannot be used.

    A damaged file is never replaced: what it knew is nowhere else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: sqlite3.Connection | None = None

    def add(self, rows: Iterable[StreamRow]) -> None:
        """Enter streams; on disk when this returns.  A recording has one row: a second is not
        entered."""
        marks = ", ".join("?" * (_COLUMNS.count(",") + 1))
        sql = (
            f"INSERT INTO streams ({_COLUMNS}) VALUES ({marks}) ON CONFLICT (recording) DO NOTHING"
        )
        values = [_values(row) for row in rows]
        self._write(lambda database: database.executemany(sql, values))

    def page(
        self, wanted: Filter = EVERYTHING, after: tuple[float, int] | None = None, limit: int = 50
    ) -> list[StreamRow]:
        """Return at most `limit` rows, the newest first, from behind the cursor of another."""
        where = _where(wanted)
        if after is not None:
            where.add("(began_s, number) < (?, ?)", *after)
        return self._rows(
            f"SELECT {_COLUMNS}, number FROM streams{where} "
            "ORDER BY began_s DESC, number DESC LIMIT ?",
            [*where.values, limit],
        )

    def get(self, number: int) -> StreamRow | None:
        """Return the row of this number."""
        found = self._rows(f"SELECT {_COLUMNS}, number FROM streams WHERE number = ?", [number])
        return found[0] if found else None

    def of_recording(self, recording: str) -> StreamRow | None:
        """Return the row of a recording that is there."""
        sql = f"SELECT {_COLUMNS}, number FROM streams WHERE recording = ?"
        found = self._rows(sql, [recording])
        return found[0] if found else None

    def count(self, wanted: Filter = EVERYTHING) -> int:
        """Return how many rows there are."""
        where = _where(wanted)
        [(count,)] = self._read(f"SELECT count(*) FROM streams{where}", where.values)
        return int(str(count))

    def bytes_per_day(self, since_s: float) -> list[DayBytes]:
        """Return what each device sent on each day, the oldest day first."""
        rows = self._read(
            "SELECT date(began_s, 'unixepoch', 'localtime') AS day, device_id, count(*), "
            "sum(bytes) FROM streams WHERE began_s >= ? GROUP BY day, device_id "
            "ORDER BY day, device_id",
            [since_s],
        )
        return [DayBytes(*row) for row in rows]  # type: ignore[arg-type]

    def recordings(self) -> set[str]:
        """Return the recordings that it believes to be there."""
        sql = "SELECT recording FROM streams WHERE recording IS NOT NULL"
        return {str(recording) for (recording,) in self._read(sql, [])}

    def deleted(self, recordings: Iterable[str]) -> None:
        """Note that these recordings are gone; what is left of them does not tell one audio from
        another."""
        sql = (
            "UPDATE streams SET recording = NULL, sha256 = NULL, transcript = NULL, "
            "labels = NULL, deleted_s = ? WHERE recording = ?"
        )
        rows = [(time.time(), recording) for recording in recordings]
        if rows and self._path.exists():
            self._write(lambda database: database.executemany(sql, rows))

    def keep_transcript(self, recording: str, sealed: bytes) -> None:
        """Keep what was understood in a recording that is there, sealed as it is, unless its owner
        has labelled it: what they wrote or removed stays so."""
        sql = "UPDATE streams SET transcript = ? WHERE recording = ? AND labels IS NULL"
        self._write(lambda database: database.execute(sql, [sealed, recording]))

    def correct_transcript(self, recording: str, sealed: bytes | None) -> None:
        """Replace what was said in a recording that is there; None removes it."""
        sql = "UPDATE streams SET transcript = ? WHERE recording = ?"
        self._write(lambda database: database.execute(sql, [sealed, recording]))

    def transcript(self, recording: str) -> bytes | None:
        """Return the sealed transcript of a recording that is there."""
        found = self._read("SELECT transcript FROM streams WHERE recording = ?", [recording])
        return bytes(found[0][0]) if found and isinstance(found[0][0], bytes) else None

    def keep_labels(self, recording: str, sealed: bytes) -> bool:
        """Keep the labels of a recording, sealed as they are; returns whether it has a row."""
        sql = "UPDATE streams SET labels = ? WHERE recording = ?"
        found: list[sqlite3.Cursor] = []
        self._write(lambda database: found.append(database.execute(sql, [sealed, recording])))
        return found[0].rowcount == 1

    def labels(self) -> dict[str, bytes]:
        """Return the sealed labels of every recording that has some."""
        found = self._read("SELECT recording, labels FROM streams WHERE labels IS NOT NULL", [])
        return {str(recording): bytes(sealed) for recording, sealed in found if _is_blob(sealed)}

    def labels_of(self, recording: str) -> bytes | None:
        """Return the sealed labels of a recording that is there."""
        found = self._read("SELECT labels FROM streams WHERE recording = ?", [recording])
        return bytes(found[0][0]) if found and _is_blob(found[0][0]) else None

    def trim(self) -> None:
        """Remove what is too old, and the oldest of too many."""
        oldest_s = time.time() - MAX_AGE_DAYS * _DAY_S
        by_age = "DELETE FROM streams WHERE began_s < ? AND recording IS NULL"
        by_count = (
            "DELETE FROM streams WHERE recording IS NULL AND (began_s, number) <= (SELECT "
            "began_s, number FROM streams ORDER BY began_s DESC, number DESC LIMIT 1 OFFSET ?)"
        )

        def remove(database: sqlite3.Connection) -> None:
            database.execute(by_age, [oldest_s])
            database.execute(by_count, [MAX_ROWS])

        if self._path.exists():
            self._write(remove)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _rows(self, sql: str, values: Sequence[object]) -> list[StreamRow]:
        return [_row(columns) for columns in self._read(sql, values)]

    def _read(self, sql: str, values: Sequence[object]) -> list[tuple[object, ...]]:
        if not self._path.exists():  # nothing came yet; looking makes no file
            return [(0,)] if sql.startswith("SELECT count(*)") else []
        return self._use(lambda database: database.execute(sql, values).fetchall())

    def _write(self, work: Callable[[sqlite3.Connection], object]) -> None:
        owner_only_files.make_folder(self._path.parent)

        def whole(database: sqlite3.Connection) -> None:
            with transaction(database):
                work(database)

        self._use(whole)

    def _use(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        try:
            if self._opened is None:
                self._opened = connect(self._path, _TABLES, VERSION, _UPGRADES)
            return work(self._opened)
        except sqlite3.Error as error:
            self.close()
            raise HostToolError(
                f"the history failed: {self._path}: {error}",
                "check the free space; a damaged file can be moved away, a new one is begun",
            ) from error


def _is_blob(value: object) -> TypeGuard[bytes]:
    return isinstance(value, bytes)


def _where(wanted: Filter) -> _Where:
    where = _Where()
    if wanted.device is not None:
        where.add("device_id = ?", wanted.device)
    if wanted.wake_word is not None:
        where.add("wake_word = ?", wanted.wake_word)
    if wanted.kept is not None:
        where.add("(recording IS NOT NULL) = ?", wanted.kept)
    if wanted.since_s is not None:
        where.add("began_s >= ?", wanted.since_s)
    if wanted.until_s is not None:
        where.add("began_s < ?", wanted.until_s)
    return where


def _values(row: StreamRow) -> tuple[object, ...]:
    return (
        *(row.began_s, row.device_id, row.device_name, row.wake_word, row.duration_ms, row.bytes),
        *(row.sha256, row.reason, ",".join(row.fates), row.keep_recordings),
        *(row.share_for_training, row.recording, row.deleted_s),
    )


def _row(columns: tuple[object, ...]) -> StreamRow:
    """Return the row of these columns; raises sqlite3.DatabaseError for a damaged one."""
    try:
        head, fate, consents, rest = columns[:8], columns[8], columns[9:11], columns[11:]
        fates = tuple(str(fate).split(","))
        keeps, shares = map(bool, consents)
        return StreamRow(*head, fates, keeps, shares, *rest)  # type: ignore[arg-type, call-arg]
    except (TypeError, ValueError) as error:
        raise sqlite3.DatabaseError(f"damaged row: {error}") from error
