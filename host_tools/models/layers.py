"""Types that the converter's stages hand on: layers, and the source of each value they read.

A source is one int64: the layer's number, the lag in inferences, the index among its outputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host_tools.models.graph import Operator, Tensor

FEATURES = 40
MAX_STRIDE = 16
MAX_LAG = 1 << 15

LAYER_SHIFT, LAG_SHIFT = 40, 20
_MASK = (1 << 20) - 1
STATE = 1 << 21  # layer numbers from here on stand for state variables not yet followed


def layer_of(sources: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the layer number of each source."""
    return sources >> LAYER_SHIFT


def lag_of(sources: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many inferences ago each source was computed."""
    return (sources >> LAG_SHIFT) & _MASK


def index_of(sources: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the index of each source among its layer's outputs."""
    return sources & _MASK


@dataclass
class Layer:
    """Something that produces values: the input (number 0) or a computing operator.

    `sources` are the receptive fields, one row an output position in time: [rows, n] for dot,
    lookup; [rows, taps, channels] for depthwise.  `rows` x `channels` outputs, int8.
    """

    kind: str  # input, dot, depthwise, lookup
    rows: int
    channels: int
    operator: Operator | None = None
    sources: NDArray[np.int64] | None = None
    input: Tensor | None = None
    output: Tensor | None = None
    weights: NDArray[Any] | None = None  # dot: [channels, n]; depthwise: [taps, channels]
    filter: Tensor | None = None
    bias: NDArray[np.int64] | None = None


@dataclass
class Dataflow:
    """All layers in order of computation, what each state element starts with, and the output's
    source.
    """

    layers: list[Layer]
    initial: dict[
        int, int
    ]  # source with a lag of at least 1 -> int8 value before the first inference
    output: int
    stride: int
