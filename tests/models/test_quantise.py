"""quantise.py against TFLite Micro's own arithmetic: one-op models, all 256 inputs each."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tflite_micro.python.tflite_micro import runtime

from host_tools.models import quantise
from host_tools.models.tflite_writer import (
    INT8,
    INT32,
    NONE,
    RELU,
    RELU6,
    UINT8,
    VALID,
    Graph,
    write_model,
)

ALL = np.arange(-128, 128, dtype=np.int8).reshape(1, 256)
UNIT = (np.float32(1 / 256),)


def run(graph: Graph, data: np.ndarray) -> list[int]:
    """The model's output on one input."""
    interpreter = runtime.Interpreter.from_bytes(write_model([graph]), arena_size=1 << 16)
    interpreter.set_input(data, 0)
    interpreter.invoke()
    return [int(v) for v in interpreter.get_output(0).reshape(-1)]


def elementwise(op: str, scale, zero_point, out_scale, out_zero_point, out_type=INT8) -> list[int]:
    """What TFLite Micro gives for all int8 inputs."""
    graph = Graph("main")
    graph.inputs = [graph.tensor("in", (1, 256), INT8, (np.float32(scale),), (zero_point,))]
    out = (np.float32(out_scale),), (out_zero_point,)
    graph.outputs = [graph.tensor("out", (1, 256), out_type, *out)]
    graph.op(op, graph.inputs, graph.outputs)
    return run(graph, ALL)


def test_logistic_over_many_scales_and_zero_points():
    rng = np.random.default_rng(1)
    scales = [2.0**k for k in range(-12, 5)] + [0.1, 1 / 256, 16 / 127, 15 / 128, 26 / 255]
    cases = [(s, z) for s in scales for z in (-128, 0, 127)]
    cases += [(2 ** rng.uniform(-8, 1), int(rng.integers(-128, 128))) for _ in range(250)]
    # Scales with an input whose result lies within 3 of 2**23 of a tie.
    cases += [(float.fromhex(s), 0) for s in ("0x1.303fecp-6", "0x1.f4fae4p-5")]
    for scale, zero_point in cases:
        want = elementwise("LOGISTIC", scale, zero_point, UNIT[0], -128)
        got = quantise.logistic_table(np.float32(scale), zero_point)
        assert got == want, (scale, zero_point)


def test_logistic_is_about_logistic():
    table = quantise.logistic_table(np.float32(1 / 16), 0)
    for q in range(-128, 128):
        assert abs(table[q + 128] + 128 - 256 / (1 + math.exp(-q / 16))) < 1.01


@pytest.mark.parametrize("out_type, low", ((INT8, -128), (UINT8, 0)))
def test_quantize_over_many_scales_and_zero_points(out_type, low):
    rng = np.random.default_rng(2)
    cases = [
        (UNIT[0], -128, UNIT[0], 0),
        (1.0, 0, 1.0, 0),
        (1.0, 127, 2.0, 0),
        (2.0, -128, 1.0, 3),
    ]
    for _ in range(300):
        ratio = 2 ** rng.choice([rng.uniform(-9, 6), round(rng.uniform(-4, 4))])
        scale = 2 ** rng.uniform(-8, 1)
        zero = int(rng.choice([-128, 127, 0, rng.integers(-128, 128)]))
        cases.append((scale, zero, scale * ratio, int(rng.integers(low, low + 256))))
    for scale, zero, out_scale, out_zero in cases:
        want = elementwise("QUANTIZE", scale, zero, out_scale, out_zero, out_type)
        got = quantise.rescale_table(np.float32(scale), zero, np.float32(out_scale), out_zero, low)
        assert got == want, (scale, zero, out_scale, out_zero)


CHANNELS = 128


def convolution(biases, scales, out_scale, zero_point, activation=NONE) -> list[int]:
    """TFLite Micro's int8 outputs of a convolution whose sums are the biases alone."""
    n = len(biases)
    graph = Graph("main")
    graph.inputs = [graph.tensor("in", (1, 1, 1, 1), INT8, (np.float32(1),), (0,))]
    zeros = (0,) * n
    weights = graph.tensor(
        "w", (n, 1, 1, 1), INT8, tuple(scales), zeros, 0, data=np.zeros((n, 1, 1, 1), np.int8)
    )
    bias = graph.tensor("b", (n,), INT32, tuple(scales), zeros, data=np.array(biases, np.int32))
    out = (np.float32(out_scale),), (zero_point,)
    graph.outputs = [graph.tensor("out", (1, 1, 1, n), INT8, *out)]
    graph.op(
        "CONV_2D",
        [graph.inputs[0], weights, bias],
        graph.outputs,
        Padding=VALID,
        StrideH=1,
        StrideW=1,
        DilationHFactor=1,
        DilationWFactor=1,
        FusedActivationFunction=activation,
    )
    return run(graph, np.zeros((1, 1, 1, 1), np.int8))


def test_multipliers_shifts_and_both_roundings():
    """Sums that land on outputs -128..127, ties among them, for multipliers of every size."""
    rng = np.random.default_rng(3)
    seen = set()
    for _ in range(120):
        out_scale = np.float32(2 ** rng.uniform(-6, 3))
        exact = rng.random() < 0.4
        factors = 2.0 ** (
            rng.integers(-26, 6, CHANNELS) if exact else rng.uniform(-26, 6, CHANNELS)
        )
        if exact:
            out_scale = np.float32(2.0 ** round(math.log2(out_scale)))
        scales = (factors * float(out_scale)).astype(np.float32)
        factors = scales.astype(np.float64) / float(out_scale)
        halves = rng.integers(-250, 251, CHANNELS) / 2 + rng.choice([0, 0, 0.01, -0.01], CHANNELS)
        biases = np.clip(np.rint(halves / factors), 1 - (1 << 30), (1 << 30) - 1).astype(np.int64)
        zero_point = int(rng.integers(-3, 4))
        want = convolution(biases, scales, out_scale, zero_point)
        got = []
        for bias, factor in zip(biases, factors, strict=True):
            multiplier, shift = quantise.quantise_multiplier(float(factor))
            assert (1 << 30) <= multiplier < 1 << 31
            value = quantise.rescale(int(bias), multiplier, shift) + zero_point
            got.append(min(max(value, -128), 127))
            seen.add(shift)
        assert got == want
    assert len(seen) > 25


def test_multipliers_at_the_ends():
    assert quantise.quantise_multiplier(0.0) == (0, 0)
    assert quantise.quantise_multiplier(0.5) == (1 << 30, 0)
    assert quantise.quantise_multiplier(1.0) == (1 << 30, 1)
    almost = math.nextafter(1.0, 0)  # rounds up to 2**31 and is halved
    assert quantise.quantise_multiplier(almost) == (1 << 30, 1)
    assert quantise.quantise_multiplier(2.0**-32) == (1 << 30, -31)
    assert quantise.quantise_multiplier(2.0**-33) == (0, 0)
    assert quantise.quantise_multiplier(math.nextafter(2.0**-32, 0)) == (1 << 30, -31)
    assert quantise.doubling_high_mul(-(1 << 31), -(1 << 31)) == (1 << 31) - 1


@pytest.mark.parametrize("activation", (NONE, RELU, RELU6, 2))
def test_activation_ranges(activation):
    """Two channels far beyond both ends show the range."""
    rng = np.random.default_rng(4)
    cases = [(6 / 255, -128), (1.0, 0), (6.0, 0), (4.0, -1), (12 / 255, -127), (0.02, 100)]
    cases += [(2 ** rng.uniform(-8, 3), int(rng.integers(-128, 128))) for _ in range(80)]
    for scale, zero_point in cases:
        scale = np.float32(scale)
        want = convolution([-(1 << 24), 1 << 24], [scale, scale], scale, zero_point, activation)
        got = quantise.activation_range(activation, scale, zero_point)
        if got[0] <= got[1]:
            assert list(got) == want, (scale, zero_point)
    assert quantise.activation_range(4, np.float32(1), 0) is None
