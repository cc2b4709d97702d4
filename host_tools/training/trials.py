"""Held-out scenes, and what a model gives for each: what the setting and the report come from.

A trial is a scene of a speaker that training never heard, or of music and noise alone.  Of a scene
with the word only the time around the word's end counts, so a model that fires at something else
in it has not heard the word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from host_tools.evaluation.detections import STEP_MS, ProbabilitySums
from host_tools.evaluation.measure import Measured
from host_tools.training.selection import Setting

#: Kinds of trials beside those of clips: a scene without speech.
MUSIC = "music"
NO_WORD = -1
#: A detection counts from this long before the word's end to this long after it.
EARLIEST_MS, LATEST_MS = 500, 1000

#: Takes int8 slices [n, 40] from the model's first state, gives uint8, one an inference.
Run = Callable[[NDArray[np.int8]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Trial:
    """One scene and how it was made."""

    features: NDArray[np.int8]  # [slices, 40]
    end: int  # the slice at which the word ends; NO_WORD
    kind: str  # clips.WORD, NEAR, TALK; MUSIC
    text: str  # of the word or near word; "" for the rest
    family: str
    tempo: float
    snr_db: float
    room_s: float  # reverberation time T60; 0: none

    @property
    def seconds(self) -> float:
        return len(self.features) * STEP_MS / 1000


@dataclass(frozen=True)
class Heard:
    """A trial and the probabilities that a model gave for it."""

    trial: Trial
    measured: Measured

    def detections(self, setting: Setting, stride: int) -> int:
        """How often the detector fires in it with this setting."""
        probabilities = np.frombuffer(self.measured.probabilities, np.uint8)
        found = ProbabilitySums(probabilities, setting.window).detections(setting.cutoff, stride)
        return len(found)


def hear(trials: Iterable[Trial], run: Run, stride: int) -> list[Heard]:
    """Run a model over every trial, each from the model's first state."""
    return [Heard(trial, _measured(trial, run(trial.features), stride)) for trial in trials]


def _measured(trial: Trial, probabilities: NDArray[np.uint8], stride: int) -> Measured:
    if trial.end == NO_WORD:
        return Measured(trial.seconds, probabilities.tobytes())
    first = max(0, trial.end - EARLIEST_MS // STEP_MS) // stride
    last = (trial.end + LATEST_MS // STEP_MS) // stride
    part = probabilities[first : last + 1]
    return Measured(len(part) * stride * STEP_MS / 1000, part.tobytes())


def of_kind(heard: Sequence[Heard], *kinds: str) -> list[Heard]:
    """Those whose trial is of one of these kinds."""
    return [each for each in heard if each.trial.kind in kinds]


def measured(heard: Iterable[Heard]) -> list[Measured]:
    """Their probabilities, as `evaluation` counts them."""
    return [each.measured for each in heard]


def halves(heard: Sequence[Heard]) -> tuple[list[Heard], list[Heard]]:
    """Every second of each kind: one half to choose the setting, the other to report on."""
    first: list[Heard] = []
    second: list[Heard] = []
    seen: dict[str, int] = {}
    for each in heard:
        number = seen.get(each.trial.kind, 0)
        seen[each.trial.kind] = number + 1
        (second if number % 2 else first).append(each)
    return first, second


def runner(tflite: bytes) -> tuple[Run, int]:
    """Return what runs a .tflite over whole clips, equal to TFLite Micro, and its stride."""
    from host_tools.models.whole_clips import WholeClipModel

    model = WholeClipModel(tflite)

    def run(slices: NDArray[np.int8]) -> NDArray[np.uint8]:
        model.reset()
        return model.run(slices)

    return run, model.stride
