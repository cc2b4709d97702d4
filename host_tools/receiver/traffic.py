"""How many bytes each device exchanged with this receiver beside the audio, by day.

The meter counts in memory, for the event loop; the counts go to an SQLite file once a minute, in
the recordings' thread.  Counted is what TLS carries, without TLS: the messages.  What is no audio
should be too little for any: the page shows both beside each other.
"""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.owner_only_database import connect, transaction

TRAFFIC_FILE = "traffic.sqlite"
VERSION = 1
MAX_AGE_DAYS = 366
_TABLES = (
    "CREATE TABLE traffic (day TEXT NOT NULL, device_id TEXT NOT NULL, "
    "received INTEGER NOT NULL, sent INTEGER NOT NULL, messages INTEGER NOT NULL, "
    "stream_received INTEGER NOT NULL, stream_sent INTEGER NOT NULL, "
    "PRIMARY KEY (day, device_id)) WITHOUT ROWID",
)


@dataclass
class Counts:
    """Bytes, but for `messages`.  The samples of streams and sounds are in none of them."""

    #: From the device and to it, outside streams and sounds, in how many messages.
    received: int = 0
    sent: int = 0
    messages: int = 0
    #: Within streams and sounds: the frames of the audio, and what goes with it.
    stream_received: int = 0
    stream_sent: int = 0


@dataclass(frozen=True)
class DayTraffic:
    """The counts of one device on one day of this computer's time zone."""

    day: str
    device_id: str
    counts: Counts


class Meter:
    """What was exchanged since it was last asked; for one thread."""

    def __init__(self) -> None:
        self._counts: dict[str, Counts] = {}

    def of(self, device_id: str) -> Counts:
        """Return the counts of a device, to be added to."""
        return self._counts.setdefault(device_id, Counts())

    def take(self) -> dict[str, Counts]:
        """Return what was counted, by the device's id, and begin anew."""
        taken = {id: counts for id, counts in self._counts.items() if counts != Counts()}
        self._counts = {}
        return taken


class Traffic:
    """The file `path`; each method raises HostToolError when it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._opened: sqlite3.Connection | None = None

    def add(self, counts: Mapping[str, Counts]) -> None:
        """Add to today's counts, by the device's id; remove what is too old."""
        if not counts:
            return
        today = datetime.date.today()
        names = [field.name for field in fields(Counts)]
        sums = ", ".join(f"{name} = {name} + excluded.{name}" for name in names)
        sql = (
            f"INSERT INTO traffic (day, device_id, {', '.join(names)}) "
            f"VALUES (?, ?, {', '.join('?' * len(names))}) "
            f"ON CONFLICT (day, device_id) DO UPDATE SET {sums}"
        )
        rows = [
            (today.isoformat(), id, *(getattr(each, name) for name in names))
            for id, each in counts.items()
        ]
        oldest = (today - datetime.timedelta(days=MAX_AGE_DAYS)).isoformat()
        owner_only_files.make_folder(self._path.parent)
        try:
            with transaction(self._database()) as database:
                database.executemany(sql, rows)
                database.execute("DELETE FROM traffic WHERE day < ?", [oldest])
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def since(self, day: datetime.date) -> list[DayTraffic]:
        """Return the counts of that day and of later ones, the oldest first."""
        if not self._path.exists():
            return []
        names = ", ".join(field.name for field in fields(Counts))
        sql = f"SELECT day, device_id, {names} FROM traffic WHERE day >= ? ORDER BY day, device_id"
        try:
            found = self._database().execute(sql, [day.isoformat()]).fetchall()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return [DayTraffic(str(day), str(id), Counts(*map(int, n))) for day, id, *n in found]

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _database(self) -> sqlite3.Connection:
        if self._opened is None:
            self._opened = connect(self._path, _TABLES, VERSION)
        return self._opened

    def _failed(self, error: sqlite3.Error) -> HostToolError:
        self.close()
        return HostToolError(
            f"the counts of traffic failed: {self._path}: {error}",
            "check the free space; a damaged file can be removed, a new one is begun",
        )
