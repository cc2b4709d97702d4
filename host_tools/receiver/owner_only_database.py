"""SQLite files that only their owner may read, and in which what is removed is overwritten."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

_WAIT_S = 30.0


def connect(path: Path, tables: Iterable[str], version: int) -> sqlite3.Connection:
    """Open a database for its owner alone, made where it is missing; raises sqlite3.Error.

    What is written is on disk when its transaction ends, and what is removed is overwritten.
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
            elif found != version:
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
