"""bounds.prove: what it lets pass is safe in int32, in every step that the kernels really take."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from host_tools.errors import HostToolError
from host_tools.models.bounds import LIMIT, prove
from host_tools.models.graph import Operator, Tensor
from host_tools.models.layers import Layer
from host_tools.models.quantise import rescale
from tests.generators.viper import Memory, Overflow, load_kernels

ONE30 = 1 << 30
MOST_INPUTS = 32896  # 128 * 255 * 32896 is just below 2**30


def tensor(scales=(1.0,), zero_point=0) -> Tensor:
    zeros = np.full(len(scales), zero_point, np.int64)
    return Tensor(0, "t", (), "INT8", np.array(scales, np.float32), zeros, 0, None)


def layer(weights, bias=(0,), scales=(0.5,), zero_point=-128, kind="dot", op="CONV_2D") -> Layer:
    """A layer with weights [channels, n] and real multipliers `scales`."""
    weights = np.array(weights, np.int8)
    out = Layer(kind, 1, len(weights), Operator(7, op, (), ()))
    out.input, out.output = tensor(zero_point=zero_point), tensor()
    out.filter, out.bias = tensor(scales), np.array(bias, np.int64)
    out.weights = weights if kind == "dot" else weights.T
    return out


def refusal(*arguments, block=8, **keywords) -> str:
    with pytest.raises(HostToolError) as caught:
        prove(layer(*arguments, **keywords), block)
    assert "operator 7 (CONV_2D)" in caught.value.message and caught.value.hint
    return caught.value.message


def run_dot(weights, x, kind="dot") -> list[int]:
    """The accumulators that the kernel stores, each step watched to be int32."""
    memory = Memory()
    weights = np.array(weights, np.int64)
    channels, n = weights.shape
    block = 8 if kind == "dot" else 4
    stored = (weights + 128).astype(np.uint8).tobytes()
    start = 4 + 4 * channels
    end = start + len(x) + -len(x) % 4
    if kind == "dot":
        op = struct.pack("<9I", 1, start, 0, 0, n // block, channels, 4, 36, end)
    else:
        op = struct.pack("<9I", 2, start, 0, 0, 0, n // block, channels, 4, 36)
    arena = bytearray(end)
    arena[start : start + len(x)] = bytes(x)
    at = memory.place(arena), memory.place(op + stored)
    load_kernels(memory)[kind](*at, 0)
    got = struct.unpack_from(f"<{channels}I", arena, 4)
    return [value - ONE30 for value in got]


def run_requantise(acc, bias, multiplier, left, right, zero=128, low=0, high=255) -> int:
    """One channel through the kernel, each step watched."""
    memory = Memory()
    op = struct.pack("<9I", 3, 0, 4, 1, 1, zero, low, high, 36)
    table = struct.pack("<3I", bias + ONE30, multiplier - ONE30, left << 8 | right)
    arena = bytearray(struct.pack("<I", acc + ONE30) + bytes(4))
    at = memory.place(arena), memory.place(op + table)
    load_kernels(memory)["requantise"](*at, 0)
    return arena[4]


def extreme_inputs(w) -> list[np.ndarray]:
    """Bytes that drive the sums to their ends."""
    w = np.array(w)
    return [np.where(w > 0, 255, 0), np.where(w < 0, 255, 0), np.full(len(w), 255), 0 * w]


def weights_of_sum(n: int, total: int) -> np.ndarray:
    """n weights as even as can be."""
    out = np.full(n, total // n)
    out[: total - int(out.sum())] += 1
    return out


@pytest.mark.parametrize("kind, block", (("dot", 8), ("depthwise", 4)))
def test_number_of_inputs_at_the_limit(kind, block):
    for total in (0, 64, -127 * MOST_INPUTS):
        w = weights_of_sum(MOST_INPUTS, total)
        proved = prove(layer([w], kind=kind), block)
        assert LIMIT < proved.worst < 2 * LIMIT
        for x in extreme_inputs(w):
            assert run_dot([w], x.tolist(), kind) == [int((x * w).sum())]
    for total in (0, 65):
        more = 0 if total else block
        w = weights_of_sum(MOST_INPUTS + more, total)
        message = refusal([w], kind=kind, block=block)
        assert "the sum of products of output channel 0" in message
    w = np.full(MOST_INPUTS + block, -1)
    assert "the sum of inputs of output channel 0" in refusal([w], kind=kind, block=block)
    # Padding counts: one input more is a whole block more.
    assert "the sum of" in refusal([np.full(MOST_INPUTS + 1, -1)], kind=kind, block=block)


def test_the_watch_sees_an_overflow():
    w = np.full(34000, 127)
    with pytest.raises(Overflow):
        run_dot([w], [255] * len(w))
    with pytest.raises(Overflow):
        run_requantise(ONE30 - 1, 1, ONE30, 1, 0)


@pytest.mark.parametrize("kind, block", (("dot", 8), ("depthwise", 4)))
def test_worst_inputs_at_the_rails(kind, block):
    rng = np.random.default_rng(1)
    for n in (8, 640, 4096):
        w = rng.choice([-127, 127], n)
        prove(layer([w], kind=kind), block)
        for x in extreme_inputs(w):
            assert run_dot([w], x.tolist(), kind) == [int((x * w).sum())]


@pytest.mark.parametrize(
    "weights, zero_point, left, inside, outside",
    (
        ([0], -128, 0, ONE30 - 1, ONE30),
        ([0], -128, 0, 1 - ONE30, -ONE30),
        ([1], 0, 0, ONE30 - 128, ONE30 - 127),
        ([1], 0, 0, 129 - ONE30, 128 - ONE30),
        ([-1], 0, 0, ONE30 - 129, ONE30 - 128),
        ([-1], 0, 0, 128 - ONE30, 127 - ONE30),
        ([3, -2], -128, 0, ONE30 - 1 - 765, ONE30 - 765),
        ([3, -2], -128, 0, 1 - ONE30 + 510, 510 - ONE30),
        ([3, -2], 127, 0, ONE30 - 1 - 510, ONE30 - 510),
        ([3, -2], 127, 0, 1 - ONE30 + 765, 765 - ONE30),
        ([1], 0, 10, (1 << 20) - 128, (1 << 20) - 127),
        ([1], 0, 10, 129 - (1 << 20), 128 - (1 << 20)),
        ([0], 0, 29, 1, 2),
        ([0], 0, 30, 0, 1),
    ),
)
def test_biases_and_shifts_at_their_limits(weights, zero_point, left, inside, outside):
    scale = 0.5 * 2.0**left
    proved = prove(layer([weights], [inside], [scale], zero_point), 8)
    bias, multiplier = int(proved.bias[0]), int(proved.multiplier[0])
    assert (int(proved.left[0]), int(proved.right[0]), multiplier) == (left, 0, ONE30)
    ends = set()
    for x in extreme_inputs(weights):
        acc = int((x * weights).sum())
        real = inside + int(((x - 128 - zero_point) * weights).sum())
        assert acc + bias == real, "the folded bias gives the reference's accumulator"
        for m in (ONE30, 2 * ONE30 - 1, 0x5A827999):
            want = min(max(rescale(real, m, left) + 128, 0), 255)
            assert run_requantise(acc, bias, m, left, 0) == want
        ends.add(real)
    assert max(abs(end) for end in ends) << left < LIMIT
    message = refusal([weights], [outside], [scale], zero_point)
    assert "of output channel 0 can reach" in message and str(LIMIT) in message
    assert "the bias" in message or "the scaled sum" in message


def test_the_channel_at_fault_is_named():
    message = refusal([[1], [1], [1]], [0, 0, ONE30], [0.5, 0.5, 0.5])
    assert "output channel 2" in message


def test_channels_that_always_give_the_zero_point_are_emptied():
    """A scale of 0 or a right shift of 31: the reference's output is 0 for every sum allowed."""
    scales = [0.5 * 2.0**-30, 0.5 * 2.0**-31, 0.5 * 2.0**-32, 0.99 * 2.0**-31, 0.5]
    weights = [[5] * 8] * 5
    proved = prove(layer(weights, [ONE30 - 12000] * 5, scales), 8)
    assert [int(row.any()) for row in proved.weights] == [1, 0, 0, 0, 1]
    assert proved.right.tolist() == [30, 0, 0, 0, 0]
    assert proved.bias[1] == proved.bias[2] == 0
    for total in (LIMIT - 1, 1 - LIMIT):
        for multiplier in (ONE30, 2 * ONE30 - 1):
            assert rescale(total, multiplier, -31) == 0
    # right shift 30 does not vanish
    assert rescale(LIMIT - 1, 2 * ONE30 - 1, -30) == 1


def test_requantise_over_all_that_is_proved():
    """Random and extreme sums, multipliers and shifts: no step leaves int32, all are rescale."""
    rng = random.Random(2)
    ends = (0, 1, -1, ONE30 - 1, 1 - ONE30, 12345, -(1 << 29))
    multipliers = (ONE30, ONE30 + 1, 2 * ONE30 - 1, ONE30 + (1 << 15), 2 * ONE30 - (1 << 15))
    cases = [(t, m, 0, r) for t in ends for m in multipliers for r in (0, 1, 22, 29, 30)]
    for _ in range(1500):
        left = rng.choice((0, 0, 0, rng.randrange(31)))
        total = rng.randrange(1 - (1 << 30 - left), 1 << 30 - left)
        cases.append((total, rng.randrange(ONE30, 2 * ONE30), left, rng.randrange(31)))
    for total, multiplier, left, right in cases:
        bias = rng.choice((0, total, max(total - ONE30 + 1, 1 - ONE30), rng.randrange(ONE30)))
        if abs(total - bias) >= ONE30:
            bias = total // 2
        want = rescale(total << left, multiplier, -right) if right else None
        if want is None:
            want = rescale(total, multiplier, left)
        got = run_requantise(total - bias, bias, multiplier, left, right)
        assert got == min(max(want + 128, 0), 255), (total, multiplier, left, right)


def test_one_scale_of_fully_connected_is_multiplied_in_float32():
    """kernel_util.cc multiplies input and filter scale as floats there, as doubles elsewhere."""
    differs = 0
    rng = np.random.default_rng(3)
    for _ in range(40):
        a, b, c = rng.uniform(0.001, 0.5, 3).astype(np.float32)
        tables = []
        for op, scale in (
            ("FULLY_CONNECTED", float(np.float32(a * b)) / float(c)),
            ("CONV_2D", float(a) * float(b) / float(c)),
        ):
            one = layer([[1]], [0], [b], op=op)
            one.input, one.output = tensor([a]), tensor([c])
            proved = prove(one, 8)
            exponent = int(proved.left[0]) - int(proved.right[0])
            tables.append(int(proved.multiplier[0]))
            assert abs(tables[-1] * 2.0 ** (exponent - 31) - scale) <= 2.0 ** (exponent - 32)
        differs += tables[0] != tables[1]
    assert differs > 20
