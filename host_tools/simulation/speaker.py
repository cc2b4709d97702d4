"""What the simulated loudspeaker sounded, and the sound that the receiver lets it play.

Stands beside the runner: what sounded is kept as it comes and can be written as a WAV file, as
long as the input and aligned with it, with silence elsewhere.
"""

from __future__ import annotations

import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypedDict

import numpy as np

from host_tools.audio.files import Samples, open_audio
from host_tools.errors import HostToolError
from host_tools.simulation.events import Event

RATE_HZ = 16000
SAMPLES_PER_MS = 16
CHUNK_SAMPLES = 160
MAX_REPLY_S = 30.0
_BLOCK_SAMPLES = 1 << 16


class ToldSound(TypedDict):
    """What a real receiver says of a sound: what it sent, how much sounded, and why it ended."""

    kind: str
    samples: int
    sha256: str
    ms: int
    why: str


@dataclass(frozen=True)
class Spoken:
    """Once that the loudspeaker was on: from when to when, in ms, what for, and why it ended.

    `what` is None without a record of it, and `reason` where more of the same sound followed.
    `words` are those of a reply, where they are known.
    """

    start_ms: int
    end_ms: int
    sound_ms: int
    what: str | None
    reason: str | None
    words: str | None = None


@dataclass
class Played:
    """Chunks of 10 ms that were not silence: the sample of the input that each began at."""

    starts: list[int] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    def add(self, start: int, chunk: bytes) -> None:
        self.starts.append(start)
        self.chunks.append(chunk)

    @property
    def samples(self) -> int:
        """How many samples sounded."""
        return CHUNK_SAMPLES * len(self.chunks)

    def sound_ms(self, start_ms: int, end_ms: int) -> int:
        """Return how much sound there was between two times of the input."""
        inside = [s for s in self.starts if start_ms <= s // SAMPLES_PER_MS < end_ms]
        return len(inside) * CHUNK_SAMPLES // SAMPLES_PER_MS

    def write(self, path: Path, samples: int) -> None:
        """Write a WAV of `samples`, 16 kHz mono 16-bit; raises HostToolError."""
        try:
            with wave.open(str(path), "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(RATE_HZ)
                at = 0
                for start, chunk in zip(self.starts, self.chunks, strict=True):
                    _write_silence(file, start - at)
                    file.writeframesraw(chunk)
                    at = start + CHUNK_SAMPLES
                _write_silence(file, samples - at)
        except OSError as error:
            raise HostToolError(f"{path}: {error.strerror}", "choose another place") from error


def spoken(
    events: Iterable[Event], played: Played, end_ms: int, answers: Sequence[str] = ()
) -> list[Spoken]:
    """Return each time that the loudspeaker was on.

    Args:
        events: of the simulation.
        played: what sounded.
        end_ms: when the input ended.
        answers: the words of the replies, in order, where they are known.
    """
    words = iter(answers)
    found: list[Spoken] = []
    what: str | None = None
    since_ms: int | None = None

    def switched_off(at_ms: int) -> None:
        nonlocal since_ms
        if since_ms is not None:
            sound_ms = played.sound_ms(since_ms, at_ms)
            said = next(words, None) if what == "reply" else None
            found.append(Spoken(since_ms, at_ms, sound_ms, what, None, said))
            since_ms = None

    for event in events:
        if event["event"] == "speaker":
            if event["on"]:
                since_ms = event["t_ms"]
            else:
                switched_off(event["t_ms"])
        elif event["event"] == "power" and not event["on"]:
            switched_off(event["t_ms"])
        elif event["event"] == "audit" and event["kind"] == "speak-start":
            what = event["what"]
        elif event["event"] == "audit" and event["kind"] == "speak-end" and found:
            found[-1] = replace(found[-1], reason=event["reason"])
    switched_off(end_ms)
    return found


def _write_silence(file: wave.Wave_write, samples: int) -> None:
    while samples > 0:
        count = min(samples, _BLOCK_SAMPLES)
        file.writeframesraw(bytes(2 * count))
        samples -= count


def read_reply(path: Path) -> Samples:
    """Return the samples of a sound for the device to play; raises HostToolError."""
    audio = open_audio(str(path))
    if audio.duration_s > MAX_REPLY_S:
        raise HostToolError(
            f"{path}: {audio.duration_s:.1f} s are too long for a reply",
            f"give at most {MAX_REPLY_S:g} s",
        )
    samples: Samples = np.concatenate([*audio.blocks(), np.zeros(0, np.int16)])
    return samples


def write_reply(samples: Samples, folder: Path) -> tuple[Path, Path]:
    """Write a sound as raw samples for the in-memory receiver and as a WAV for a real one."""
    raw, named = folder / "reply.pcm", folder / "reply.wav"
    data = samples.astype("<i2").tobytes()
    raw.write_bytes(data)
    with wave.open(str(named), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(data)
    return raw, named
