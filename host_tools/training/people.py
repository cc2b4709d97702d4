"""What the user gives of their own: recordings to measure on, and recordings to train on.

Those to measure on (`--hear`) are read and nothing more; `household` divides them for
`--fine-tune`.  Those to train on (`--negatives`, the
kept false wakes) become features of scenes, which a run keeps in a folder of their own and removes
when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from host_tools.audio.files import SAMPLE_RATE_HZ, open_audio
from host_tools.errors import HostToolError
from host_tools.evaluation.detections import ProbabilitySums
from host_tools.evaluation.engine import choose
from host_tools.evaluation.folders import audio_files
from host_tools.evaluation.measure import Job, measure
from host_tools.training.facts import PerHour, Share, Side
from host_tools.training.household import Household, Recording
from host_tools.training.selection import Setting

#: int16 [n] each, 16 kHz mono.
Sounds = list[NDArray[np.int16]]

NO_PEOPLE = "Measured on real people: none given."
#: Silence after each recording, as `earnest evaluate` puts it.
PAD_MS = 500
#: Scenes take the beginning of a recording, so a long one is cut into pieces.
_PIECE_SAMPLES = 6 * SAMPLE_RATE_HZ
_SHORTEST_SAMPLES = SAMPLE_RATE_HZ // 4


def missed_by(recordings: Sequence[Recording], tflite: bytes, setting: Setting) -> Side:
    """Return how many of these recordings of the word the model misses.

    Raises HostToolError for a file that cannot be read.
    """
    engine = choose(tflite, str(recordings[0].path))
    missed = 0
    for each in recordings:
        audio = None if each.samples is None else each.samples.tobytes()
        found = measure(Job(str(each.path), tflite, PAD_MS, engine, audio))
        if found.problem:
            raise HostToolError(found.problem, "repair it, or take it out of the folder")
        probabilities = np.frombuffer(found.probabilities, np.uint8)
        highest = ProbabilitySums(probabilities, setting.window).highest
        missed += highest <= setting.cutoff * setting.window
    what = "recordings of people (--hear)"
    return Side(what, Share(what, missed, len(recordings)), PerHour(what, 0, 0.0))


def line(side: Side, household: Household | None) -> str:
    """Return the sentence of the report; `household`: recordings that were learned from, too."""
    if household is None:
        return (
            f"Measured on real people: {side.missed} of the recordings that you gave were missed."
        )
    return (
        f"Measured on real people: {side.missed} were missed; {household}. "
        "The same people said both, so this says nothing of others."
    )


def read_pieces(folders: Sequence[Path]) -> Sounds:
    """Return all audio of some folders in pieces of at most 6 s; none for no folder.

    Raises HostToolError for a folder without audio, and for a file that cannot be read.
    """
    if not folders:
        return []
    whole = (
        np.concatenate(list(open_audio(str(path)).blocks()))
        for path in audio_files(tuple(folders))
    )
    return list(pieces(whole))


def pieces(recordings: Iterable[NDArray[np.int16]]) -> Iterator[NDArray[np.int16]]:
    """Cut recordings into pieces of at most 6 s, without scraps at their ends."""
    for samples in recordings:
        for at in range(0, len(samples), _PIECE_SAMPLES):
            piece = samples[at : at + _PIECE_SAMPLES]
            if len(piece) >= _SHORTEST_SAMPLES:
                yield piece
