"""One recording: what is known about it, and the JSON file that says so beside its WAV.

The file is the truth.  It says under whose consent the audio was kept, and until when.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass
from typing import Any

VERSION = 2
#: Version 1 tied a recording to a certificate, by a tag; such an owner is this and the tag.
BY_CERTIFICATE = "v1-"
#: Who connects in plain text, in every version.
ANYBODY_ID = "insecure"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Recording:
    """What is known about a recording; nothing of it names a device, a user or an account."""

    id: str
    #: UTC, to the second.
    created: str
    expires: str
    samples: int
    duration_ms: int
    #: Of the samples as bytes, int16 little-endian.
    sha256: str
    preroll_ms: int
    share_for_training: bool
    #: Whose consent it was kept under: the random id of a device in this receiver's list.
    device: str
    wake_word: str | None = None
    version: int = VERSION

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=1) + "\n").encode()


_TYPES: dict[str, Any] = {
    **dict.fromkeys(("id", "created", "expires", "sha256", "device"), str),
    **dict.fromkeys(("samples", "duration_ms", "preroll_ms", "version"), int),
    "share_for_training": bool,
    "wake_word": str | None,
}


def from_json(content: bytes, id: str) -> Recording | None:
    """Return the recording that `content` describes, or None unless all of it is sound."""
    try:
        fields = json.loads(content)
        if fields.get("version") == 1:
            tag = fields.pop("consent")
            owner = tag if tag == ANYBODY_ID else BY_CERTIFICATE + tag
            fields |= {"version": VERSION, "device": owner}
        recording = Recording(**fields)
        seconds(recording.created), seconds(recording.expires)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return None
    values = asdict(recording)
    if any(not _is_of(values[name], kind) for name, kind in _TYPES.items()):
        return None
    return recording if (recording.id, recording.version) == (id, VERSION) else None


def _is_of(value: object, kind: Any) -> bool:
    return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))


def text(time_s: float) -> str:
    """Return a time as UTC to the second; texts of this form sort as their times do."""
    return datetime.datetime.fromtimestamp(time_s, datetime.timezone.utc).strftime(_TIME)


def seconds(time_text: str) -> float:
    """Return the time of such a text in seconds since 1970; raises ValueError."""
    time = datetime.datetime.strptime(time_text, _TIME)
    return time.replace(tzinfo=datetime.timezone.utc).timestamp()
