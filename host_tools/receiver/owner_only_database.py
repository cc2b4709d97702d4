"""SQLite files that only their owner may read, and in which what is removed is overwritten."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

_WAIT_S = 30.0
_NONE: Mapping[int, Sequence[str]] = {}


def connect(
    path: Path, tables: Iterable[str], version: int, upgrades: Mapping[int, Sequence[str]] = _NONE
) -> sqlite3.Connection:
    """Open a database for its owner alone, made where it is missing.

    What is written is on disk when its transaction ends, and what is removed is overwritten.

    Args:
        path: The file; its folder must exist.
        tables: The statements that make it.
        version: Of these.
        upgrades: The statements from an older version to the next.

    Raises:
        sqlite3.Error: it cannot be used, or is of a version that is not known.
    """
    # 0600 from the first byte on.  One that exists must not be opened and closed again: with that
    # POSIX takes away the locks of this process's other connections.
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    database = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
    try:
        database.execute("PRAGMA secure_delete = ON")
        database.execute("PRAGMA journal_mode = PERSIST")
        database.execute("PRAGMA synchronous = EXTRA")
        with transaction(database):  # one process makes the tables
            [(found,)] = database.execute("PRAGMA user_version").fetchall()
            if found == 0:
                for statement in tables:
                    database.execute(statement)
                database.execute(f"PRAGMA user_version = {version}")
            while 0 < found < version and found in upgrades:
                for statement in upgrades[found]:
                    database.execute(statement)
                found += 1
                database.execute(f"PRAGMA user_version = {found}")
            if found not in (0, version):
                raise sqlite3.DatabaseError(f"version {found}; this program knows {version}")
    except BaseException:
        database.close()
        raise
    return database


@contextlib.contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Write all of it or nothing, alone among processes."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield database
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise
