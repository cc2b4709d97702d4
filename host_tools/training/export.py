"""From trained weights to a streaming int8 `.tflite`, with only the ops of the published models.

Batch norms are folded into their convolutions.  The range of each activation is measured over
calibration scenes.  Weights are int8 per channel (the dense layer's per tensor), biases int32, and
each history is a state variable that starts at its zero point, which stands for 0.0.
`models/whole_clips` runs the result over whole scenes; `earnest convert` proves it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from host_tools.models.tflite_writer import (
    INT8,
    INT32,
    NONE,
    RELU,
    RESOURCE,
    UINT8,
    VALID,
    Graph,
    Op,
    write_model,
)
from host_tools.training.network import (
    EPSILON,
    FEATURES,
    INPUT_SCALE,
    INPUT_ZERO_POINT,
    STRIDE,
    Shape,
    Weights,
    logits,
    real_features,
)
from host_tools.training.scenes import Scenes

CONVOLUTION, DEPTHWISE, DENSE = "convolution", "depthwise", "dense"
#: The share of values beyond either end of an activation's range, which are clipped.
CLIPPED_SHARE = 1e-5
SMALLEST_WEIGHT, SMALLEST_RANGE = 1e-6, 1e-3
#: A channel whose weights are next to nothing gets a scale that holds its bias below this.
MAX_BIAS = 1 << 24
SCENES_AT_A_TIME = 32
#: With the word, and as many without.
CALIBRATION_SCENES = 60

#: Scale and zero point.
Quantisation = tuple[float, int]


@dataclass(frozen=True)
class Folded:
    """A layer without batch norm: float weights [outputs, inputs or 1, kernel], bias [outputs]."""

    kind: str
    weight: NDArray[np.float64]
    bias: NDArray[np.float64]
    stride: int = 1

    @property
    def has_relu(self) -> bool:
        return self.kind == CONVOLUTION

    @property
    def kernel(self) -> int:
        return self.weight.shape[2]


def fold(weights: Weights, shape: Shape) -> list[Folded]:
    """Return the layers in order, each batch norm folded into the convolution before it."""

    def normalised(name: str, stride: int = 1) -> Folded:
        weight, scale, shift, mean, variance = (
            weights[f"{name}.{what}"].astype(np.float64)
            for what in ("weight", "scale", "shift", "mean", "variance")
        )
        factor = scale / np.sqrt(variance + EPSILON)
        bias = shift - mean * factor
        return Folded(CONVOLUTION, weight * factor[:, None, None], bias, stride)

    def plain(name: str, kind: str) -> Folded:
        weight, bias = (
            weights[f"{name}.{what}"].astype(np.float64) for what in ("weight", "bias")
        )
        return Folded(kind, weight, bias)

    layers = [normalised("first", STRIDE)]
    for block in range(len(shape.kernels)):
        layers += [plain(f"depthwise{block}", DEPTHWISE), normalised(f"pointwise{block}")]
    return [*layers, plain("head", DENSE)]


def float_probabilities(
    weights: Weights, features: NDArray[np.int8], shape: Shape
) -> NDArray[np.float32]:
    """Return the float network's probabilities, [scenes, slices // 3], of int8 slices
    [scenes, slices, 40]; beside them the int8 model's show what quantising loses."""
    tensors = {name: torch.from_numpy(values) for name, values in weights.items()}
    parts = []
    with torch.no_grad():
        for at in range(0, len(features), SCENES_AT_A_TIME):
            part = torch.from_numpy(np.array(features[at : at + SCENES_AT_A_TIME]))
            parts.append(torch.sigmoid(logits(tensors, real_features(part), shape)).numpy())
    return np.concatenate(parts)


def activation_ranges(
    layers: list[Folded], calibration: NDArray[np.int8]
) -> list[tuple[float, float]]:
    """Return (lowest, highest) of what each layer gives over int8 scenes [n, slices, 40]."""
    x = real_features(torch.from_numpy(np.array(calibration))).transpose(1, 2)
    ranges = []
    with torch.no_grad():
        for layer in layers:
            weight, bias = (torch.from_numpy(v).float() for v in (layer.weight, layer.bias))
            x = F.pad(x, (layer.kernel - layer.stride, 0))
            groups = len(weight) if layer.kind == DEPTHWISE else 1
            x = F.conv1d(x, weight, bias, stride=layer.stride, groups=groups)
            x = x.relu() if layer.has_relu else x
            low, high = np.quantile(x.numpy(), [CLIPPED_SHARE, 1 - CLIPPED_SHARE])
            ranges.append((min(float(low), 0.0), max(float(high), SMALLEST_RANGE)))
    return ranges


def calibration(words: Scenes, others: Scenes) -> NDArray[np.int8]:
    """Return the scenes that ranges are measured on: evenly spread ones of both kinds."""
    slices = words.features.shape[1]
    picked = [
        scenes.features[:: max(1, len(scenes) // CALIBRATION_SCENES)][:CALIBRATION_SCENES, :slices]
        for scenes in (words, others)
    ]
    return np.concatenate(picked)


def export(
    weights: Weights, calibration: NDArray[np.int8], shape: Shape, description: str = ""
) -> bytes:
    """Return the `.tflite` of these weights.

    Args:
        weights: by the names of `network.initial_weights`.
        calibration: int8 [scenes, slices, 40]: a few dozen scenes as training has them.
        shape: the shape that the weights have.
        description: a line that the file carries.
    """
    layers = fold(weights, shape)
    writer = _Writer()
    for layer, reach in zip(layers, activation_ranges(layers, calibration), strict=True):
        writer.layer(layer, reach)
    return writer.finish(description)


class _Writer:
    """Appends layers to the main graph, and their histories to the one that starts them."""

    def __init__(self) -> None:
        self._main, self._init, self._histories = Graph("main"), Graph("NoOp"), 0
        self._rows, self._channels = STRIDE, FEATURES
        self._quantisation: Quantisation = (INPUT_SCALE, INPUT_ZERO_POINT)
        given = self._tensor("input", (1, STRIDE, FEATURES))
        self._main.inputs = [given]
        self._value = self._reshaped(given, (1, STRIDE, 1, FEATURES))

    def layer(self, layer: Folded, reach: tuple[float, float]) -> None:
        """Append a layer whose outputs have this range."""
        whole = self._with_history(layer.kernel)
        if layer.kind == DENSE:
            whole = self._reshaped(whole, (1, layer.kernel * self._channels))
        constants = self._constants(layer)
        low, high = reach
        scale = (high - low) / 255
        self._quantisation = scale, int(np.clip(round(-128 - low / scale), -128, 127))
        self._rows, self._channels = 1, len(layer.weight)
        if layer.kind == DENSE:
            self._value = self._tensor("logit", (1, 1))
            name, options = "FULLY_CONNECTED", {}
        else:
            self._value = self._tensor(layer.kind, (1, 1, 1, self._channels))
            options = {"Padding": VALID, "StrideH": layer.stride, "StrideW": 1}
            options |= {"DilationHFactor": 1, "DilationWFactor": 1}
            name = "CONV_2D"
            if layer.kind == DEPTHWISE:
                name, options = "DEPTHWISE_CONV_2D", {**options, "DepthMultiplier": 1}
        options["FusedActivationFunction"] = RELU if layer.has_relu else NONE
        self._main.op(name, [whole, *constants], [self._value], **options)

    def finish(self, description: str) -> bytes:
        """Append the probability and return the file."""
        unit = np.float32(1 / 256)
        main = self._main
        probability = main.tensor("probability", (1, 1), INT8, (unit,), (-128,))
        main.op("LOGISTIC", [self._value], [probability])
        main.outputs = [main.tensor("output", (1, 1), UINT8, (unit,), (0,))]
        main.op("QUANTIZE", [probability], main.outputs)
        main.ops.insert(0, Op("CALL_ONCE", [], [], {"InitSubgraphIndex": 1}))
        return write_model([main, self._init], description)

    def _tensor(self, name: str, shape: tuple[int, ...]) -> int:
        """A tensor quantised as the value that is there now."""
        scale, zero_point = self._quantisation
        return self._main.tensor(name, shape, INT8, (np.float32(scale),), (zero_point,))

    def _reshaped(self, tensor: int, shape: tuple[int, ...]) -> int:
        reshaped = self._tensor("reshaped", shape)
        self._main.op("RESHAPE", [tensor, self._main.constant("shape", shape)], [reshaped])
        return reshaped

    def _with_history(self, rows: int) -> int:
        """The last `rows` rows in time, out of a state variable and the value."""
        kept, main, init = rows - self._rows, self._main, self._init
        if kept == 0:
            return self._value
        name = f"stream_{self._histories}/states"
        self._histories += 1
        handle = main.tensor(name, (), RESOURCE)
        main.op("VAR_HANDLE", [], [handle], Container="", SharedName=name)
        shape = (1, kept, 1, self._channels)
        before, after = self._tensor("before", shape), self._tensor("after", shape)
        main.op("READ_VARIABLE", [handle], [before])
        whole = self._tensor("whole", (1, rows, 1, self._channels))
        main.op("CONCATENATION", [before, self._value], [whole], Axis=1)
        cut = {"begin": [0, -kept, 0, 0], "end": [0, 0, 0, 0], "strides": [1, 1, 1, 1]}
        numbers = [main.constant(what, values) for what, values in cut.items()]
        main.op("STRIDED_SLICE", [whole, *numbers], [after], BeginMask=0b1101, EndMask=0b1111)
        main.op("ASSIGN_VARIABLE", [handle, after], [])
        first_handle = init.tensor(name, (), RESOURCE)
        scale, zero_point = self._quantisation
        zeros = np.full(shape, zero_point, np.int8)
        quantised = INT8, (np.float32(scale),), (zero_point,)
        first = init.tensor("zeros", shape, *quantised, data=zeros)
        init.op("VAR_HANDLE", [], [first_handle], Container="", SharedName=name)
        init.op("ASSIGN_VARIABLE", [first_handle, first], [])
        return whole

    def _constants(self, layer: Folded) -> list[int]:
        """The weights and the bias of a layer that reads the value that is there now."""
        outputs = len(layer.weight)
        input_scale = np.float32(self._quantisation[0])
        largest = np.abs(layer.weight).reshape(outputs, -1).max(axis=1)
        scales = np.maximum(largest, SMALLEST_WEIGHT) / 127
        scales = np.maximum(scales, np.abs(layer.bias) / (input_scale * MAX_BIAS))
        scales = scales.astype(np.float32)
        stored = np.clip(np.rint(layer.weight / scales[:, None, None]), -127, 127).astype(np.int8)
        bias_scales = scales * input_scale
        bias = np.rint(layer.bias / bias_scales.astype(np.float64)).astype(np.int32)
        axis = 0
        if layer.kind == DEPTHWISE:  # [1, kernel, 1, channels]
            stored, axis = stored[:, 0].T[None, :, None], 3
        elif layer.kind == CONVOLUTION:  # [outputs, kernel, 1, inputs]
            stored = stored.transpose(0, 2, 1)[:, :, None]
        else:
            stored = stored.transpose(0, 2, 1).reshape(1, -1)
        zeros = (0,) * outputs
        weight = self._main.tensor(
            "weight", stored.shape, INT8, tuple(scales), zeros, axis, np.ascontiguousarray(stored)
        )
        bias_at = self._main.tensor(
            "bias", (outputs,), INT32, tuple(bias_scales), zeros, data=bias
        )
        return [weight, bias_at]
