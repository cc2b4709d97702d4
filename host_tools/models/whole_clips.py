"""Run a model over whole clips by matrix arithmetic: TFLite Micro's outputs, several times faster.

`earnest evaluate` measures hours with this.  It computes what the converter's `dataflow` found, a
layer at a time over many inferences, where TFLite Micro computes an inference at a time.  Only
what the converter can read can be run; HostToolError for anything else.

The reference formula of a dot or depthwise layer, for every output channel (TFLM conv.cc,
depthwise_conv.cc, fully_connected.cc), with x and y as uint8, int8 plus 128:

    sum = bias + x[0] * w[0] + x[1] * w[1] + ...      bias: the input's offset is folded in
    y = clip(zero + rescale(sum, multiplier, left - right), low, high)
    rescale: `quantise.rescale`

Why it is exact.  Every x is in 0..255, so no sum of any of these terms leaves
+-(|bias| + 255 * (|w[0]| + |w[1]| + ...)).  While that is below 2**24, float32 holds every partial
sum: BLAS may add in any order.  Other layers are summed in float64, which holds every integer
below 2**53.  `bounds.prove` has shown that |sum << left| is below 2**30; the multiplier is below
2**31, so the product in `rescale` stays below 2**61 in int64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from host_tools.errors import HostToolError
from host_tools.models.bounds import prove
from host_tools.models.dataflow import follow
from host_tools.models.detours import remove_float_detours
from host_tools.models.graph import read_graph
from host_tools.models.layers import LAG_SHIFT, LAYER_SHIFT, Dataflow, Layer
from host_tools.models.outputs import lookup_table, output_range
from host_tools.models.plan import Rows, as_rows

INFERENCES_AT_A_TIME = 256  # so that what a layer reads and writes stays in the cache
FLOAT32_EXACT = 1 << 24  # float32 holds every integer up to here
# OpenBLAS shares a larger product among all cores; evaluate has a process on each already.
MACS_ON_ONE_CORE, MACS_OF_ONE_CHANNEL = 1 << 18, 1 << 13

#: uint8 values as float32, [rows in time, channels].
Values = NDArray[np.float32]


class _History:
    """The rows of values that some layers read: past ones, then those of this block."""

    def __init__(self, row: NDArray[np.int64], rows_per_inference: int) -> None:
        self.row = row  # layer << 20 | channel of each value
        self.rows_per_inference = rows_per_inference
        self.depth = 0  # past rows that are read
        self.past = self.start = self.rows = np.zeros((0, len(row)), np.float32)
        cuts = np.flatnonzero(np.diff(row) != 1) + 1
        self._runs = [
            (int(run[0] >> 20), slice(int(run[0] & 0xFFFFF), int(run[-1] & 0xFFFFF) + 1))
            for run in np.split(row, cuts)
        ]

    def fill(self, outputs: list[Values]) -> None:
        """Take this block's values out of what the layers gave."""
        parts = [outputs[layer][:, channels] for layer, channels in self._runs]
        new = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        self.rows = np.concatenate([self.past, new]) if self.depth else new
        if self.depth:
            self.past = self.rows[-self.depth :].copy()

    def windows(self, read: Rows, count: int) -> Values:
        """Return what `count` inferences read, [inferences, rows, values]: a view."""
        down, across = self.rows.strides
        shape = count, read.count, len(self.row)
        strides = down * self.rows_per_inference, down, across
        return as_strided(self.rows[self.depth + read.first :], shape, strides, writeable=False)


class _Sums:
    """A dot or depthwise layer: what it multiplies and how its sums become uint8."""

    def __init__(self, layer: Layer) -> None:
        proved = prove(layer, 1)
        self._sum = self._dot if layer.kind == "dot" else self._depthwise
        largest = abs(proved.bias) + 255 * abs(proved.weights).sum(axis=1)
        self._type = np.float32 if largest.max() < FLOAT32_EXACT else np.float64
        self._weights = np.ascontiguousarray(proved.weights.T, self._type)  # [n, channels]
        self._bias = proved.bias.astype(self._type)
        macs = MACS_ON_ONE_CORE if layer.channels > 1 else MACS_OF_ONE_CHANNEL
        self._rows_at_a_time = max(1, macs // self._weights.size)
        self._factor = proved.multiplier << proved.left
        self._right = proved.right
        self._half = (np.int64(1) << proved.right) >> 1
        self._down = np.where(proved.right > 0, -1, 0)
        self._zero, self._low, self._high = output_range(layer)

    def run(self, windows: Values) -> Values:
        """Return the outputs, [inferences, channels], of [inferences, rows, values]."""
        return self._requantise(self._sum(windows.astype(self._type, copy=False)))

    def _dot(self, windows: NDArray[Any]) -> NDArray[Any]:
        flat = np.ascontiguousarray(windows.reshape(len(windows), -1))
        sums: NDArray[Any] = np.empty((len(flat), len(self._bias)), self._type)
        for at in range(0, len(flat), self._rows_at_a_time):
            part = slice(at, at + self._rows_at_a_time)
            np.matmul(flat[part], self._weights, out=sums[part])
        sums += self._bias
        return sums

    def _depthwise(self, windows: NDArray[Any]) -> NDArray[Any]:
        sums: NDArray[Any] = windows[:, 0] * self._weights[0]
        sums += self._bias
        product = np.empty_like(sums)
        for tap in range(1, len(self._weights)):
            np.multiply(windows[:, tap], self._weights[tap], out=product)
            sums += product
        return sums

    def _requantise(self, sums: NDArray[Any]) -> Values:
        high = sums.astype(np.int64)  # quantise.doubling_high_mul
        high *= self._factor
        high += 1 << 30
        high >>= 31
        down = high >> 63  # quantise.rounding_divide: a half goes away from zero
        down &= self._down
        high += down
        high += self._half
        high >>= self._right
        high += self._zero
        np.clip(high, self._low, self._high, out=high)
        return high.astype(np.float32)


class _Lookup:
    """An elementwise layer, as a table."""

    def __init__(self, layer: Layer) -> None:
        self._table = np.frombuffer(lookup_table(layer), np.uint8).astype(np.float32)

    def run(self, windows: Values) -> Values:
        return self._table[windows.astype(np.intp)].reshape(len(windows), -1)


class WholeClipModel:
    """A model that takes slices like TFLiteMicroModel and gives the same probabilities.

    `stride` is the number of feature slices per inference; state is kept between calls.
    """

    def __init__(self, tflite_bytes: bytes) -> None:
        flow = follow(remove_float_detours(read_graph(tflite_bytes)))
        self.stride = flow.stride
        self._output = _output_layer(flow)
        self._histories: dict[bytes, _History] = {}
        self._layers = [self._layer(flow, layer) for layer in flow.layers[1:]]
        for history in self._histories.values():
            history.start = _start(flow, history)
        self.reset()

    def reset(self) -> None:
        """Put the first state back."""
        for history in self._histories.values():
            history.past = history.start

    def run(self, slices: NDArray[np.int8]) -> NDArray[np.uint8]:
        """Feed int8 slices of shape (n, 40); return the n // stride probabilities as uint8."""
        whole = len(slices) // self.stride * self.stride
        block = INFERENCES_AT_A_TIME * self.stride
        parts = [self._block(slices[at : at + block]) for at in range(0, whole, block) if whole]
        return np.concatenate(parts) if parts else np.zeros(0, np.uint8)

    def _layer(self, flow: Dataflow, layer: Layer) -> tuple[Any, list[tuple[_History, Rows]]]:
        """Return what computes a layer, and what each of its rows reads."""
        assert layer.sources is not None
        reads = []
        for sources in layer.sources:
            read = as_rows(sources, flow.layers, layer)
            rows = flow.layers[int(read.row[0] >> 20)].rows
            history = self._histories.setdefault(read.row.tobytes(), _History(read.row, rows))
            history.depth = max(history.depth, -read.first)
            reads.append((history, read))
        return (_Lookup if layer.kind == "lookup" else _Sums)(layer), reads

    def _block(self, slices: NDArray[np.int8]) -> NDArray[np.uint8]:
        count = len(slices) // self.stride
        outputs = [slices[: count * self.stride].astype(np.float32) + 128]
        filled = set()
        for layer, reads in self._layers:
            rows = []
            for history, read in reads:
                if id(history) not in filled:
                    history.fill(outputs)
                    filled.add(id(history))
                rows.append(layer.run(history.windows(read, count)))
            outputs.append(rows[0] if len(rows) == 1 else _interleaved(rows))
        return outputs[self._output].reshape(-1).astype(np.uint8)


def _interleaved(rows: list[Values]) -> Values:
    """Return [inferences * rows, channels] of a layer's rows, [inferences, channels] each."""
    return np.stack(rows, axis=1).reshape(-1, rows[0].shape[1])


def _output_layer(flow: Dataflow) -> int:
    number = flow.output >> LAYER_SHIFT
    layer = flow.layers[number]
    if flow.output != number << LAYER_SHIFT or layer.rows * layer.channels > 1:
        raise HostToolError("the output is not the only value of a layer in this inference")
    return number


def _start(flow: Dataflow, history: _History) -> Values:
    """Return the rows before the first inference, [depth, values]; oldest first."""
    start = np.zeros((history.depth, len(history.row)), np.float32)
    for time in range(-history.depth, 0):
        lag, row = -(time // history.rows_per_inference), time % history.rows_per_inference
        for i, entry in enumerate(history.row):
            producer, channel = int(entry >> 20), int(entry & 0xFFFFF)
            index = row * flow.layers[producer].channels + channel
            value = flow.initial.get(producer << LAYER_SHIFT | lag << LAG_SHIFT | index)
            if value is None:
                raise HostToolError(f"layer {producer} has no value {lag} inferences ago")
            start[time, i] = value + 128
    return start
