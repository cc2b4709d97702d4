"""The household's recordings of the word, for `--fine-tune`: some to learn from, some to measure.

Which is which depends on the hashes of the samples alone, so another name or folder changes
nothing, and the same recording twice is one.  (In a lossy format, or at another rate, it is
another one.)  The recordings are read and never copied: what is learned from them are features of
scenes and weights, in the run's private folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from host_tools.audio.files import open_audio
from host_tools.errors import HostToolError
from host_tools.evaluation.folders import audio_files
from host_tools.training.clips import SAMPLE_RATE_HZ, WORD
from host_tools.training.cutting import cut

#: Fewer different recordings than this would leave too few to learn from or to measure.
FEWEST, FEWEST_LEARNED = 9, 6
#: One of so many is measured and not learned from.
MEASURED_OF = 3

_BLOCK = SAMPLE_RATE_HZ // 100
#: The word is this much above the quietest tenth of its recording; it ends where it falls below
#: the loudest moment by one of these, depending on how quiet the room is.
_LEAST_DB, _OVER_FLOOR_DB, _QUIET_ROOM_DB, _LOUD_ROOM_DB = 15, 10, 30, 20
#: Seconds: a longer pause ends the word; a longer recording is not of one word.
_LONGEST_PAUSE, _LONGEST_RECORDING = 0.3, 15.0
#: What else is heard may have this share of the word's energy, else it may be a part of it.
_MOST_BESIDE = 0.2


@dataclass(frozen=True)
class Recording:
    """A file, and what is in it: int16 at 16 kHz, None where it is still to be read."""

    path: Path
    samples: NDArray[np.int16] | None = None


@dataclass(frozen=True)
class Household:
    """Recordings of people who say the word, divided."""

    #: int16 at 16 kHz each, ordered by hash; they end where the word does.
    learned: tuple[NDArray[np.int16], ...]
    #: With their samples: hours later the files may be others.
    measured: tuple[Recording, ...]
    #: To be learned from, but the word does not stand out in them.
    unclear: int
    #: Over the hashes of all recordings.
    sha256: str

    @property
    def count(self) -> int:
        """How many different recordings there are."""
        return len(self.learned) + self.unclear + len(self.measured)

    def as_json(self) -> dict[str, object]:
        """What the recipe says of them."""
        return {
            "recordings": self.count,
            "learned": len(self.learned),
            "measured": len(self.measured),
            "unclear": self.unclear,
            "sha256": self.sha256,
        }

    def __str__(self) -> str:
        unclear = f"; in {self.unclear} the word does not stand out" if self.unclear else ""
        return (
            f"of {self.count} recordings of your household, {len(self.learned)} were learned "
            f"from, {len(self.measured)} are measured{unclear}"
        )


def read(folder: Path) -> Household:
    """Read and divide the recordings in and below a folder.

    Raises HostToolError for a file that cannot be read, and for too few recordings.
    """
    by_hash: dict[str, Recording] = {}
    for path in audio_files((folder,)):
        samples = _samples(path)
        by_hash.setdefault(_hash(samples), Recording(path, samples))
    hashes = sorted(by_hash)
    if len(hashes) < FEWEST:
        raise HostToolError(
            f"--fine-tune needs {FEWEST} different recordings, {folder} has {len(hashes)}",
            "record the word more often, or leave --fine-tune out: then all are measured",
        )
    measured = hashes[: len(hashes) // MEASURED_OF]
    to_learn = [by_hash[each] for each in hashes[len(measured) :]]
    words = [word_in(each.samples) for each in to_learn if each.samples is not None]
    learned = tuple(word for word in words if word is not None)
    if len(learned) < FEWEST_LEARNED:
        unclear = to_learn[words.index(None)].path
        raise HostToolError(
            f"the word stands out in only {len(learned)} of {len(words)} recordings to learn from "
            f"in {folder}, not in {unclear.name}",
            "record it alone, in a quiet room, with a second of silence before and after it",
        )
    whole = hashlib.sha256("".join(hashes).encode()).hexdigest()
    return Household(
        learned, tuple(by_hash[each] for each in measured), len(words) - len(learned), whole
    )


def word_in(samples: NDArray[np.int16]) -> NDArray[np.int16] | None:
    """Return the loudest stretch of speech in a recording, or None when none stands out alone.

    Args:
        samples: int16 [n], 16 kHz.

    Returns:
        int16, as `cutting.cut` gives clips: it ends where the word does, within a few 10 ms.
    """
    if not 2 * _BLOCK <= len(samples) <= _LONGEST_RECORDING * SAMPLE_RATE_HZ:
        return None
    whole = samples[: len(samples) // _BLOCK * _BLOCK] - np.median(samples)
    blocks = whole.reshape(-1, _BLOCK)
    power = np.convolve(np.square(blocks).mean(axis=1), [0.5, 0.5], "same") + 1.0
    floor, peak = np.quantile(power, 0.1), power.max()
    if peak < floor * 10 ** (_LEAST_DB / 10):
        return None
    lowest, highest = (peak * 10 ** (-db / 10) for db in (_QUIET_ROOM_DB, _LOUD_ROOM_DB))
    loud = np.flatnonzero(power > np.clip(floor * 10 ** (_OVER_FLOOR_DB / 10), lowest, highest))
    parts = np.split(loud, np.flatnonzero(np.diff(loud) > _LONGEST_PAUSE * 100) + 1)
    *others, word = sorted(parts, key=lambda part: float(power[part].sum()))
    if others and power[others[-1]].sum() > _MOST_BESIDE * power[word].sum():
        return None
    first, last = max(0, word[0] - 1), word[-1] + 2
    return cut(blocks[first:last].reshape(-1) / 32768, WORD)


def _samples(path: Path) -> NDArray[np.int16]:
    blocks = list(open_audio(str(path)).blocks())
    return np.concatenate(blocks) if blocks else np.zeros(0, np.int16)


def _hash(samples: NDArray[np.int16]) -> str:
    return hashlib.sha256(samples.astype("<i2").tobytes()).hexdigest()
