"""What a layer does to its sums and inputs: the range of its output, and its lookup table.

Between the fourth and the fifth stage of the converter; `whole_clips` computes with the same.
Values are uint8 here, int8 plus 128, as the firmware holds them.
"""

from __future__ import annotations

import numpy as np

from host_tools.models.graph import refuse
from host_tools.models.layers import Layer
from host_tools.models.quantise import activation_range, logistic_table, rescale_table


def output_range(layer: Layer) -> tuple[int, int, int]:
    """Return (zero point, lowest, highest) of a dot or depthwise layer's output, as uint8.

    Raises HostToolError for a fused activation that is not supported.
    """
    assert layer.output is not None and layer.operator is not None
    zero = layer.output.zero_point
    limits = activation_range(
        layer.operator.options.get("FusedActivationFunction", 0), layer.output.scale, zero
    )
    if limits is None or limits[0] > limits[1]:
        raise refuse(layer.operator, "its fused activation is not supported")
    return zero + 128, limits[0] + 128, limits[1] + 128


def lookup_table(layer: Layer) -> bytes:
    """Return the 256 outputs of a lookup layer, by its input; HostToolError for a wrong scale."""
    assert layer.operator is not None and layer.input is not None and layer.output is not None
    if layer.operator.name == "LOGISTIC":
        if layer.output.zero_point != -128 or layer.output.scale != np.float32(1 / 256):
            raise refuse(layer.operator, "its output is not in 1/256 from -128")
        table = logistic_table(layer.input.scale, layer.input.zero_point)
        return bytes(value + 128 for value in table)
    low = 0 if layer.output.type == "UINT8" else -128
    values = rescale_table(
        layer.input.scale,
        layer.input.zero_point,
        layer.output.scale,
        layer.output.zero_point,
        low,
    )
    return bytes(value - low for value in values)
