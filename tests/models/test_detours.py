"""Models of other exporters (EXPAND_DIMS, SQUEEZE, float states) convert exactly or not at all."""

from __future__ import annotations

import numpy as np
import pytest

from host_tools.errors import HostToolError
from host_tools.models.build import convert_model
from host_tools.models.reference import TFLiteMicroModel
from host_tools.models.tflite_writer import FLOAT32, INT8, Op, write_model
from host_tools.models.verify import run_firmware
from tests.generators.other_exporters import expand_dims, float_states, squeeze
from tests.generators.random_models import random_graphs

MANIFEST = {
    "type": "micro",
    "wake_word": "random",
    "version": 2,
    "micro": {"probability_cutoff": 0.9, "sliding_window_size": 5},
}
AFTER_SHA256 = 48  # of the header: what a file holds beside its own checksums


def converts_exactly(main, init, plain: bytes) -> None:
    """Compare with TFLite Micro, and with the file made from the model as it was."""
    data = write_model([main, init])
    converted = convert_model(data, MANIFEST)
    before = convert_model(plain, MANIFEST)
    assert converted.data[AFTER_SHA256:] == before.data[AFTER_SHA256:]
    tflite = TFLiteMicroModel(data)
    slices = np.random.default_rng(1).integers(-128, 128, (40 * tflite.stride, 40), dtype=np.int8)
    want = tflite.run(slices)
    assert (run_firmware(converted.data, slices) == want).all()


@pytest.mark.parametrize("seed", (0, 1, 2, 3, 4, 5, 7, 8))
def test_states_in_float_convert_exactly(seed):
    main, init, _ = random_graphs(seed)
    plain = write_model([main, init])
    assert float_states(main, init, np.random.default_rng(seed)), "a model without states"
    converts_exactly(main, init, plain)


@pytest.mark.parametrize("seed", range(3))
def test_expand_dims_and_any_batch_convert_exactly(seed):
    main, init, _ = random_graphs(seed)
    plain = write_model([main, init])
    expand_dims(main)
    converts_exactly(main, init, plain)


def test_squeeze_converts_exactly():
    seen = 0
    for seed in range(40):
        main, init, _ = random_graphs(seed)
        plain = write_model([main, init])
        if squeeze(main):
            converts_exactly(main, init, plain)
            seen += 1
        if seen == 2:
            return
    raise AssertionError("no random model flattens a single row")


def in_float():
    """A random model with its states in float: (main, init)."""
    main, init, _ = random_graphs(1)
    assert float_states(main, init, np.random.default_rng(0))
    return main, init


def find(main, name):
    return next(op for op in main.ops if op.name == name)


def test_two_scales_are_refused_with_both():
    main, init = in_float()
    quantize = find(main, "QUANTIZE")
    old = main.tensors[quantize.outputs[0]]
    wrong = main.tensor("wrong", old.shape, INT8, (old.scales[0] * 1.5,), old.zero_points)
    for op in main.ops:
        op.inputs = [wrong if i == quantize.outputs[0] else i for i in op.inputs]
    quantize.outputs = [wrong]
    with pytest.raises(HostToolError, match="float detour with two scales") as caught:
        convert_model(write_model([main, init]), MANIFEST)
    assert f"{old.scales[0]:g}" in caught.value.message and "(QUANTIZE)" in caught.value.message


def test_a_shifted_zero_point_is_refused():
    main, init = in_float()
    quantize = find(main, "QUANTIZE")
    out = main.tensors[quantize.outputs[0]]
    out.zero_points = (out.zero_points[0] - 1 if out.zero_points[0] > -128 else -127,)
    with pytest.raises(HostToolError):
        convert_model(write_model([main, init]), MANIFEST)


def test_joined_floats_of_different_scales_are_refused():
    main, init = in_float()
    dequantize = find(main, "DEQUANTIZE")
    value = main.tensors[dequantize.inputs[0]]
    other = main.tensor("other", value.shape, INT8, (value.scales[0] * 2,), value.zero_points)
    main.ops.insert(main.ops.index(dequantize), Op("QUANTIZE", dequantize.inputs, [other]))
    dequantize.inputs = [other]
    with pytest.raises(HostToolError, match="different scales|two scales"):
        convert_model(write_model([main, init]), MANIFEST)


def test_computing_in_float_is_refused_by_name():
    main, init = in_float()
    logistic = find(main, "LOGISTIC")
    source = main.tensors[logistic.inputs[0]]
    floats = [main.tensor(f"f{i}", source.shape, FLOAT32) for i in range(2)]
    main.ops.insert(main.ops.index(logistic), Op("DEQUANTIZE", logistic.inputs, [floats[0]]))
    logistic.inputs, logistic.outputs, old = [floats[0]], [floats[1]], logistic.outputs
    main.ops.insert(main.ops.index(logistic) + 1, Op("QUANTIZE", [floats[1]], old))
    with pytest.raises(HostToolError, match=r"\(LOGISTIC\): .*computed in float32"):
        convert_model(write_model([main, init]), MANIFEST)


@pytest.mark.parametrize("value", (0.5, 300.0, float("nan"), float("inf")))
def test_a_start_that_int8_cannot_hold_is_refused(value):
    main, init = in_float()
    constant = next(tensor for tensor in init.tensors if tensor.data is not None)
    scale = max(abs(constant.data).max(), np.float32(0.01))
    constant.data = np.full_like(constant.data, np.float32(value) * scale / 7)
    if value == 300.0:
        constant.data = np.full_like(constant.data, 1e9)
    with pytest.raises(HostToolError, match="starts with"):
        convert_model(write_model([main, init]), MANIFEST)


def test_a_value_that_stays_in_float_is_refused():
    main, init = in_float()
    main.ops = [op for op in main.ops if op is not find(main, "DEQUANTIZE")]
    with pytest.raises(HostToolError):
        convert_model(write_model([main, init]), MANIFEST)


def test_damage_to_a_model_with_detours_never_crashes():
    rng = np.random.default_rng(5)
    refused = 0
    for _ in range(60):
        main, init = in_float()
        op = main.ops[rng.integers(len(main.ops))]
        kind = rng.integers(3)
        if kind == 0 and op.inputs:
            op.inputs[rng.integers(len(op.inputs))] = int(rng.integers(-1, len(main.tensors)))
        elif kind == 1:
            op.inputs = op.inputs[:-1]
        else:
            op.outputs = op.outputs[:-1]
        try:
            convert_model(write_model([main, init]), MANIFEST)
        except HostToolError:
            refused += 1
    assert refused > 30
