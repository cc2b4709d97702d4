"""Model files and speech for the firmware's own tests: built on the host, read in MicroPython.

Runs in CPython, called by conftest.py; named so that nothing collects it as a test.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np

from host_tools.audio import speech
from host_tools.models.build import convert_model
from host_tools.models.catalog import find_model, known_models

RANDOM_SEED_OF_STRIDE = {1: 11, 2: 1, 4: 3}
MANIFEST = {
    "type": "micro",
    "wake_word": "random",
    "version": 2,
    "micro": {"probability_cutoff": 0.5, "sliding_window_size": 3, "feature_step_size": 10},
}
_KEPT: list[tempfile.TemporaryDirectory] = []


@lru_cache(maxsize=1)
def models_folder() -> Path:
    """A folder, for as long as this process runs, with

    NAME.ewm of every known model; strideN.ewm, random models of stride N; speech.pcm, int16 at
    16 kHz with each known model's wake word in it.
    """
    from tests.generators.random_models import random_model

    _KEPT.append(tempfile.TemporaryDirectory(prefix="earnest-models-"))
    folder = Path(_KEPT[0].name)
    words = []
    for name in known_models():
        built = find_model(name)
        words.append(built.wake_word)
        (folder / f"{name}.ewm").write_bytes(built.path.read_bytes())
    for stride, seed in RANDOM_SEED_OF_STRIDE.items():
        converted = convert_model(random_model(seed)[0], MANIFEST)
        assert converted.stride == stride, (seed, converted.stride)
        (folder / f"stride{stride}.ewm").write_bytes(converted.data)
    spoken = [speech.pad(speech.synthesise(word), 0.3, 0.5) for word in words]
    (folder / "speech.pcm").write_bytes(np.concatenate(spoken).astype("<i2").tobytes())
    return folder
