"""An index of the recordings (SQLite), so that no question reads a file for each of them.

It can be removed at any time: the JSON files are the truth, and `Recordings` makes it again from
them where it is missing, damaged, of another version or older than they are.  It keeps one thing
that they cannot: the retention clock, which only goes forward (see `advance_clock`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

from host_tools.receiver.recording import Recording, seconds, text

VERSION = 1
_WAIT_S = 30.0
#: `born` and `deadline` are readings of the retention clock.
_TABLES = (
    "CREATE TABLE recordings (id TEXT PRIMARY KEY, device TEXT NOT NULL, created TEXT NOT NULL, "
    "expires TEXT NOT NULL, share INTEGER NOT NULL, facts TEXT NOT NULL, stamp TEXT NOT NULL, "
    "born REAL NOT NULL, deadline REAL NOT NULL) WITHOUT ROWID",
    "CREATE INDEX by_device ON recordings (device, created)",
    "CREATE TABLE clock (reading REAL NOT NULL, wall REAL NOT NULL)",
)


class RecordingIndex:
    """The index in `path`; used by one thread, and by several processes.

    Without a path it is in memory, for a disk that takes no index: what is there can be found and
    deleted all the same.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._started_s: tuple[float, float] | None = None
        self._database = self._open()

    def close(self) -> None:
        self._database.close()

    def put(self, entries: Iterable[tuple[Recording, str]]) -> None:
        """Enter recordings, or what changed of them, each with the stamp of its JSON file.

        What changes never makes a life longer.
        """
        reading, now_s = self.advance_clock(), time.time()
        rows = [
            (*_columns(recording), stamp, *_life(recording, reading, now_s))
            for recording, stamp in entries
        ]
        with self._transaction() as database:
            database.executemany(
                "INSERT INTO recordings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET device = excluded.device, "
                "created = excluded.created, expires = excluded.expires, share = excluded.share, "
                "facts = excluded.facts, stamp = excluded.stamp, "
                "born = min(born, excluded.born), deadline = min(deadline, excluded.deadline)",
                rows,
            )

    def remove(self, ids: Iterable[str]) -> None:
        with self._transaction() as database:
            database.executemany("DELETE FROM recordings WHERE id = ?", [(id,) for id in ids])

    def stamps(self) -> dict[str, str]:
        """Return each id and the stamp of the JSON file that it was read from."""
        return dict(self._database.execute("SELECT id, stamp FROM recordings"))

    def all(self, beginning: str = "") -> list[Recording]:
        """Return the recordings whose id begins so, the oldest first."""
        rows = self._database.execute(
            "SELECT facts FROM recordings WHERE substr(id, 1, ?) = ? ORDER BY created, id",
            (len(beginning), beginning),
        )
        return _recordings(rows)

    def get(self, id: str) -> Recording | None:
        """Return the recording of this id."""
        rows = self._database.execute("SELECT facts FROM recordings WHERE id = ?", (id,))
        return next(iter(_recordings(rows)), None)

    def of_device(self, device: str, *, shared_only: bool = False) -> list[Recording]:
        """Return what was kept under this device's consent."""
        rows = self._database.execute(
            "SELECT facts FROM recordings WHERE device = ? AND share >= ?", (device, shared_only)
        )
        return _recordings(rows)

    def devices(self) -> dict[str, tuple[int, str]]:
        """Return of each device how many recordings it has, and when the first was made."""
        rows = self._database.execute(
            "SELECT device, count(*), min(created) FROM recordings GROUP BY device"
        )
        return {device: (count, first) for device, count, first in rows}

    def expired(self, keep_s: float | None, id: str | None = None) -> list[Recording]:
        """Return what is past its day, or older than `keep_s`, by the clock of this computer or
        by the retention clock, whichever is first; of one recording, if its `id` is given."""
        reading, now_s = self.advance_clock(), time.time()
        oldest_s = float("inf") if keep_s is None else keep_s
        rows = self._database.execute(
            "SELECT facts FROM recordings WHERE (? IS NULL OR id = ?) AND "
            "(expires <= ? OR deadline <= ? OR created <= ? OR born <= ?)",
            (
                id,
                id,
                text(now_s),
                reading,
                text(max(0.0, now_s - oldest_s)),
                reading - oldest_s,
            ),
        )
        return _recordings(rows)

    def advance_clock(self) -> float:
        """Return the retention clock's reading in seconds, which never goes back.

        While this process runs it advances by the time that passed, however the computer's clock
        is set; between runs by how far the computer's clock is past its highest reading so far.
        A clock that starts in 1970 and is put right later therefore makes nothing older.
        """
        wall_s, monotonic_s = time.time(), time.monotonic()
        with self._transaction() as database:
            found = database.execute("SELECT reading, wall FROM clock").fetchone()
            saved, highest_s = found or (wall_s, wall_s)
            reading = saved + max(0.0, wall_s - highest_s)
            if self._started_s is not None:
                reading = max(reading, self._started_s[0] + monotonic_s - self._started_s[1])
            self._started_s = reading, monotonic_s
            if found is None:
                database.execute("INSERT INTO clock VALUES (?, ?)", (reading, wall_s))
            else:
                new = (reading, max(highest_s, wall_s))
                database.execute("UPDATE clock SET reading = ?, wall = ?", new)
        return reading

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield self._database
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        try:
            return self._connect()
        except sqlite3.OperationalError:
            raise  # busy, or no space: nothing is wrong with the file
        except sqlite3.DatabaseError:
            if self._path is None:
                raise
            # Damaged or of another version: what it knew is in the JSON files.
            for suffix in ("", "-wal", "-shm", "-journal"):
                with contextlib.suppress(OSError):
                    self._path.with_name(self._path.name + suffix).unlink()
        return self._connect()

    def _connect(self) -> sqlite3.Connection:
        if self._path is not None:
            with contextlib.suppress(OSError):  # for its owner alone, from the first byte on
                os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        place = self._path or ":memory:"
        database = sqlite3.connect(place, timeout=_WAIT_S, isolation_level=None)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute("PRAGMA secure_delete = ON")
            database.execute("BEGIN IMMEDIATE")  # one process makes the tables
            [(version,)] = database.execute("PRAGMA user_version").fetchall()
            if version == 0:
                for statement in _TABLES:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("COMMIT")
            [(answer,)] = database.execute("PRAGMA quick_check(1)").fetchall()
            if version not in (0, VERSION) or answer != "ok":
                raise sqlite3.DatabaseError(f"version {version}, {answer}")
        except BaseException:
            database.close()
            raise
        return database


def _columns(recording: Recording) -> tuple[str, str, str, str, bool, str]:
    facts = json.dumps(asdict(recording))
    names = (recording.id, recording.device, recording.created, recording.expires)
    return (*names, recording.share_for_training, facts)


def _life(recording: Recording, reading: float, now_s: float) -> tuple[float, float]:
    """Return when it was born and when it is due, on the retention clock.

    One that was created in the future, as the clock has it now, has its whole life before it.
    """
    created_s, expires_s = seconds(recording.created), seconds(recording.expires)
    born = reading - max(0.0, now_s - created_s)
    return born, reading + expires_s - max(created_s, now_s)


def _recordings(rows: Iterable[tuple[str]]) -> list[Recording]:
    try:
        return [Recording(**json.loads(facts)) for (facts,) in rows]
    except (ValueError, TypeError) as error:
        raise sqlite3.DatabaseError(f"damaged row: {error}") from error
