"""How each device's log stands against this receiver, as the page shows it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from host_tools.audit.results import FOLDER, Result, Results
from host_tools.audit.stream_check import Mismatch
from host_tools.errors import HostToolError
from host_tools.receiver import anchors
from host_tools.receiver.anchors import Anchor
from host_tools.receiver.history import History
from host_tools.receiver.history_rows import Filter

#: A check that is older than this is said to be old.
STALE_DAYS = 30
_DAY_S = 86400.0
#: What stands beside the words, for those who see no colours.
SIGNS = {"bad": "✖", "good": "✔", "old": "!", "unknown": "?"}
_CHANGED = "Its log was changed or cut."
_ELSEWHERE = "Its log and this receiver do not match."


@dataclass(frozen=True)
class Standing:
    """Of one device: what the last check found, and what it told since."""

    id: str
    name: str
    result: Result | None
    #: How what the device told contradicts itself or the log that was checked.
    disagreement: str | None
    #: The newest record that the device told of.
    told: Anchor | None
    #: Streams that came since the check.
    since: int
    now_s: float

    @property
    def level(self) -> str:
        """Return one of SIGNS: "bad" when somebody else may have got audio."""
        result = self.result
        if self.disagreement or (result is not None and result.is_red):
            return "bad"
        if result is None or result.sent is None or (result.older and not result.sent):
            return "unknown"
        if result.anchor_seq is None:  # a log that was written anew would look the same
            return "unknown"
        return "old" if self.age_days > STALE_DAYS else "good"

    @property
    def sign(self) -> str:
        return SIGNS[self.level]

    @property
    def age_days(self) -> int:
        """Return how long ago the check was."""
        checked_s = self.now_s if self.result is None else self.result.checked_s
        return int(max(0.0, self.now_s - checked_s) // _DAY_S)

    @property
    def mismatches(self) -> Sequence[Mismatch]:
        """Return every stream that one side knows alone."""
        return () if self.result is None else (*self.result.mismatches, *self.result.earlier)

    @property
    def words(self) -> str:
        """Return the verdict in one sentence."""
        result = self.result
        count = len(self.mismatches) + (0 if result is None else result.unlisted)
        if count:
            return f"{count} {'stream does' if count == 1 else 'streams do'} not match."
        if self.level == "bad":
            return _CHANGED
        if result is None:
            return "Never checked."
        if result.sent is None:
            return "Checked, but this receiver has no stream of it to compare with."
        if not result.sent:
            older = "Checked, but its streams are older than this receiver's history."
            return older if result.older else "Nothing left it."
        matched = f"All {result.sent} streams" if result.sent > 1 else "Its 1 stream"
        if result.anchor_seq is None:
            return f"{matched} matched, but a log that was written anew would look the same."
        return f"{matched} matched."


class Checks:
    """The results in the folder of a receiver, read anew when they changed."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._results = Results(data)
        self._alarms: dict[str, tuple[object, str | None]] = {}

    def alarm(self, id: str) -> str | None:
        """Return what is wrong with a device's log in one sentence; None when nothing is known to
        be."""
        stamp = tuple(
            _stamp(self._data / folder / f"{id}{suffix}")
            for folder, suffix in ((FOLDER, ".json"), (anchors.FOLDER, ".jsonl"))
        )
        known = self._alarms.get(id)
        if known is None or known[0] != stamp:
            known = self._alarms[id] = stamp, self._alarm(id)
        return known[1]

    def _alarm(self, id: str) -> str | None:
        try:
            result = self._results.of(id)
            if result is not None and (result.mismatches or result.unlisted or result.earlier):
                return _ELSEWHERE
            is_changed = result is not None and result.broken
            return _CHANGED if is_changed or self._results.disagreement(id) else None
        except HostToolError:
            return "What is known of its log cannot be read."


def standing(results: Results, history: History, id: str, name: str) -> Standing:
    """Return how a device's log stands; raises HostToolError."""
    result = results.of(id)
    since = 0
    if result is not None:
        since = history.count(Filter(device=id, since_s=result.checked_s))
    disagreement, told = results.disagreement(id), results.newest_told(id)
    return Standing(id, name, result, disagreement, told, since, time.time())


def _stamp(path: Path) -> object:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
