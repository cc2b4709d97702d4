"""Choose what computes a model's probabilities: whole clips at a time where that is proven equal.

`models.whole_clips` is several times faster than TFLite Micro, which defines what is right.  The
choice is made once, by the command, and travels with every job; workers only `make` what was
chosen.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

import numpy as np

from host_tools.audio.files import open_audio
from host_tools.errors import HostToolError

if TYPE_CHECKING:
    from numpy.typing import NDArray

TFLITE_MICRO, WHOLE_CLIPS = "tflite-micro", "whole-clips"
COMPARED_INFERENCES = 200  # beside those of a recording, before `whole_clips` is trusted


class Model(Protocol):
    """Takes int8 slices (n, 40), gives n // stride probabilities as uint8, and keeps state."""

    @property
    def stride(self) -> int: ...

    def reset(self) -> None: ...

    def run(self, slices: NDArray[np.int8]) -> NDArray[np.uint8]: ...


@dataclass(frozen=True)
class Engine:
    """What computes; `id` names its code, so that other code measures anew."""

    name: str
    id: str
    reason: str = ""  # why the fast one cannot be used


def choose(source: bytes, recording: str | None) -> Engine:
    """Return the fast engine for a .tflite, or TFLite Micro with the reason.

    The engines are compared on the start of `recording`, best one of the model's word, and on
    noise; None: on noise alone.
    """
    from host_tools.models.catalog import converter_digest

    packages = " ".join(f"{name} {version(name)}" for name in ("tflite-micro", "pymicro-features"))
    try:
        _compare(source, recording)
    except HostToolError as error:
        return Engine(TFLITE_MICRO, packages, error.message)
    return Engine(WHOLE_CLIPS, f"{packages} converter {converter_digest().hex()}")


def make(engine: str, source: bytes) -> Model:
    """Return the model in its first state; HostToolError if the engine refuses it."""
    if engine == WHOLE_CLIPS:
        from host_tools.models.whole_clips import WholeClipModel

        return WholeClipModel(source)
    from host_tools.models.reference import TFLiteMicroModel

    return TFLiteMicroModel(source)


def _compare(source: bytes, recording: str | None) -> None:
    """Raise HostToolError unless both engines give the same probabilities here and now."""
    fast = make(WHOLE_CLIPS, source)
    slices = _slices(recording, fast.stride)
    want = make(TFLITE_MICRO, source).run(slices)
    different = int((fast.run(slices) != want).sum())
    if different:
        raise HostToolError(f"{different} of {len(want)} outputs differ from TFLite Micro's")


def _slices(recording: str | None, stride: int) -> NDArray[np.int8]:
    """Return slices of the start of a recording, if it is readable, and then any int8 values."""
    from host_tools.models.reference import features, quantise

    pcm = np.zeros(0, np.int16)
    if recording is not None:
        with suppress(HostToolError):  # whoever measures the file says what is wrong with it
            pcm = next(open_audio(recording, decode=False).blocks(), pcm)
    anything = np.random.default_rng(0).integers(
        -128, 128, (COMPARED_INFERENCES * stride, 40), dtype=np.int8
    )
    return np.concatenate([quantise(features(pcm)), anything])
