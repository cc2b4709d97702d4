"""Exact: features equal pymicro-features, probabilities TFLite Micro's, every one, each model.

The whole engine runs in MicroPython on audio; then each model on random slices.  Together at least
20,000 inferences a model, zero differences.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from host_tools.models import reference
from host_tools.models.catalog import find_model, known_models, read_tflite
from host_tools.models.verify import run_firmware
from tests.generators.audio_cases import cases

WANTED = 20_000
MODELS = sorted(known_models())
CASES = ("speech", "noise", "tones", "rails")
SLICE_INFERENCES = 15_600

# Audio on stdin; a record a step on stdout: features (uint16), slice (uint8), and of each model
# whether it inferred and its probability.
ENGINE = """
import sys
from wakeword.engine import CHUNK_SAMPLES, Engine
from wakeword.model import read

engine = Engine([read(path) for path in sys.argv[1:]])
chunk = bytearray(2 * CHUNK_SAMPLES)
each = bytearray(2 * len(engine.models))
write = sys.stdout.buffer.write
while sys.stdin.buffer.readinto(chunk) == len(chunk):
    engine.process(chunk)
    if engine.slice_ready:
        for i, model in enumerate(engine.models):
            each[2 * i] = model.inferred
            each[2 * i + 1] = model.probability
        write(engine.frontend.features)
        write(engine.slice)
        write(each)
"""


@lru_cache(maxsize=1)
def audio() -> dict[str, np.ndarray]:
    return cases(6)


def test_the_cases_are_enough():
    """Audio and slices together: the number of inferences that the issue is about."""
    steps = sum(len(pcm) // 160 - 2 for pcm in audio().values())
    assert set(audio()) == set(CASES)
    assert steps // 3 - len(CASES) + SLICE_INFERENCES >= WANTED, steps
    assert len(MODELS) >= 4


@pytest.mark.parametrize("case", CASES)
def test_the_engine_on_audio(case, run_micropython, figure):
    pcm = audio()[case]
    paths = [find_model(name).path for name in MODELS]
    out = run_micropython(ENGINE, *paths, stdin=pcm.astype("<i2").tobytes())
    records = np.frombuffer(out, np.uint8).reshape(-1, 120 + 2 * len(MODELS))
    want = reference.features(pcm)
    assert len(records) == len(want) == len(pcm) // 160 - 2
    got = records[:, :80].copy().view("<u2")
    wrong = np.argwhere(got != want)
    assert not len(wrong), f"slice, channel {wrong[0]} of {len(wrong)} features"
    slices = reference.quantise(want)
    wrong = np.argwhere((records[:, 80:120] ^ 0x80).view(np.int8) != slices)
    assert not len(wrong), f"slice, channel {wrong[0]} of {len(wrong)} int8 values"
    for i, name in enumerate(MODELS):
        tflite = reference.TFLiteMicroModel(read_tflite(known_models()[name]))
        probabilities = tflite.run(slices)
        inferred = records[:, 120 + 2 * i] != 0
        expected = np.arange(1, len(records) + 1) % tflite.stride == 0
        assert (inferred == expected).all(), name
        wrong = np.flatnonzero(records[inferred, 121 + 2 * i] != probabilities)
        assert not len(wrong), f"{name}: inference {wrong[0]}, {len(wrong)} differ"
        figure(f"{len(wrong)} of {len(probabilities)} inferences differ")


def test_the_audio_moves_the_models():
    """Equality would say little if every probability were 0."""
    slices = reference.quantise(reference.features(audio()["speech"]))
    moved = {}
    for name in MODELS:
        tflite = reference.TFLiteMicroModel(read_tflite(known_models()[name]))
        values = tflite.run(slices)
        moved[name] = len(np.unique(values)), int(values.max())
    assert min(count for count, _ in moved.values()) > 10, moved
    assert moved["okay_nabu"][1] > 250 and moved["alexa"][1] > 250, moved


def random_slices(rng: np.random.Generator, count: int) -> np.ndarray:
    """int8 [count, 40]: even, at the rails, quiet, constant, in runs; two thirds are pieces of
    speech, shaken.
    """
    slices = rng.integers(-128, 128, (count, 40), dtype=np.int8)
    kind = np.repeat(rng.integers(0, 5, -(-count // 12)), 12)[:count]
    slices[kind == 1] = -128
    slices[kind == 2] = 127
    rails = kind == 3
    slices[rails] = rng.choice(np.array([-128, 127], np.int8), (int(rails.sum()), 40))
    slices[kind == 4] = (slices[kind == 4] >> 3) - 100
    words = reference.quantise(reference.features(audio()["speech"])).astype(np.int32)
    at = 0
    while at < count:
        size = min(int(rng.integers(60, 300)), count - at)
        start = int(rng.integers(len(words) - size))
        shaken = words[start : start + size] + rng.integers(-9, 10, (size, 40))
        slices[at : at + size] = np.clip(shaken, -128, 127)
        at += size + int(rng.integers(0, 180))
    return slices


@pytest.mark.parametrize("name", MODELS)
def test_models_on_random_slices(name, figure):
    source = read_tflite(known_models()[name])
    tflite = reference.TFLiteMicroModel(source)
    slices = random_slices(np.random.default_rng(7), SLICE_INFERENCES * tflite.stride)
    got = run_firmware(find_model(name).path.read_bytes(), slices)
    want = tflite.run(slices)
    assert len(got) == len(want) == SLICE_INFERENCES
    wrong = np.flatnonzero(got != want)
    assert not len(wrong), f"inference {wrong[0]}: {got[wrong[0]]}, not {want[wrong[0]]}"
    assert len(np.unique(want)) > 20
    figure(f"{len(wrong)} of {len(want)} inferences differ")
