"""What a back-up is: a tar file of the receiver's folder with a manifest at its end.

Of each file the manifest has the SHA-256.  A back-up without its end, or with a file that the
manifest does not name, is none.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from host_tools.receiver.folder_lock import LOCK_FILE
from host_tools.receiver.recording_keys import KEYS_FILE
from host_tools.receiver.recordings import INDEX_FILE

MANIFEST = "manifest.json"
FORMAT = "earnest-backup"
VERSION = 1
MAX_MANIFEST_BYTES = 64 << 20
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*){0,3}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: A recording's facts and audio; the keys of the recordings; audio that somebody put here.
_OF_RECORDINGS = re.compile(rf"[0-9a-f]{{16}}\..*|{re.escape(KEYS_FILE)}|.*\.(wav|sealed)")
#: Can be made again, or means something only while a receiver runs; `page` has one-time tickets,
#: `donation` plain audio that waits to be given away.
_NEVER = re.compile(
    rf"\..*|{re.escape(LOCK_FILE)}|{re.escape(INDEX_FILE)}|.*\.(lock|reserve)|.*-(journal|wal|shm)"
)
_NEVER_FOLDERS = ("page", "donation")


@dataclass(frozen=True)
class Entry:
    """A file of a back-up: its size in bytes and its SHA-256 in hexadecimal."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a back-up holds; `created` is the date and time in UTC."""

    created: str
    has_recordings: bool
    files: dict[str, Entry]

    def to_json(self) -> bytes:
        files = {name: {"bytes": e.bytes, "sha256": e.sha256} for name, e in self.files.items()}
        facts = {"format": FORMAT, "version": VERSION, "created": self.created}
        facts |= {"has_recordings": self.has_recordings}
        return json.dumps({**facts, "files": files}, indent=1).encode()


def manifest_of(content: bytes) -> Manifest:
    """Return the manifest; raises ValueError that says what is wrong."""
    try:
        facts: dict[str, Any] = json.loads(content)
        if facts["format"] != FORMAT:
            raise ValueError("it is not a back-up of a receiver")
        if facts["version"] != VERSION:
            raise ValueError(
                f"it has version {facts['version']!r}; this program knows version {VERSION}"
            )
        files = {str(n): Entry(int(e["bytes"]), e["sha256"]) for n, e in facts["files"].items()}
        found = Manifest(str(facts["created"]), facts["has_recordings"] is True, files)
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as e:
        raise ValueError("its manifest is damaged") from e
    for name, entry in found.files.items():
        if not is_name(name) or not _SHA256.fullmatch(entry.sha256) or entry.bytes < 0:
            raise ValueError("its manifest is damaged")
    return found


def is_name(name: str) -> bool:
    """Return whether this may be the name of a file in a receiver's folder: it stays within."""
    return _NAME.fullmatch(name) is not None and name != MANIFEST


def is_of_recordings(name: str) -> bool:
    """Return whether a file is, or opens, what somebody said."""
    return _OF_RECORDINGS.fullmatch(name) is not None


def is_left_out(name: str) -> bool:
    """Return whether no back-up has this file."""
    parts = name.split("/")
    return parts[0] in _NEVER_FOLDERS or any(_NEVER.fullmatch(part) for part in parts)
