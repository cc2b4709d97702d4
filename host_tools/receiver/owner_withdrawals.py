"""What owners took back from here, until their device has confirmed it, and what it confirmed.

One file for each device, under its id, which outlives every certificate and name.  From `begin` on
nothing more of the device may be kept, whatever its streams say.  A file that cannot be read is a
withdrawal that has yet to be confirmed.  The event loop asks; `store` may run in another thread.
"""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from firmware.satellite import protocol
from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files

FOLDER = "withdrawals"
VERSION = 1
_SUFFIX = ".json"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class OwnerWithdrawal:
    """Times are Unix times; `name` is the one that the device had when its owner asked."""

    device: str
    name: str
    #: The `id` of `consent-withdraw`: only the answer to it confirms.
    request: str
    asked_s: float
    confirmed_s: float | None = None
    #: How many recordings were deleted then, and whether that was all that could be its.
    deleted: int = 0
    is_complete: bool = False

    @property
    def is_pending(self) -> bool:
        """Whether the device has yet to confirm it."""
        return self.confirmed_s is None


class OwnerWithdrawals:
    """The files in the folder `data`/withdrawals, read once: one receiver writes them."""

    def __init__(self, data: Path) -> None:
        self._folder = data / FOLDER
        self._lock = threading.Lock()  # around a file
        self._watchers: list[Callable[[], None]] = []
        self._all = {path.stem: _read(path) for path in self._paths()}
        #: Devices whose withdrawal would be forgotten if this process ended now.
        self._unstored: set[str] = set()

    def of(self, device: str) -> OwnerWithdrawal | None:
        """Return the last withdrawal of a device, by its id."""
        return self._all.get(device)

    def all(self) -> list[OwnerWithdrawal]:
        """Return the last withdrawal of each device, by name."""
        return sorted(self._all.values(), key=lambda each: (each.name, each.device))

    def is_pending(self, device: str) -> bool:
        """Return whether nothing of this device may be kept, whatever it says."""
        found = self._all.get(device)
        return found is not None and found.is_pending

    def is_stored(self, device: str) -> bool:
        """Return whether the withdrawal of this device would survive the end of this process."""
        return device not in self._unstored

    def begin(self, device: str, name: str) -> OwnerWithdrawal:
        """Note in memory that a device's owner takes its consent back; then `store` it.

        One that is pending goes on.  Raises HostToolError if `device` cannot be an id.
        """
        if not _ID.fullmatch(device):
            raise HostToolError(f"{device!r} is not the id of a device", "check devices.json")
        found = self._all.get(device)
        if found is None or not found.is_pending:
            found = OwnerWithdrawal(device, name, secrets.token_hex(8), time.time())
            self._change(found)
            self._unstored.add(device)
        return found

    def store(self, device: str) -> None:
        """Write a device's withdrawal as it stands now; raises HostToolError."""
        with self._lock:
            found = self._all[device]
            owner_only_files.make_folder(self._folder)
            content = json.dumps({"v": VERSION, **asdict(found)}).encode()
            owner_only_files.write(self._folder / (device + _SUFFIX), content)
            with contextlib.suppress(OSError):
                atomic_file.sync_folder(self._folder)
            self._unstored.discard(device)

    def confirm(self, device: str, deleted: int, is_complete: bool) -> None:
        """Note and store that the device has taken its consent back, and how many recordings were
        deleted for that.

        Raises HostToolError when it cannot be stored: then it is pending still.
        """
        before = self._all[device]
        confirmed_s = time.time() if before.is_pending else before.confirmed_s
        count = deleted if before.is_pending else before.deleted + deleted
        self._change(
            replace(before, confirmed_s=confirmed_s, deleted=count, is_complete=is_complete)
        )
        try:
            self.store(device)
        except HostToolError:
            self._change(before)
            raise

    def watch(self, callback: Callable[[], None]) -> None:
        """Call this whenever one begins or is confirmed, in the event loop."""
        self._watchers.append(callback)

    def _change(self, withdrawal: OwnerWithdrawal) -> None:
        self._all[withdrawal.device] = withdrawal
        self._tell()

    def _tell(self) -> None:
        for callback in self._watchers:
            callback()

    def _paths(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return [path for path in self._folder.glob("*" + _SUFFIX) if _ID.fullmatch(path.stem)]


def _read(path: Path) -> OwnerWithdrawal:
    """Return the withdrawal in a file; one that is damaged has yet to be confirmed."""
    try:
        row = json.loads(owner_only_files.read(path))
        if row.pop("v") != VERSION:
            raise ValueError
        found = OwnerWithdrawal(**row)
        protocol.encode(protocol.CONSENT_WITHDRAW, {"id": found.request})
        times = (found.asked_s, found.confirmed_s or 0.0)
        texts = (found.name, found.device)
        if (
            found.device != path.stem
            or not all(isinstance(text, str) for text in texts)
            or not all(type(number) in (int, float) for number in (*times, found.deleted))
            or not isinstance(found.is_complete, bool)
        ):
            raise ValueError
        return found
    except (
        HostToolError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RecursionError,
        protocol.ProtocolError,
    ):
        return OwnerWithdrawal(path.stem, path.stem, secrets.token_hex(8), time.time())
