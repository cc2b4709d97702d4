"""Prove a conversion: compare the firmware's outputs with TFLite's, one by one.

Seventh stage of the converter.  Inputs: random int8, values at both rails, the features of speech
and of noise.  The firmware runs in the real MicroPython; the reference is TFLite Micro.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host_tools import micropython
from host_tools.audio import speech
from host_tools.errors import HostToolError
from host_tools.models.build import ConvertedModel
from host_tools.models.reference import TFLiteMicroModel, features, quantise

SCRIPT = micropython.GUESTS / "engine.py"
INFERENCES_AT_A_TIME = 500
#: Said around the wake word, so that the proof has speech that is near it and far from it.
SENTENCES = ("{word}", "{word}, turn on the light", "what a lovely morning it is today", "{word}!")


@dataclass(frozen=True)
class Verification:
    """How many inferences were compared, how many differ, and the first that does."""

    inferences: int
    different: int
    first: tuple[int, int, int] | None = None  # number, firmware, TFLite

    @property
    def is_exact(self) -> bool:
        return self.different == 0


def verify(
    model: ConvertedModel, inferences: int, progress: Callable[[int], None] = lambda done: None
) -> Verification:
    """Compare at least `inferences` outputs; call `progress` with the number done so far.

    Raises HostToolError when the host's MicroPython cannot run viper code, or TFLite Micro does
    not take the model.
    """
    micropython.require_native_emitter()
    tflite = TFLiteMicroModel(model.source)
    slices = test_slices(model.manifest.wake_word, inferences * model.stride)
    want = np.zeros(0, np.uint8)
    for start in range(0, len(slices), INFERENCES_AT_A_TIME * model.stride):
        part = slices[start : start + INFERENCES_AT_A_TIME * model.stride]
        want = np.concatenate((want, tflite.run(part)))
        progress(len(want) // 2)
    got = run_firmware(model.data, slices)
    progress(len(want))
    if len(got) != len(want):
        raise HostToolError(f"the firmware ran {len(got)} inferences where TFLite ran {len(want)}")
    wrong = np.flatnonzero(got != want)
    first = (int(wrong[0]), int(got[wrong[0]]), int(want[wrong[0]])) if len(wrong) else None
    return Verification(len(want), len(wrong), first)


def run_firmware(data: bytes, slices: NDArray[Any]) -> NDArray[Any]:
    """Return the probabilities (uint8) that the firmware computes from int8 slices, (n, 40)."""
    with tempfile.TemporaryDirectory(prefix="earnest-") as folder:
        path = Path(folder) / "model.ewm"
        path.write_bytes(data)
        stdin = (slices.view(np.uint8) ^ 0x80).tobytes()
        done = micropython.run(SCRIPT, "slices", path, stdin=stdin, timeout_s=3600)
    if done.returncode:
        text = (done.stdout[-2000:] + done.stderr).decode("utf-8", "replace").strip()
        raise HostToolError(f"the firmware stopped in MicroPython: {text[-500:]}")
    return np.frombuffer(done.stdout, np.uint8)


def test_slices(wake_word: str, count: int, seed: int = 0) -> NDArray[Any]:
    """Return int8 slices, (count, 40): a third random, the rest features of speech and noise."""
    rng = np.random.default_rng(seed)
    random = rng.integers(-128, 128, (count // 3, 40), dtype=np.int8)
    rails = np.repeat(rng.integers(0, 3, -(-len(random) // 8)), 8)[: len(random)]
    random[rails == 1] = -128
    random[rails == 2] = 127
    pieces = [random]
    missing = count - len(random)
    spoken = [
        speech.pad(speech.synthesise(sentence.format(word=wake_word), words_per_minute=speed))
        for sentence in SENTENCES
        for speed in (120, 140, 175)
    ]
    while missing > 0:
        clean = spoken[rng.integers(len(spoken))]
        gain = 10 ** rng.uniform(-1.5, 0.5)
        noise = rng.standard_normal(len(clean)) * 10 ** rng.uniform(0, 3)
        pcm = np.clip(np.rint(clean * gain + noise), -32768, 32767).astype(np.int16)
        part = quantise(features(pcm))[:missing]
        pieces.append(part)
        missing -= len(part)
    return np.concatenate(pieces)
