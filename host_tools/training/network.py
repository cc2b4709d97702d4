"""The network: the graph of the published "alexa" model, in float, over whole scenes at once.

    features [40] -> convolution 5, stride 3 -> 4 x (depthwise in time -> pointwise) -> dense

A stride of three slices and a history of zeros before the first one, layer by layer, as on the
device: output j of a scene is what the device computes after slice 3 * j + 2.  Each convolution
with a ReLU has a batch norm, which `export` folds into it.

Weights are a flat dict of arrays, so that averaging, saving and exporting them are loops.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

FEATURES = 40
STRIDE = 3
#: A feature slice as the model takes it is int8; -128 stands for 0.0.
INPUT_SCALE, INPUT_ZERO_POINT = 26 / 255, -128
DROPOUT = 0.2
#: Batch norm: what keeps a variance above zero, and how fast the running statistics follow.
EPSILON, MOMENTUM = 1e-5, 0.1
#: A word is heard as a whole when it and the time until the label's end fit in what is seen.
ORDINARY_WORD_SECONDS = 1.2

#: A torch tensor; torch is large, and not followed by the type checker.
Tensor = Any
Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Shape:
    """The sizes of the graph; the defaults are those of the published model."""

    first_kernel: int = 5
    first_channels: int = 32
    channels: int = 64
    #: Of the depthwise convolutions, in steps of 30 ms.
    kernels: tuple[int, ...] = (5, 9, 13, 21)
    #: Steps that the dense layer reads.
    head: int = 5

    @property
    def seen_slices(self) -> int:
        """How many feature slices (10 ms) an output depends on."""
        steps = sum(kernel - 1 for kernel in self.kernels) + self.head - 1
        return self.first_kernel + STRIDE * steps

    def inputs_of(self, block: int) -> int:
        """The channels that depthwise convolution `block` takes."""
        return self.first_channels if block == 0 else self.channels


ORDINARY = Shape()
#: 512 multiplications more, 240 ms more to see.
LONG = Shape(kernels=(5, 9, 13, 29))


def shape_for(word_seconds: float) -> Shape:
    """Return the shape for a word that takes this long when it is said slowly."""
    return ORDINARY if word_seconds <= ORDINARY_WORD_SECONDS else LONG


def normalised_layers(shape: Shape) -> list[str]:
    """The layers that have a batch norm: `NAME.mean` and so on belong to `NAME.weight`."""
    return ["first", *(f"pointwise{block}" for block in range(len(shape.kernels)))]


def statistics(shape: Shape) -> list[str]:
    """The weights that are measured and not trained."""
    return [f"{name}.{what}" for name in normalised_layers(shape) for what in ("mean", "variance")]


def initial_weights(shape: Shape, rng: np.random.Generator) -> Weights:
    """Return random weights (He), and batch norms that change nothing."""
    weights: Weights = {}

    def layer(name: str, outputs: int, inputs: int, kernel: int, has_norm: bool) -> None:
        deviation = np.sqrt((2 if has_norm else 1) / (inputs * kernel))
        values = rng.standard_normal((outputs, inputs, kernel)) * deviation
        weights[f"{name}.weight"] = values.astype(np.float32)
        added = {"scale": 1, "shift": 0, "mean": 0, "variance": 1} if has_norm else {"bias": 0}
        for what, value in added.items():
            weights[f"{name}.{what}"] = np.full(outputs, value, np.float32)

    layer("first", shape.first_channels, FEATURES, shape.first_kernel, True)
    for block, kernel in enumerate(shape.kernels):
        layer(f"depthwise{block}", shape.inputs_of(block), 1, kernel, False)
        layer(f"pointwise{block}", shape.channels, shape.inputs_of(block), 1, True)
    layer("head", 1, shape.channels, shape.head, False)
    return weights


def real_features(slices: Tensor) -> Tensor:
    """Return int8 slices [scenes, slices, 40] as the floats that they stand for, 0 to 26."""
    return (slices.to(torch.float32) - INPUT_ZERO_POINT) * INPUT_SCALE


def logits(
    weights: Mapping[str, Tensor],
    features: Tensor,
    shape: Shape,
    is_training: bool = False,
    momentum: float = MOMENTUM,
) -> Tensor:
    """Return the logits of every inference, [scenes, slices // 3].

    Args:
        weights: torch tensors by the names of `initial_weights`.
        features: float [scenes, slices, 40], see `real_features`.
        shape: the shape that the weights have.
        is_training: with dropout, and batch norms by the batch, which updates their statistics.
        momentum: how far towards the batch's.
    """

    def normalised(name: str, x: Tensor) -> Tensor:
        mean, variance, scale, shift = (
            weights[f"{name}.{what}"] for what in ("mean", "variance", "scale", "shift")
        )
        return F.relu(
            F.batch_norm(x, mean, variance, scale, shift, is_training, momentum, EPSILON)
        )

    x = F.pad(features.transpose(1, 2), (shape.first_kernel - STRIDE, 0))
    x = normalised("first", F.conv1d(x, weights["first.weight"], stride=STRIDE))
    for block, kernel in enumerate(shape.kernels):
        weight, bias = (weights[f"depthwise{block}.{what}"] for what in ("weight", "bias"))
        x = F.conv1d(F.pad(x, (kernel - 1, 0)), weight, bias, groups=shape.inputs_of(block))
        x = normalised(f"pointwise{block}", F.conv1d(x, weights[f"pointwise{block}.weight"]))
    x = F.dropout(x, DROPOUT, is_training)
    x = F.conv1d(F.pad(x, (shape.head - 1, 0)), weights["head.weight"], weights["head.bias"])
    return x[:, 0]
