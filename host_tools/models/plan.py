"""Turn layers into the firmware's ops: where every value lies, which history is a ring, what runs
when.

Fifth stage of the converter.  A layer reads either a scratch output directly, when what it
needs lies there in order, or a *ring*: rows of past and present values, kept twice so that the
newest rows are contiguous, oldest first.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from firmware.wakeword import model_format
from host_tools.errors import HostToolError
from host_tools.models.bounds import prove
from host_tools.models.graph import refuse
from host_tools.models.layers import Dataflow, Layer, index_of, lag_of, layer_of
from host_tools.models.outputs import lookup_table, output_range

DOT_BLOCK, DEPTHWISE_BLOCK = 8, 4


@dataclass
class Rows:
    """What a layer reads: `count` consecutive rows in time, each the same values of the same
    layers.

    `row` holds (layer << 20 | channel); `first` is the time of the first row, 0 being the first
    row of this inference.
    """

    row: NDArray[Any]
    first: int
    count: int


@dataclass
class Ring:
    """History of one row of values; by_channel keeps each channel's past contiguous instead of
    each row.
    """

    row: NDArray[Any]
    rows_per_inference: int
    by_channel: bool
    depth: int = 0
    at: int = 0
    position_at: int = 0

    @property
    def row_bytes(self) -> int:
        return 1 if self.by_channel else len(self.row)

    @property
    def pitch(self) -> int:
        return 2 * self.depth if self.by_channel else 1

    @property
    def size(self) -> int:
        return 2 * self.depth * len(self.row)


@dataclass
class Plan:
    """Everything the file holds: ops as lists of words whose offsets into the file's data are
    relative until written.
    """

    input_ops: list[list[int]] = field(default_factory=list)
    ops: list[list[int]] = field(default_factory=list)
    constants: bytearray = field(default_factory=bytearray)
    fills: list[tuple[int, int, int]] = field(default_factory=list)
    arena_bytes: int = 0
    input_at: int = 0
    output_at: int = 0
    macs: int = 0
    worst: int = 0


# Words of an op that count from the start of the constants, by kind.
CONSTANT_WORD = {
    model_format.DOT: 7,
    model_format.DEPTHWISE: 8,
    model_format.REQUANTISE: 8,
    model_format.LOOKUP: 4,
}


def as_rows(sources: NDArray[Any], layers: list[Layer], layer: Layer) -> Rows:
    """Find the rows in a flat sequence of sources; HostToolError where they are not consecutive
    rows in time.
    """
    sources = sources.reshape(-1)
    producers, lags, indexes = layer_of(sources), lag_of(sources), index_of(sources)
    rows = np.array([entry.rows for entry in layers])[producers]
    channels = np.array([entry.channels for entry in layers])[producers]
    time = indexes // channels - lags * rows
    row = (producers << 20) | indexes % channels
    changes = np.flatnonzero(np.diff(time))
    width = int(changes[0]) + 1 if len(changes) else len(time)
    assert layer.operator is not None
    if len(time) % width or len({int(r) for r in np.unique(rows)}) > 1:
        raise refuse(
            layer.operator, "mixes values of different times in a way that no history can hold"
        )
    times, table = time.reshape(-1, width), row.reshape(-1, width)
    first = int(times[0, 0])
    expected = first + np.arange(len(times))[:, None]
    if np.any(times != expected) or np.any(table != table[0]):
        raise refuse(layer.operator, "does not read consecutive rows in time")
    return Rows(table[0], first, len(times))


class _Planner:
    def __init__(self, flow: Dataflow) -> None:
        self.flow = flow
        self.layers = flow.layers
        self.plan = Plan()
        self.rings: dict[tuple[Any, ...], Ring] = {}
        self.scratch: dict[int, int] = {}
        self.reads: dict[int, list[Rows]] = {}
        self.constants_end = 0  # as far as the kernels read

    def run(self) -> Plan:
        for number in range(1, len(self.layers)):
            self._look(number)
        self._place()
        for ring in self.rings.values():
            if ring.row[0] >> 20 == 0 and np.all(ring.row >> 20 == 0):
                self._push(ring, 0, self.plan.input_ops)
        for number in range(1, len(self.layers)):
            self._emit(number)
            for ring in self.rings.values():
                if int((ring.row >> 20).max()) == number:
                    for row in range(ring.rows_per_inference):
                        self._push(ring, row, self.plan.ops)
        self.plan.constants.extend(bytes(max(0, self.constants_end - len(self.plan.constants))))
        output = np.array([self.flow.output])
        if lag_of(output)[0]:
            raise HostToolError("the output is a past value")
        self.plan.output_at = self.scratch[int(layer_of(output)[0])] + int(index_of(output)[0])
        return self.plan

    # --- what is read, and which rings that takes ---

    def _look(self, number: int) -> None:
        layer = self.layers[number]
        assert layer.sources is not None
        by_channel = layer.kind == "depthwise"
        self.reads[number] = []
        for row in range(layer.rows):
            read = as_rows(layer.sources[row], self.layers, layer)
            self.reads[number].append(read)
        if by_channel or not self._direct(self.reads[number]):
            for read in self.reads[number]:
                ring = self._ring(read, by_channel)
                ring.depth = max(ring.depth, ring.rows_per_inference - read.first)

    def _direct(self, reads: list[Rows]) -> bool:
        """Return whether the values lie in one layer's scratch output, in order."""
        for read in reads:
            producers = np.unique(read.row >> 20)
            if len(producers) != 1 or producers[0] == 0 or read.first < 0:
                return False
            if len(read.row) > 1 and np.any(np.diff(read.row) != 1):
                return False
            if read.count > 1 and len(read.row) != self.layers[int(producers[0])].channels:
                return False
        return True

    def _ring(self, read: Rows, by_channel: bool) -> Ring:
        key = (by_channel, read.row.tobytes())
        if key not in self.rings:
            rows = self.layers[int(read.row[0] >> 20)].rows
            self.rings[key] = Ring(read.row, rows, by_channel)
        return self.rings[key]

    # --- where everything lies ---

    def _place(self) -> None:
        at = 4  # word 0 is the position of what does not move
        for ring in self.rings.values():
            ring.position_at = at
            at += 4
        self.accumulators_at = at
        at += 4 * max(layer.channels for layer in self.layers[1:])
        at = -(-at // model_format.VECTOR_BYTES) * model_format.VECTOR_BYTES
        self.work_at = at
        at += 2 * max(
            (self._padded(layer) for layer in self.layers[1:] if layer.kind == "dot"), default=0
        )
        self.plan.input_at = at
        at += model_format.FEATURES
        for number in range(1, len(self.layers)):
            self.scratch[number] = at
            at += self.layers[number].rows * self.layers[number].channels
        for ring in self.rings.values():
            ring.at = at = -(-at // 4) * 4
            value = self._initial(ring)
            if value:
                self.plan.fills.append((at, ring.size, value))
            at += ring.size
        self.plan.arena_bytes = -(-at // 4) * 4  # _emit adds what reads touch beyond their values

    def _padded(self, layer: Layer) -> int:
        assert layer.weights is not None
        return -(-layer.weights.shape[1] // DOT_BLOCK) * DOT_BLOCK

    def _initial(self, ring: Ring) -> int:
        """Return the byte that a ring starts with."""
        values = set()
        for entry in ring.row:
            producer, channel = int(entry >> 20), int(entry & 0xFFFFF)
            layer = self.layers[producer]
            for time in range(ring.rows_per_inference - ring.depth, 0):
                lag = -(time // layer.rows)
                index = (time + lag * layer.rows) * layer.channels + channel
                value = self.flow.initial.get(producer << 40 | lag << 20 | index)
                if value is not None:
                    values.add(value + 128)
        if len(values) > 1:
            raise HostToolError(
                f"a state variable starts with {len(values)} different values",
                "one value is supported, the zero point",
            )
        return values.pop() if values else 0

    # --- ops ---

    def _push(self, ring: Ring, row: int, ops: list[list[int]]) -> None:
        """One op for each run of values that lie together in scratch; the last of them advances
        the ring.
        """
        runs = np.split(np.arange(len(ring.row)), np.flatnonzero(np.diff(ring.row) != 1) + 1)
        for i, run in enumerate(runs):
            entry = int(ring.row[run[0]])
            producer, channel = entry >> 20, entry & 0xFFFFF
            if producer == 0:
                source = self.plan.input_at + channel
            else:
                source = self.scratch[producer] + row * self.layers[producer].channels + channel
            offset = int(run[0]) * ring.pitch
            last = int(i == len(runs) - 1)
            ops.append(
                [
                    model_format.PUSH,
                    source,
                    len(run),
                    ring.at + offset,
                    ring.position_at,
                    ring.depth,
                    ring.row_bytes,
                    ring.pitch,
                    last,
                ]
            )

    def _start(self, number: int, row: int) -> tuple[int, int, int]:
        """Where a layer's input for an output row starts: (arena offset, position's offset, bytes
        a position moves it).
        """
        read = self.reads[number][row]
        by_channel = self.layers[number].kind == "depthwise"
        if not by_channel and self._direct(self.reads[number]):
            producer, channel = int(read.row[0] >> 20), int(read.row[0] & 0xFFFFF)
            return (
                self.scratch[producer] + read.first * self.layers[producer].channels + channel,
                0,
                0,
            )
        ring = self._ring(read, by_channel)
        skipped = ring.depth - ring.rows_per_inference + read.first
        return ring.at + skipped * ring.row_bytes, ring.position_at, ring.row_bytes

    def _last_start(self, number: int, row: int) -> int:
        """Where a layer's last input begins, with the ring as far on as it goes: arena offset."""
        start, _, step = self._start(number, row)
        if not step:
            return start
        by_channel = self.layers[number].kind == "depthwise"
        ring = self._ring(self.reads[number][row], by_channel)
        last = start + (ring.depth - 1) * step
        return last + (self.layers[number].channels - 1) * ring.pitch if by_channel else last

    def _reads_to(self, end: int) -> None:
        """Make the arena large enough for a vector read that ends here."""
        end = -(-(end + model_format.PAST_INPUTS) // 4) * 4
        self.plan.arena_bytes = max(self.plan.arena_bytes, end)

    def _constants(self, data: bytes, alignment: int = 4) -> int:
        self.plan.constants.extend(bytes(-len(self.plan.constants) % alignment))
        at = len(self.plan.constants)
        self.plan.constants.extend(data)
        return at

    def _emit(self, number: int) -> None:
        layer = self.layers[number]
        if layer.kind == "lookup":
            self._emit_lookup(number, layer)
            return
        block = DOT_BLOCK if layer.kind == "dot" else DEPTHWISE_BLOCK
        channels = prove(layer, block)
        self.plan.worst = max(self.plan.worst, channels.worst)
        n = channels.weights.shape[1]
        blocks = -(-n // block)
        row_bytes = model_format.row_bytes(blocks * block)
        padded = np.full((layer.channels, row_bytes), 128, np.uint8)
        padded[:, :n] = channels.weights + 128
        weights = self._constants(padded.tobytes(), model_format.VECTOR_BYTES)
        if layer.kind == "dot":
            past = len(self.plan.constants) + model_format.PAST_WEIGHTS
            self.constants_end = max(self.constants_end, past)
        words = np.stack(
            [
                channels.bias + (1 << 30),
                channels.multiplier - (1 << 30),
                channels.left << 8 | channels.right,
            ],
            axis=1,
        )
        table = self._constants(words.astype("<u4").tobytes())
        self.plan.macs += layer.rows * layer.channels * n
        zero, low, high = output_range(layer)
        for row in range(layer.rows):
            start, position, step = self._start(number, row)
            self._reads_to(self._last_start(number, row) + row_bytes)
            if layer.kind == "dot":
                self.plan.ops.append(
                    [
                        model_format.DOT,
                        start,
                        position,
                        step,
                        blocks,
                        layer.channels,
                        self.accumulators_at,
                        weights,
                        self.work_at,
                    ]
                )
            else:
                pitch = self._ring(self.reads[number][row], True).pitch
                self.plan.ops.append(
                    [
                        model_format.DEPTHWISE,
                        start,
                        position,
                        step,
                        pitch,
                        blocks,
                        layer.channels,
                        self.accumulators_at,
                        weights,
                    ]
                )
            out = self.scratch[number] + row * layer.channels
            self.plan.ops.append(
                [
                    model_format.REQUANTISE,
                    self.accumulators_at,
                    out,
                    1,
                    layer.channels,
                    zero,
                    low,
                    high,
                    table,
                ]
            )

    def _emit_lookup(self, number: int, layer: Layer) -> None:
        assert layer.operator is not None
        at = self._constants(lookup_table(layer))
        for row in range(layer.rows):
            start, position, step = self._start(number, row)
            if step:
                raise refuse(layer.operator, "reads past values")
            out = self.scratch[number] + row * layer.channels
            self.plan.ops.append([model_format.LOOKUP, start, layer.channels, out, at])


def make_plan(flow: Dataflow) -> Plan:
    """Lay a model out; HostToolError for what the firmware's ops cannot express."""
    return _Planner(flow).run()
