"""A clip: one thing that one synthetic speaker said, and the file that holds it.

The file is a WAV that any player plays; what was said by whom stands in its comment (a LIST
chunk) as JSON.  So a clip is one file, written whole or not at all.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from host_tools import atomic_file
from host_tools.errors import HostToolError

SAMPLE_RATE_HZ = 16000
WORD, NEAR, TALK = "word", "near", "talk"
KINDS = (WORD, NEAR, TALK)
SUFFIX = ".wav"

_RIFF = struct.Struct("<4sI4s")
_CHUNK = struct.Struct("<4sI")
#: PCM, one channel, rate, bytes a second, bytes a sample, bits.
_FORMAT = struct.pack("<HHIIHH", 1, 1, SAMPLE_RATE_HZ, 2 * SAMPLE_RATE_HZ, 2, 16)


@dataclass(frozen=True)
class Clip:
    """What one speaker said, and how."""

    #: int16 [n], 16 kHz mono, the silence around the speech cut off: it ends at the last sample.
    samples: NDArray[np.int16]
    #: WORD, NEAR (sounds like the word, alone) or TALK (fluent sentences without it).
    kind: str
    text: str
    #: IPA, without stress marks.
    phonemes: str
    #: The voice family: kokoro, piper, flite, espeak ...
    family: str
    #: Enough to make the same speaker again, as `af_heart:0.61+bm_lewis:0.39`.
    speaker: str
    #: 1.0: as the voice speaks by itself; 1.2: a fifth faster.
    tempo: float
    #: Training never sees this speaker; only the report does.
    is_held_out: bool

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return len(self.samples) / SAMPLE_RATE_HZ


_ABOUT = tuple(field.name for field in fields(Clip) if field.name != "samples")


def path_of(folder: Path, number: int) -> Path:
    """Return the file of clip `number`, 0 or more."""
    return folder / f"{number:06d}{SUFFIX}"


def save(folder: Path, number: int, clip: Clip) -> None:
    """Write the clip whole or not at all; raises HostToolError when it cannot be written."""
    about = json.dumps(
        {name: value for name, value in asdict(clip).items() if name != "samples"},
        ensure_ascii=False,
        sort_keys=True,
    ).encode()
    comment = b"INFO" + _chunk(b"ICMT", about + b"\0")
    samples = clip.samples.astype("<i2").tobytes()
    body = _chunk(b"fmt ", _FORMAT) + _chunk(b"LIST", comment) + _chunk(b"data", samples)
    content = _RIFF.pack(b"RIFF", 4 + len(body), b"WAVE") + body
    atomic_file.write(path_of(folder, number), content)


def load(folder: Path) -> list[Clip]:
    """Return every clip of the folder, ordered by number; raises HostToolError for a bad file."""
    return [read(path) for path in sorted(folder.glob("*" + SUFFIX))]


def read(path: Path) -> Clip:
    """Return the clip in a file that `save` wrote; raises HostToolError for any other file."""
    try:
        parts = _parts(path.read_bytes())
        comment = _parts(parts[b"LIST"], len(b"INFO"))[b"ICMT"]
        about = json.loads(comment.rstrip(b"\0"))
        samples = np.frombuffer(parts[b"data"], "<i2").astype(np.int16)
        if parts[b"fmt "] != _FORMAT or set(about) != set(_ABOUT):
            raise ValueError("another kind of WAV")
        return Clip(samples=samples, **about)
    except (OSError, KeyError, TypeError, ValueError, struct.error) as error:
        raise HostToolError(
            f"{path} is not a clip of the training: {error}",
            "remove its folder; `earnest train` makes it again",
        ) from error


def _chunk(name: bytes, content: bytes) -> bytes:
    """A RIFF chunk; a byte fills it up to an even length."""
    return _CHUNK.pack(name, len(content)) + content + b"\0" * (len(content) % 2)


def _parts(data: bytes, start: int = _RIFF.size) -> dict[bytes, bytes]:
    """The chunks of RIFF data by name."""
    parts: dict[bytes, bytes] = {}
    while start < len(data):
        name, length = _CHUNK.unpack_from(data, start)
        start += _CHUNK.size
        if start + length > len(data):
            raise ValueError("the file is cut short")
        parts[name] = data[start : start + length]
        start += length + length % 2
    return parts
