"""Whole clips by matrix arithmetic against TFLite Micro: every output, and the state between."""

from __future__ import annotations

import numpy as np
import pytest

from host_tools.models import bounds, whole_clips
from host_tools.models.catalog import known_models
from host_tools.models.reference import TFLiteMicroModel, features, quantise
from host_tools.models.tflite_writer import write_model
from host_tools.models.whole_clips import WholeClipModel
from tests.generators.audio_cases import cases
from tests.generators.other_exporters import expand_dims, float_states
from tests.generators.random_models import random_graphs, random_model

INFERENCES = 60
MODELS = sorted(known_models())
RANDOM, EXOTIC = 120, 60


@pytest.fixture(scope="module")
def heard() -> np.ndarray:
    """int8 slices: speech, noise, tones and full scale, then any values and rails."""
    rng = np.random.default_rng(1)
    slices = [quantise(features(pcm)) for pcm in cases(3).values()]
    return np.concatenate([*slices, slices_for(rng, 3000)])


def slices_for(rng: np.random.Generator, count: int) -> np.ndarray:
    """int8 [count, 40]: any values, with runs of quiet, of the upper rail and of both."""
    slices = rng.integers(-128, 128, (count, 40), dtype=np.int8)
    kinds = np.repeat(rng.integers(0, 5, -(-count // 4)), 4)[:count]
    slices[kinds == 1] = -128
    slices[kinds == 2] = 127
    slices[kinds == 3] = rng.choice(np.array([-128, 127], np.int8), (np.sum(kinds == 3), 40))
    return slices


def in_pieces(model, slices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The outputs of a model that gets the slices in pieces of any number of inferences."""
    found, at = [], 0
    while at < len(slices):
        size = int(rng.integers(0, 700)) * model.stride
        found.append(model.run(slices[at : at + size]))
        at += size
    return np.concatenate(found)


@pytest.mark.parametrize("name", MODELS)
def test_known_models(name, heard, figure):
    source = known_models()[name].read_bytes()
    fast, reference = WholeClipModel(source), TFLiteMicroModel(source)
    assert fast.stride == reference.stride
    want = reference.run(heard)
    got = in_pieces(fast, heard[: len(want) * fast.stride], np.random.default_rng(2))
    wrong = np.flatnonzero(got != want)
    assert len(got) == len(want) and not len(wrong), (name, wrong[:3], len(wrong))
    assert len(np.unique(want)) > 20 and want.max() > 250
    figure(f"{len(wrong)} of {len(want)} inferences differ")


@pytest.mark.parametrize("exotic, count", ((False, RANDOM), (True, EXOTIC)))
def test_random_models(exotic, count, figure):
    compared = varied = 0
    for seed in range(count):
        data, description = random_model(seed, exotic)
        fast, reference = WholeClipModel(data), TFLiteMicroModel(data)
        rng = np.random.default_rng(seed)
        slices = slices_for(rng, INFERENCES * reference.stride)
        want = reference.run(slices)
        got = in_pieces(fast, slices, rng)
        assert (got == want).all(), (description, np.flatnonzero(got != want)[:3])
        fast.reset()
        assert (fast.run(slices) == want).all(), description
        compared += len(want)
        varied += len(np.unique(want)) >= 8
    assert varied > 0.9 * count, "most random models must have outputs that vary"
    figure(f"{count} models, {compared} inferences, 0 differ")


@pytest.mark.parametrize("change", ("float states", "expanded dimensions"))
def test_models_of_other_exporters(change):
    for seed in range(4):
        main, init, description = random_graphs(seed)
        if change == "float states":
            assert float_states(main, init, np.random.default_rng(seed))
        else:
            expand_dims(main)
        data = write_model([main, init])
        reference = TFLiteMicroModel(data)
        slices = slices_for(np.random.default_rng(seed), INFERENCES * reference.stride)
        assert (WholeClipModel(data).run(slices) == reference.run(slices)).all(), description


def test_sums_beyond_float32_are_made_in_float64(monkeypatch):
    """No random model has such a layer; a lower limit makes all of them one."""
    used = {layer._type for layer, _ in WholeClipModel(random_model(1)[0])._layers[:1]}
    assert used == {np.float32}
    monkeypatch.setattr(whole_clips, "FLOAT32_EXACT", 1)
    for seed in range(12):
        data, description = random_model(seed, exotic=True)
        fast, reference = WholeClipModel(data), TFLiteMicroModel(data)
        assert fast._layers[0][0]._type == np.float64
        slices = slices_for(np.random.default_rng(seed), INFERENCES * reference.stride)
        assert (fast.run(slices) == reference.run(slices)).all(), description


def test_the_limit_of_float32_is_that_of_the_type():
    limit = whole_clips.FLOAT32_EXACT
    assert int(np.float32(limit - 1)) == limit - 1 and int(np.float32(limit)) == limit
    assert int(np.float32(limit + 1)) != limit + 1
    assert bounds.LIMIT < 1 << 53 and bounds.LIMIT * ((1 << 31) - 1) + (1 << 30) < 1 << 63


def test_less_than_an_inference_and_nothing_at_all():
    source = known_models()["okay_nabu"].read_bytes()
    model = WholeClipModel(source)
    assert len(model.run(np.zeros((0, 40), np.int8))) == 0
    assert len(model.run(np.zeros((2, 40), np.int8))) == 0
    first = model.run(np.full((3, 40), 5, np.int8))
    assert first == TFLiteMicroModel(source).run(np.full((3, 40), 5, np.int8))
