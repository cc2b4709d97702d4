"""The receiver's log in the journal of systemd, which reads each line's level from its prefix."""

from __future__ import annotations

import logging
import os
import sys

#: sd-daemon(3).
_PREFIXES = (
    (logging.ERROR, "<3>"),
    (logging.WARNING, "<4>"),
    (logging.INFO, "<6>"),
    (logging.DEBUG, "<7>"),
)


def is_stderr() -> bool:
    """Return whether standard error goes to the journal, as systemd.exec(5) says to find out."""
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class JournalHandler(logging.StreamHandler):  # type: ignore[type-arg]  # no [] in Python 3.10
    """Lines with the level's prefix; the journal has the time."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)

    def format(self, record: logging.LogRecord) -> str:
        prefix = next((p for level, p in _PREFIXES if record.levelno >= level), "<7>")
        lines = super().format(record).splitlines() or [""]
        return "\n".join(prefix + line for line in lines)
