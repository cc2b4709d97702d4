"""Hundreds of random models: converted, run by the firmware, compared with TFLite Micro."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from host_tools.errors import HostToolError
from host_tools.models.build import convert_model
from host_tools.models.reference import TFLiteMicroModel
from tests.generators.broken_models import broken_models, damaged
from tests.generators.random_models import random_model
from tests.generators.tflite_runtime import TFLiteRuntimeModel, has_tflite_runtime

INFERENCES = 40
MODELS_IN_A_BATCH = 50
MANIFEST = {
    "type": "micro",
    "wake_word": "random",
    "version": 2,
    "micro": {"probability_cutoff": 0.9, "sliding_window_size": 5, "feature_step_size": 10},
}

# A file of (uint32 bytes, model file, uint32 slices, slices of 40 bytes); probabilities on stdout.
FIRMWARE = """
import gc, struct, sys
from wakeword.model import Model

def block(file, unit):
    size = struct.unpack("<I", file.read(4))[0] * unit
    data = bytearray(size)
    assert file.readinto(data) == size
    return data

with open(sys.argv[1], "rb") as file:
    for _ in range(int(sys.argv[2])):
        model = Model(block(file, 1))
        slices = memoryview(block(file, 40))
        out = bytearray()
        for i in range(0, len(slices), 40):
            if model.push(slices[i : i + 40]):
                out.append(model.probability)
        sys.stdout.buffer.write(out)
        del model, slices
        gc.collect()
"""


def random_slices(rng: np.random.Generator, stride: int) -> np.ndarray:
    """int8 [INFERENCES * stride, 40]: even noise, quiet, both rails, and runs of each."""
    count = INFERENCES * stride
    slices = rng.integers(-128, 128, (count, 40), dtype=np.int8)
    kinds = np.repeat(rng.integers(0, 5, -(-count // 4)), 4)[:count]
    slices[kinds == 1] = -128
    slices[kinds == 2] = 127
    slices[kinds == 3] = rng.choice(np.array([-128, 127], np.int8), (np.sum(kinds == 3), 40))
    return slices


def compare(seeds, exotic: bool, run_micropython, tmp_path, figure) -> None:
    """Convert, run and compare the models of these seeds; assert that no output differs."""
    blob, expected, varied = bytearray(), [], 0
    for seed in seeds:
        data, description = random_model(seed, exotic)
        reference = TFLiteMicroModel(data)
        slices = random_slices(np.random.default_rng(seed), reference.stride)
        want = reference.run(slices)
        varied += len(np.unique(want)) >= 8
        expected.append((description, want))
        built = convert_model(data, MANIFEST).data
        blob += struct.pack("<I", len(built)) + built + struct.pack("<I", len(slices))
        blob += (slices.view(np.uint8) ^ 0x80).tobytes()
    path = tmp_path / "models"
    path.write_bytes(blob)
    out = run_micropython(FIRMWARE, path, len(expected))
    got = np.frombuffer(out, np.uint8).reshape(len(expected), INFERENCES)
    wrong = [
        (description, [(i, int(g), int(w)) for i, (g, w) in enumerate(pairs) if g != w])
        for (description, want), row in zip(expected, got, strict=True)
        for pairs in [list(zip(row, want, strict=True))]
        if (row != want).any()
    ]
    assert not wrong, wrong[:3]
    assert varied > 0.9 * len(expected), "most random models must have outputs that vary"
    figure(f"{len(got)} models, {got.size} inferences, {len(wrong)} differ")


@pytest.mark.parametrize("batch", range(6))
def test_firmware_equals_tflite_micro_on_random_models(batch, run_micropython, tmp_path, figure):
    first = batch * MODELS_IN_A_BATCH
    compare(range(first, first + MODELS_IN_A_BATCH), False, run_micropython, tmp_path, figure)


def test_firmware_equals_tflite_micro_on_models_beyond_the_published(
    run_micropython, tmp_path, figure
):
    compare(range(MODELS_IN_A_BATCH), True, run_micropython, tmp_path, figure)


@pytest.mark.skipif(not has_tflite_runtime(), reason="tflite-runtime has no wheel here")
def test_both_references_agree_on_random_models():
    compared = 0
    for seed in range(60):
        data, description = random_model(seed)
        micro = TFLiteMicroModel(data)
        slices = random_slices(np.random.default_rng(seed), micro.stride)
        try:
            other = TFLiteRuntimeModel(data)
        except RuntimeError as error:  # it alone insists on a bias
            assert "has_bias was not true" in str(error), (description, error)
            continue
        assert (micro.run(slices) == other.run(slices)).all(), description
        compared += 1
    assert compared > 40


def test_random_models_are_the_same_for_the_same_seed():
    assert random_model(3) == random_model(3)
    assert random_model(3)[0] != random_model(4)[0]


def test_reset_of_the_reference_puts_the_first_state_back():
    data, _ = random_model(7)
    model = TFLiteMicroModel(data)
    slices = random_slices(np.random.default_rng(7), model.stride)
    first = model.run(slices)
    model.reset()
    assert (model.run(slices) == first).all()


@pytest.mark.parametrize(
    "name, data", list(broken_models(0)), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_broken_model_is_refused_in_words(name, data):
    with pytest.raises(HostToolError) as caught:
        convert_model(data, MANIFEST)
    assert caught.value.message, name


def test_a_damaged_model_is_refused_or_converted_but_never_a_crash():
    rng = np.random.default_rng(11)
    refused = 0
    for i in range(150):
        data, _ = random_model(i % 10)
        try:
            convert_model(damaged(data, rng), MANIFEST)
        except HostToolError:
            refused += 1
    assert refused > 50
