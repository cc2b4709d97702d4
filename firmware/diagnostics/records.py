"""The newest records of the audit log, across its files; for `diag.status()` and `diag.log()`.

Reads a line at a time, since the application's memory is in use meanwhile.  The chain is not
checked here: `earnest audit` does that.
"""

import json

from satellite.audit_log import FILES, file_name
from satellite.audit_record import MAX_RECORD_BYTES

MAX_RECORDS = 20


def newest(count=MAX_RECORDS):
    """Return the newest `count` records (at most MAX_RECORDS) as dicts, oldest first."""
    found = []
    for age in range(FILES):
        lines, is_whole = _last_lines(file_name(age), min(count, MAX_RECORDS) - len(found))
        found = [record for record in map(_record, lines) if record is not None] + found
        if not is_whole or len(found) >= min(count, MAX_RECORDS):
            break
    return found


def _last_lines(name, count):
    """(the last `count` lines of a file, whether these are all that it has)."""
    lines = []
    try:
        with open(name, "rb") as file:
            at = max(0, file.seek(0, 2) - (count + 1) * MAX_RECORD_BYTES)
            file.seek(at)
            if at:
                file.readline()  # the rest of a record
            is_whole = at == 0
            for line in file:
                lines.append(line)
                if len(lines) > count:
                    lines.pop(0)
                    is_whole = False
    except OSError:  # no such file, or none that can be read
        return [], True
    return lines, is_whole


def _record(line):
    """The record of a line without its chain; None for one that a power loss tore."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict):
        return None
    for name in ("prev", "hash", "v"):
        record.pop(name, None)
    return record
