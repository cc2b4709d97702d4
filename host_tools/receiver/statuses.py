"""Keeps the last status that each device told, for `earnest devices`.

One file for each device, for the owner alone; it says how a device is set and holds no history.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.assistant import Status

FOLDER = "statuses"
VERSION = 1
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class ToldStatus:
    """`told_s` is when the receiver heard of it, in Unix time."""

    status: Status
    told_s: float


class Statuses:
    """The files in the folder `data`/statuses, by the id that the receiver gave a device."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER

    def keep(self, device: str, told: ToldStatus) -> None:
        """Keep a status in place of the one before; raises HostToolError."""
        owner_only_files.make_folder(self._folder)
        fields = {"v": VERSION, "told_s": told.told_s, "status": asdict(told.status)}
        owner_only_files.write(self._path(device), json.dumps(fields).encode())

    def of(self, device: str) -> ToldStatus | None:
        """Return what a device told last; None if nothing, or nothing that can be read."""
        path = self._path(device)
        if not path.exists():
            return None
        try:
            row = json.loads(owner_only_files.read(path))
            if row["v"] != VERSION:
                return None
            return ToldStatus(Status.of(row["status"]), float(row["told_s"]))
        except (ValueError, TypeError, KeyError, protocol.ProtocolError):
            return None

    def forget(self, device: str) -> None:
        """Remove what a device told; raises HostToolError."""
        try:
            self._path(device).unlink(missing_ok=True)
        except OSError as error:
            raise HostToolError(
                f"cannot remove {self._path(device)}: {error.strerror}", "remove it by hand"
            ) from error

    def _path(self, device: str) -> Path:
        if not _ID.fullmatch(device):
            raise HostToolError(f"{device!r} is not the id of a device", "check devices.json")
        return self._folder / (device + ".json")
