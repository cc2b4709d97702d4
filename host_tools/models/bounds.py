"""Prove that a layer's arithmetic stays inside int32, for every output channel, from its
actual weights.

Fourth stage of the converter.  The firmware's kernels compute in 32-bit integers that must never
wrap (on a 64-bit host they would not, on the chip they would); here is each intermediate's
largest value over *all* int8 inputs, and what does not fit is refused.  The names are those of
firmware/wakeword/kernels.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host_tools.models.graph import refuse
from host_tools.models.layers import Layer
from host_tools.models.quantise import quantise_multiplier

LIMIT = 1 << 30


@dataclass(frozen=True)
class Channels:
    """A layer's requantisation table and its weights after channels of no effect are emptied.

    `bias` has the input's offset folded in; `multiplier` is 2**30 + m; `left` and `right` are
    the shifts. `worst` is the largest magnitude of any intermediate of any channel, proved
    below 2**31.
    """

    bias: NDArray[Any]
    multiplier: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    weights: NDArray[Any]  # [channels, n]
    worst: int


def prove(layer: Layer, block: int) -> Channels:
    """Fold the biases of a dot or depthwise layer and bound every intermediate; HostToolError if
    one leaves int32.

    `block` is what the kernel pads its inputs to, a multiple of values.
    """
    assert layer.weights is not None and layer.operator is not None and layer.bias is not None
    weights = layer.weights if layer.kind == "dot" else layer.weights.T
    weights = weights.astype(np.int64).copy()
    scales = _scales(layer)
    count, n = weights.shape
    padded = -(-n // block) * block
    bias = np.zeros(count, np.int64)
    table = np.zeros((count, 3), np.int64)
    worst = 0
    for c in range(count):
        multiplier, shift = quantise_multiplier(float(scales[c]))
        left, right = max(shift, 0), max(-shift, 0)
        start = int(layer.bias[c])
        if multiplier == 0 or right == 31:
            # Everything rounds to the zero point: the same as a channel of zeros.  (A right shift
            # of 31 takes less than 2**30 to 0.)  Its own accumulator must still be sound in the
            # reference.
            weights[c] = 0
            multiplier, left, right, start = LIMIT, 0, 0, 0
        bias[c], largest = _bound(layer, c, weights[c], start, left, padded)
        table[c] = multiplier, left, right
        worst = max(worst, largest)
    return Channels(bias, table[:, 0], table[:, 1], table[:, 2], weights, worst)


def _scales(layer: Layer) -> NDArray[Any]:
    """Return the real multiplier of each channel, in the reference's own types."""
    assert layer.filter is not None and layer.input is not None and layer.output is not None
    in_scale, out_scale = layer.input.scale, layer.output.scale
    filter_scales = layer.filter.scales
    if (
        layer.operator is not None
        and layer.operator.name == "FULLY_CONNECTED"
        and len(filter_scales) == 1
    ):
        # A product in float32, as GetQuantizedConvolutionMultipler in kernel_util.cc has it.
        single = np.float32(in_scale) * np.float32(filter_scales[0])
        return np.full(layer.channels, np.float64(single) / np.float64(out_scale))
    product = np.float64(in_scale) * filter_scales.astype(np.float64)
    return np.broadcast_to(product / np.float64(out_scale), (layer.channels,))


def _bound(
    layer: Layer, c: int, w: NDArray[Any], start: int, left: int, padded: int
) -> tuple[int, int]:
    """Return the folded bias of channel c and the largest intermediate."""
    assert layer.input is not None
    zero = layer.input.zero_point
    positive, negative = int(w[w > 0].sum()), int(w[w < 0].sum())
    total = positive + negative
    # dot, depthwise: sums of x * (w + 128) and of 128 * x over uint8 x, and their difference, each
    # plus 2**30
    products = 255 * (total + 128 * padded)
    shifted = 128 * 255 * padded
    accumulator = 255 * max(positive, -negative)
    # requantise: bias with the offset folded in, then the reference's own accumulator
    folded = start - (zero + 128) * total
    high = start + positive * (127 - zero) + negative * (-128 - zero)
    low = start + positive * (-128 - zero) + negative * (127 - zero)
    result = max(abs(high), abs(low)) << left
    for name, value in (
        ("the sum of products", products),
        ("the sum of inputs", shifted),
        ("the accumulator", accumulator),
        ("the bias", abs(folded)),
        ("the scaled sum", result),
    ):
        if value >= LIMIT:
            assert layer.operator is not None
            raise refuse(
                layer.operator,
                f"{name} of output channel {c} can reach {value}, "
                f"beyond the {LIMIT} that is safe in int32",
                "no published model comes near; this one cannot be run exactly in 32 bits",
            )
    # Within these limits every sum of two of them stays below 2**31, which is what the kernels
    # form.
    return folded, LIMIT + max(products, shifted, accumulator, abs(folded), result)
