"""Random layers of streaming models, written as real converters write them.

`LayerWriter` appends layers to a graph.  Beside each value it carries a sample of what the value
holds on random input, so that biases and scales can be chosen for outputs that vary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from host_tools.models.tflite_writer import (
    INT8,
    INT32,
    NONE,
    RELU,
    RELU6,
    RESOURCE,
    SAME,
    VALID,
    Graph,
)

SAMPLES = 48
MAX_FACTOR = 8.0  # largest effective scale
MAX_BIAS = 1 << 24


@dataclass
class Value:
    """An int8 tensor [1, rows, 1, channels] and a sample of its rows, int8 [SAMPLES, channels]."""

    tensor: int
    rows: int
    channels: int
    scale: np.float32
    zero_point: int
    sample: np.ndarray


def float32_exp2(rng, low: float, high: float) -> np.float32:
    """A random scale, evenly spread in its logarithm; one in eight is a power of two."""
    exponent = rng.uniform(low, high)
    return np.float32(2.0 ** (round(exponent) if rng.random() < 0.125 else exponent))


@dataclass
class How:
    """What a multiply is given; None is drawn at random."""

    activation: int | None = None
    scale: np.float32 | None = None
    zero_point: int | None = None
    centre: float | None = None  # where the outputs should lie, int8
    stride: int = 1
    dilation: int = 1
    depth_multiplier: int | None = None


class LayerWriter:
    """Adds layers to `main`; state variables start in `init`, the graph that CALL_ONCE runs."""

    def __init__(self, rng: np.random.Generator, main: Graph, init: Graph) -> None:
        self.rng, self.main, self.init = rng, main, init
        self.states = 0

    # --- data movement ---------------------------------------------------------------------------

    def like(self, value: Value, rows: int, channels: int, sample: np.ndarray) -> Value:
        """A new tensor with the same quantisation as `value`."""
        tensor = self.main.tensor(
            f"t{len(self.main.tensors)}",
            (1, rows, 1, channels),
            INT8,
            (value.scale,),
            (value.zero_point,),
        )
        return Value(tensor, rows, channels, value.scale, value.zero_point, sample)

    def keep(self, value: Value, rows: int) -> Value:
        """STRIDED_SLICE to the last `rows` rows, in one of the ways to say so."""
        begin, end, masks = [0, 0, 0, 0], [0, 0, 0, 0], 0b1111
        begin[1] = -rows if self.rng.random() < 0.7 else value.rows - rows
        if self.rng.random() < 0.2:
            end, masks = [1, value.rows, 1, value.channels], 0
        out = self.like(value, rows, value.channels, value.sample)
        self.main.op(
            "STRIDED_SLICE",
            [
                value.tensor,
                self.main.constant("begin", begin),
                self.main.constant("end", end),
                self.main.constant("strides", [1, 1, 1, 1]),
            ],
            [out.tensor],
            BeginMask=0b1101,
            EndMask=masks,
        )
        return out

    def concatenate(self, values: list[Value], axis: int) -> Value:
        """CONCATENATION in time (axis 1) or over channels (axis 3 or -1)."""
        if axis == 1:
            sample = values[-1].sample
            shape = sum(v.rows for v in values), values[0].channels
        else:
            sample = np.concatenate([v.sample for v in values], axis=1)
            shape = values[0].rows, sum(v.channels for v in values)
        out = self.like(values[0], *shape, sample)
        self.main.op("CONCATENATION", [v.tensor for v in values], [out.tensor], Axis=axis)
        return out

    def split(self, value: Value, sizes: list[int]) -> list[Value]:
        """SPLIT_V over channels."""
        at = np.cumsum([0, *sizes])
        parts = [
            self.like(value, value.rows, size, value.sample[:, start : start + size])
            for start, size in zip(at, sizes, strict=False)
        ]
        self.main.op(
            "SPLIT_V",
            [
                value.tensor,
                self.main.constant("sizes", sizes),
                self.main.constant("axis", self.rng.choice([3, -1])),
            ],
            [part.tensor for part in parts],
            NumSplits=len(parts),
        )
        return parts

    def history(self, value: Value, rows: int) -> Value:
        """The last `rows` rows in time that end with `value`, by a state variable when needed."""
        kept = rows - value.rows
        if kept <= 0:
            return value if kept == 0 else self.keep(value, rows)
        name = f"stream_{self.states}/states"
        self.states += 1
        handle = self.main.tensor(name, (), type=RESOURCE)
        self.main.op("VAR_HANDLE", [], [handle], Container="", SharedName=name)
        before = self.like(value, kept, value.channels, value.sample)
        self.main.op("READ_VARIABLE", [handle], [before.tensor])
        whole = self.concatenate([before, value], 1)
        self.main.op("ASSIGN_VARIABLE", [handle, self.keep(whole, kept).tensor], [])

        start = value.zero_point if self.rng.random() < 0.85 else int(self.rng.integers(-128, 128))
        init_handle = self.init.tensor(name, (), type=RESOURCE)
        constant = self.init.tensor(
            "constant",
            (1, kept, 1, value.channels),
            INT8,
            (value.scale,),
            (value.zero_point,),
            data=np.full((1, kept, 1, value.channels), start, np.int8),
        )
        self.init.op("VAR_HANDLE", [], [init_handle], Container="", SharedName=name)
        self.init.op("ASSIGN_VARIABLE", [init_handle, constant], [])
        return whole

    # --- arithmetic ------------------------------------------------------------------------------

    def convolution(
        self, value: Value, channels: int, kernel: int, how: How | None = None
    ) -> Value:
        """CONV_2D over `kernel` rows and all channels."""
        how = how or How()
        weights = self._weights(channels, kernel * value.channels)
        stored = weights.reshape(channels, kernel, 1, value.channels)
        rows = (value.rows - (kernel - 1) * how.dilation - 1) // how.stride + 1
        return self._multiply("CONV_2D", value, weights, stored, (1, rows, 1, channels), how)

    def depthwise(self, value: Value, kernel: int, how: How | None = None) -> Value:
        """DEPTHWISE_CONV_2D over `kernel` rows; input channels * depth multiplier outputs."""
        how = how or How()
        multiplier = how.depth_multiplier = how.depth_multiplier or 1
        channels = value.channels * multiplier
        taps = self._weights(channels, kernel)
        weights = np.zeros((channels, kernel, value.channels), np.int8)
        for channel in range(channels):
            weights[channel, :, channel // multiplier] = taps[channel]
        stored = np.ascontiguousarray(taps.T).reshape(1, kernel, 1, channels)
        shape = 1, (value.rows - kernel) // how.stride + 1, 1, channels
        return self._multiply(
            "DEPTHWISE_CONV_2D", value, weights.reshape(channels, -1), stored, shape, how
        )

    def fully_connected(
        self, value: Value, inputs: int, channels: int, how: How | None = None
    ) -> Value:
        """FULLY_CONNECTED to [1, channels]; `value` may be of any shape with `inputs` elements."""
        weights = self._weights(channels, inputs)
        return self._multiply(
            "FULLY_CONNECTED", value, weights, weights, (1, channels), how or How()
        )

    def _weights(self, channels: int, count: int) -> np.ndarray:
        """int8 [channels, count]: even, bell-shaped, sparse, tiny, or all at the rails."""
        rng, shape = self.rng, (channels, count)
        kinds = ["even"] * 6 + ["bell"] * 6 + ["sparse", "tiny", "rails", "full"]
        kind = rng.choice(kinds)
        if kind == "even":
            weights = rng.integers(-127, 128, shape)
        elif kind == "bell":
            weights = np.clip(np.rint(rng.standard_normal(shape) * 40), -127, 127)
        elif kind == "sparse":
            weights = rng.integers(-127, 128, shape) * (rng.random(shape) < 0.2)
        elif kind == "tiny":
            weights = rng.integers(-1, 2, shape)
        elif kind == "rails":
            weights = rng.choice([-127, 127], shape)
        else:
            weights = np.repeat(rng.choice([-127, 127], (channels, 1)), count, axis=1)
        return weights.astype(np.int8)

    def _multiply(self, op, value: Value, weights, stored, shape, how: How) -> Value:
        """Write one multiply: `weights` [channels, rows * input channels], `stored` in a file."""
        rng, channels = self.rng, len(weights)
        activation, scale, zero_point = self._output_quantisation(how)
        # A sample of the sums; the rows in time are drawn independently.
        rows = weights.shape[1] // value.channels
        inputs = np.concatenate([rng.permutation(value.sample) for _ in range(rows)], axis=1)
        sums = (inputs.astype(np.float64) - value.zero_point) @ weights.astype(np.float64).T

        factors = self._factors(sums, may_be_per_channel=op != "FULLY_CONNECTED")
        w_scales = (factors * float(scale) / float(value.scale)).astype(np.float32)
        factors = w_scales.astype(np.float64) * float(value.scale) / float(scale)
        per_channel = len(w_scales) > 1
        axis = 3 if op == "DEPTHWISE_CONV_2D" and per_channel else 0
        zeros = (0,) * len(w_scales)
        inputs = [
            value.tensor,
            self.main.tensor(
                "weights", stored.shape, INT8, tuple(w_scales), zeros, axis, data=stored
            ),
        ]
        biases = np.zeros(channels, np.int32)
        if rng.random() < (0.93 if op == "DEPTHWISE_CONV_2D" else 0.98):
            low, high = (-60, 60) if activation == NONE else (zero_point, zero_point + 60)
            centre = rng.uniform(low, high, channels) if how.centre is None else how.centre
            wanted = (centre - zero_point) / factors - sums.mean(axis=0)
            biases = np.clip(np.rint(wanted), -MAX_BIAS, MAX_BIAS).astype(np.int32)
            b_scales = tuple(w_scales * value.scale)
            inputs.append(
                self.main.tensor("bias", (channels,), INT32, b_scales, zeros, data=biases)
            )
        elif op == "FULLY_CONNECTED":
            inputs.append(-1)  # the convolutions leave it out altogether
        out = self.main.tensor(f"{op.lower()}_out", shape, INT8, (scale,), (zero_point,))
        self.main.op(op, inputs, [out], **self._options(op, stored, value, activation, how))

        low = zero_point if activation != NONE else -128
        high = min(127, zero_point + 6 / float(scale)) if activation == RELU6 else 127
        sample = np.clip(np.rint(zero_point + factors * (sums + biases)), low, high)
        rows = shape[1] if len(shape) == 4 else 1
        return Value(out, rows, channels, scale, zero_point, sample.astype(np.int8))

    def _output_quantisation(self, how: How) -> tuple[int, np.float32, int]:
        """(activation, scale, zero point) of a multiply's output."""
        rng, activation, scale, zero_point = self.rng, how.activation, how.scale, how.zero_point
        if activation is None:
            activation = int(rng.choice([NONE, RELU, RELU6], p=[0.35, 0.5, 0.15]))
        if scale is None:
            scale = float32_exp2(rng, -6, -4) if activation == RELU6 else float32_exp2(rng, -8, 2)
        if zero_point is None:
            zero_point = -128 if activation != NONE else int(rng.integers(-30, 31))
            if rng.random() < 0.3:
                zero_point = int(rng.integers(-128, 128 if activation == NONE else 60))
        return activation, scale, zero_point

    def _factors(self, sums: np.ndarray, may_be_per_channel: bool) -> np.ndarray:
        """Effective scales that spread the outputs, one or one a channel; a few are extreme."""
        rng, channels = self.rng, sums.shape[1]
        factors = rng.uniform(25, 60, channels) / np.maximum(sums.std(axis=0), 1.0)
        if not may_be_per_channel or rng.random() < 0.2:
            return np.full(1, np.median(factors))
        odd = rng.random(channels) < 0.04  # from all bits shifted out to a left shift
        factors[odd] = 2.0 ** rng.uniform(-36, 3, odd.sum())
        return np.minimum(factors, MAX_FACTOR)

    def _options(self, op, stored, value: Value, activation: int, how: How) -> dict:
        if op == "FULLY_CONNECTED":
            return {"FusedActivationFunction": activation}
        pointwise = value.rows == stored.shape[1] == 1
        options = {
            "Padding": SAME if pointwise and self.rng.random() < 0.7 else VALID,
            "StrideH": how.stride,
            "StrideW": 1 if op == "CONV_2D" else how.stride,
            "DilationHFactor": how.dilation,
            "DilationWFactor": 1,
            "FusedActivationFunction": activation,
        }
        if how.depth_multiplier is not None:
            options["DepthMultiplier"] = how.depth_multiplier
        return options
