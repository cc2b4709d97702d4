"""The timers: which device set them, how long they are, and when they are over.

They are kept in one file, written whole with every change, so they survive a restart.  While the
receiver runs they count the time that passes, so a wall clock that jumps moves none; the file has
wall-clock times, which are corrected when the clock jumps.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from host_tools.answers.clock import Clock
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files

FILE = "timers.json"
VERSION = 1
MAX_TIMERS_OF_A_DEVICE = 20
MAX_S = 100 * 3600
MAX_NAME_CHARACTERS = 60
#: A clock that differs by less was not set, only corrected.
_JUMP_S = 1.0


@dataclass(frozen=True)
class Timer:
    """A timer as it stands in the file."""

    id: str
    #: The id of the device that set it.
    device: str
    #: As somebody called it ("pizza"), or nothing.
    name: str
    duration_s: int
    #: When it is over, in Unix time.
    due_wall_s: float

    @property
    def title(self) -> str:
        """What to call it: "pizza timer", "timer"."""
        return f"{self.name} timer".strip()


class Timers:
    """The timers of all devices.  A change is stored before it counts."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Read the file in `folder`; raises HostToolError if it is damaged."""
        self._path = folder / FILE
        self._clock = clock
        #: When each is over, by what has passed.
        self._due_s: dict[str, float] = {}
        self._timers = {timer.id: timer for timer in read(folder)}
        now_s, wall_s = clock.passed_s(), clock.wall_s()
        self._offset_s = wall_s - now_s
        for timer in self._timers.values():
            # A clock that was set back meanwhile makes no timer longer than it was.
            self._due_s[timer.id] = now_s + min(timer.due_wall_s - wall_s, timer.duration_s)

    def of(self, device: str) -> list[Timer]:
        """Return a device's timers, the next one first."""
        mine = [timer for timer in self._timers.values() if timer.device == device]
        return sorted(mine, key=lambda timer: self._due_s[timer.id])

    def left_s(self, timer: Timer) -> float:
        """Return how long a timer still runs; negative: how long it has been over."""
        return self._due_s[timer.id] - self._clock.passed_s()

    def due(self) -> list[Timer]:
        """Return the timers that are over, the oldest first."""
        over = [timer for timer in self._timers.values() if self.left_s(timer) <= 0]
        return sorted(over, key=self.left_s)

    def next_s(self) -> float | None:
        """Return how long until the next one is over, or None without one that runs."""
        left = (self.left_s(timer) for timer in self._timers.values())
        return min((left_s for left_s in left if left_s > 0), default=None)

    def add(self, device: str, name: str, duration_s: int) -> Timer:
        """Set a timer.

        Raises:
            HostToolError: it is too long, the device has too many, or it cannot be stored.
        """
        if not 0 < duration_s <= MAX_S:
            raise HostToolError("a timer runs from a second to a hundred hours")
        if len(self.of(device)) >= MAX_TIMERS_OF_A_DEVICE:
            raise HostToolError(f"there are {MAX_TIMERS_OF_A_DEVICE} timers already")
        due_wall_s = self._clock.wall_s() + duration_s
        name = name[:MAX_NAME_CHARACTERS]
        timer = Timer(secrets.token_hex(8), device, name, duration_s, due_wall_s)
        self._write([*self._timers.values(), timer])
        self._timers[timer.id] = timer
        self._due_s[timer.id] = self._clock.passed_s() + duration_s
        return timer

    def remove(self, timers: list[Timer]) -> None:
        """Forget timers; one that is gone already does not matter.  Raises HostToolError if that
        cannot be stored: they come back after a restart, but not before."""
        for timer in timers:
            self._timers.pop(timer.id, None)
            self._due_s.pop(timer.id, None)
        if timers:
            self._write(list(self._timers.values()))

    def follow_clock(self) -> None:
        """Correct the file if the wall clock was set; raises HostToolError."""
        wall_s, passed_s = self._clock.wall_s(), self._clock.passed_s()
        if abs(wall_s - passed_s - self._offset_s) < _JUMP_S:
            return
        self._offset_s = wall_s - passed_s
        self._timers = {
            id: Timer(id, t.device, t.name, t.duration_s, self._due_s[id] + self._offset_s)
            for id, t in self._timers.items()
        }
        if self._timers:
            self._write(list(self._timers.values()))

    def _write(self, timers: list[Timer]) -> None:
        content = {"version": VERSION, "timers": [asdict(timer) for timer in timers]}
        owner_only_files.make_folder(self._path.parent)
        owner_only_files.write(self._path, json.dumps(content, indent=1).encode() + b"\n")


def read(folder: Path) -> list[Timer]:
    """Return the timers in the file of a receiver's data folder; raises HostToolError."""
    path = folder / FILE
    if not path.exists():
        return []
    try:
        content = json.loads(owner_only_files.read(path))
        if content["version"] != VERSION:
            raise HostToolError(
                f"{path} has version {content['version']}, not {VERSION}",
                "it is of another version of Earnest; move it away",
            )
        return [_timer(row) for row in content["timers"]]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HostToolError(f"{path} is damaged", "remove it; its timers are lost") from error


def _timer(row: dict[str, Any]) -> Timer:
    """Return a row's timer; raises ValueError, KeyError, TypeError for anything else."""
    timer = Timer(
        str(row["id"]),
        str(row["device"]),
        str(row["name"]),
        int(row["duration_s"]),
        float(row["due_wall_s"]),
    )
    if not (0 < timer.duration_s <= MAX_S and abs(timer.due_wall_s) < 1e12):
        raise ValueError(row)
    return timer
