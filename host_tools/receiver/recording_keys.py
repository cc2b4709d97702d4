"""The keys of the recordings: one for each, in an SQLite file for the owner alone.

A recording is there as long as its key is.  Deleting overwrites the key first, and waits for the
disk; from then on nobody can hear what the disk may still hold of the audio.

So that no copy of a key stays behind: a key lies in a slot, a row that never moves and is never
removed, only overwritten and used again, since SQLite copies what it moves.  The rollback journal
has the old content of what changes; it is overwritten with zeros after each deletion and at the
start, while no other process can write.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.owner_only_database import connect, transaction

KEYS_FILE = "keys.sqlite"
VERSION = 1
KEY_BYTES = 32
STORE_BYTES = 8
_ZEROS = bytes(KEY_BYTES)
_TABLES = (
    "CREATE TABLE slots (slot INTEGER PRIMARY KEY, key BLOB NOT NULL)",
    "CREATE TABLE owners (id TEXT PRIMARY KEY, slot INTEGER NOT NULL UNIQUE) WITHOUT ROWID",
    "CREATE TABLE free (slot INTEGER PRIMARY KEY)",
    # Tells a recording whose key was deleted from one whose key is in another file.
    f"CREATE TABLE store AS SELECT randomblob({STORE_BYTES}) AS id",
)


class Slots:
    """The keys within one transaction, alone among processes."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self.has_destroyed = False

    def new(self, id: str) -> bytes:
        """Return a new key for the recording, which is there when the transaction ends."""
        key = secrets.token_bytes(KEY_BYTES)
        found = self._database.execute("SELECT min(slot) FROM free").fetchone()[0]
        if found is None:
            cursor = self._database.execute("INSERT INTO slots (key) VALUES (?)", [key])
            found = cursor.lastrowid
        else:
            self._database.execute("UPDATE slots SET key = ? WHERE slot = ?", [key, found])
            self._database.execute("DELETE FROM free WHERE slot = ?", [found])
        self._database.execute("INSERT INTO owners VALUES (?, ?)", [id, found])
        return key

    def ids(self) -> set[str]:
        return {id for (id,) in self._database.execute("SELECT id FROM owners")}

    def destroy(self, ids: Iterable[str]) -> None:
        """Overwrite the keys of these; those that have none do not matter."""
        for id in ids:
            found = self._database.execute("SELECT slot FROM owners WHERE id = ?", [id]).fetchone()
            if found is None:
                continue
            self.has_destroyed = True
            self._database.execute("UPDATE slots SET key = ? WHERE slot = ?", [_ZEROS, *found])
            self._database.execute("DELETE FROM owners WHERE id = ?", [id])
            self._database.execute("INSERT INTO free VALUES (?)", found)


class RecordingKeys:
    """The keys in the folder; each method raises HostToolError when the file cannot be used.

    A file that is damaged is never replaced by itself: `destroy_file` is for whoever deletes all.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEYS_FILE
        self._opened: sqlite3.Connection | None = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[Slots]:
        """Change keys; what is within happens alone among processes, and is on disk afterwards."""
        owner_only_files.make_folder(self._path.parent)
        with self._errors():
            database = self._database()
            with transaction(database):
                slots = Slots(database)
                yield slots
            if slots.has_destroyed:
                self._scrub(database)

    def destroy(self, ids: Iterable[str]) -> None:
        """Overwrite the keys of these, on the disk when this returns."""
        if self._path.exists():
            with self.writing() as slots:
                slots.destroy(ids)

    def get(self, id: str) -> bytes | None:
        """Return the key of a recording, if it has one."""
        if not self._path.exists():
            return None
        with self._errors():
            found = self._database().execute(
                "SELECT key FROM slots JOIN owners USING (slot) WHERE id = ?", [id]
            )
            row: tuple[bytes] | None = found.fetchone()
        return row[0] if row else None

    def ids(self) -> set[str]:
        """Return the recordings that have a key."""
        if not self._path.exists():
            return set()
        with self._errors():
            return Slots(self._database()).ids()

    def store(self) -> bytes:
        """Return the number of this file, which is in each recording that it has the key of."""
        if not self._path.exists():
            return b""
        with self._errors():
            [(id,)] = self._database().execute("SELECT id FROM store")
        return bytes(id)

    def destroy_file(self) -> None:
        """Overwrite and empty the file, whatever is in it; another process may have it open."""
        self.close()
        for path in (self._journal, self._path):
            try:
                if path.exists():
                    overwrite(path)
                    os.truncate(path, 0)
            except OSError as error:
                raise HostToolError(f"cannot overwrite {path}: {error.strerror}") from error

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def _journal(self) -> Path:
        return self._path.with_name(self._path.name + "-journal")

    def _database(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = connect(self._path, _TABLES, VERSION)
            [(answer,)] = self._opened.execute("PRAGMA quick_check(1)").fetchall()
            if answer != "ok":
                raise sqlite3.DatabaseError(answer)
            self._scrub(self._opened)  # a power loss may have come before it
        return self._opened

    def _scrub(self, database: sqlite3.Connection) -> None:
        """Overwrite the old content in the journal, while nobody can write."""
        with transaction(database):
            if self._journal.exists():
                overwrite(self._journal)

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            with contextlib.suppress(sqlite3.Error):
                self.close()
            raise HostToolError(
                f"the keys of the recordings failed: {self._path}: {error}",
                "check the free space; if the file is damaged, restore it from a backup, or let "
                "`earnest recordings delete --all` delete all recordings and begin a new one",
            ) from error


def overwrite(path: Path) -> None:
    """Overwrite a file's content in its place with zeros, on the disk; raises OSError."""
    with open(path, "r+b") as file:
        size = os.fstat(file.fileno()).st_size
        for at in range(0, size, 1 << 20):
            file.write(bytes(min(1 << 20, size - at)))
        file.flush()
        os.fsync(file.fileno())
