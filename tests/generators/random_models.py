"""Random valid models of the microWakeWord v2 family, as .tflite bytes.

`random_model(seed)` draws a graph of the family's usual 13 ops: stride, layers, branches, kernels,
channels, splits, scales, zero points, weights and the order of ops are all random.  `exotic`
models go beyond what has been seen published (dilation, several rows at a time, a hidden dense
layer): valid for TFLite Micro all the same.
"""

from __future__ import annotations

import heapq

import numpy as np

from host_tools.models.tflite_writer import INT8, NONE, RELU, UINT8, Graph, Op, write_model
from tests.generators.random_layers import SAMPLES, How, LayerWriter, Value, float32_exp2

FEATURES = 40
INPUT_SCALE = np.float32(26 / 255)
INPUT_ZERO_POINT = -128
MAX_CHANNELS = 70
MAX_KERNEL = 25


def random_model(seed: int, exotic: bool = False) -> tuple[bytes, str]:
    """Return (model file, one line that describes it); the same for the same arguments."""
    main, init, description = random_graphs(seed, exotic)
    return write_model([main, init]), description


def random_graphs(seed: int, exotic: bool = False) -> tuple[Graph, Graph, str]:
    """Return (main graph, the graph that starts the states, description)."""
    rng = np.random.default_rng([seed, int(exotic)])
    main, init = Graph("main"), Graph("NoOp")
    writer = LayerWriter(rng, main, init)
    words: list[str] = []
    stride = int(rng.integers(1, 5))
    value = _input(rng, main, stride)
    value = _first_layer(rng, writer, value, stride, words, exotic)
    for _ in range(int(rng.integers(0, 5))):
        value = _block(rng, writer, value, words, exotic)
    _head(rng, writer, value, words, exotic)
    order = rng.choice(["as built", "reads first", "assigns last", "shuffled"])
    main.ops = _ordered(rng, main, order)
    if writer.states:
        main.ops.insert(0, Op("CALL_ONCE", [], [], {"InitSubgraphIndex": 1}))
    return main, init, f"seed {seed}: stride {stride}, {', '.join(words)}, ops {order}"


def _input(rng, main: Graph, stride: int) -> Value:
    """The input [1, stride, 40] and its RESHAPE to [1, stride, 1, 40]."""
    quantised = INT8, (INPUT_SCALE,), (INPUT_ZERO_POINT,)
    main.inputs = [main.tensor("input", (1, stride, FEATURES), *quantised)]
    tensor = main.tensor("rows", (1, stride, 1, FEATURES), *quantised)
    shape = [-1 if rng.random() < 0.2 else 1, stride, 1, FEATURES]
    main.op("RESHAPE", [main.inputs[0], main.constant("shape", shape)], [tensor])
    sample = rng.integers(-128, 128, (SAMPLES, FEATURES)).astype(np.int8)
    return Value(tensor, stride, FEATURES, INPUT_SCALE, INPUT_ZERO_POINT, sample)


def _channels(rng) -> int:
    return int(rng.choice([rng.integers(1, 9), rng.integers(8, MAX_CHANNELS + 1), 32, 64]))


def _kernel(rng) -> int:
    return int(rng.choice([rng.integers(1, 8), rng.integers(1, MAX_KERNEL + 1)]))


def _first_layer(rng, writer, value: Value, stride: int, words: list, exotic: bool) -> Value:
    """All new slices to one row: a convolution whose step in time is the stride."""
    kernel = max(stride, int(rng.integers(1, 10)))
    if exotic and rng.random() < 0.5:
        kernel = int(rng.integers(1, 10))
        words.append(f"{stride} rows, convolution {kernel} step 1")
        return writer.convolution(
            writer.history(value, stride + kernel - 1), _channels(rng), kernel
        )
    if stride == 1 and rng.random() < 0.3:
        return value
    whole = writer.history(value, kernel)
    if rng.random() < 0.15:
        words.append(f"depthwise {kernel}")
        return writer.depthwise(whole, kernel, How(stride=stride))
    words.append(f"convolution {kernel}")
    return writer.convolution(whole, _channels(rng), kernel, How(stride=stride))


def _block(rng, writer, value: Value, words: list, exotic: bool) -> Value:
    """One of the family's building blocks, or a plain convolution in time."""
    kinds = (
        ["mixed"] * 8 + ["keeps"] * 3 + ["depthwise"] * 4 + ["pointwise"] * 3 + ["convolution"] * 2
    )
    kind = rng.choice(kinds)
    if kind == "pointwise":
        words.append("pointwise")
        return writer.convolution(value, _channels(rng), 1)
    kernel = _kernel(rng)
    if kind == "convolution":
        kernel = min(kernel, 6)
        dilation = int(rng.integers(1, 4)) if exotic else 1
        whole = writer.history(value, (kernel - 1) * dilation + value.rows)
        words.append(f"convolution {kernel}" + (f" dilated {dilation}" if dilation > 1 else ""))
        return writer.convolution(whole, min(_channels(rng), 24), kernel, How(dilation=dilation))
    if kind == "depthwise" or value.rows > 1:
        multiplier = 2 if rng.random() < 0.1 and value.channels <= 24 else 1
        words.append(f"depthwise {kernel}" + (" x2" if multiplier > 1 else ""))
        whole = writer.history(value, kernel - 1 + value.rows)
        activation = int(rng.choice([NONE, NONE, RELU]))
        how = How(activation=activation, depth_multiplier=multiplier)
        value = writer.depthwise(whole, kernel, how)
    else:
        value = _branches(rng, writer, value, kernel, kind == "mixed", words)
    if rng.random() < 0.85:
        value = writer.convolution(value, _channels(rng), 1)
    return value


def _branches(rng, writer, value: Value, longest: int, splits: bool, words: list) -> Value:
    """Depthwise kernels of several lengths side by side, on split channels or all on all."""
    count = int(rng.integers(1, 4)) if splits else 2
    count = min(count, value.channels)
    whole = writer.history(value, longest)
    parts = [whole] * count
    if splits and count > 1:
        cuts = np.sort(rng.choice(np.arange(1, value.channels), count - 1, replace=False))
        if rng.random() < 0.5 and value.channels % count == 0:
            cuts = np.arange(1, count) * (value.channels // count)
        parts = writer.split(whole, [int(n) for n in np.diff([0, *cuts, value.channels])])
    scale, zero_point = float32_exp2(rng, -6, 1), int(rng.integers(-40, 41))
    kernels = [longest, *(int(rng.integers(1, longest + 1)) for _ in range(count - 1))]
    rng.shuffle(kernels)
    outputs = []
    for part, kernel in zip(parts, kernels, strict=True):
        if kernel < part.rows or rng.random() < 0.5:
            part = writer.keep(part, kernel)
        outputs.append(writer.depthwise(part, kernel, How(NONE, scale, zero_point)))
    words.append(("mixed " if splits else "keeps ") + "+".join(map(str, kernels)))
    return outputs[0] if count == 1 else writer.concatenate(outputs, int(rng.choice([3, -1])))


def _head(rng, writer, value: Value, words: list, exotic: bool) -> None:
    """History, RESHAPE, FULLY_CONNECTED, LOGISTIC, QUANTIZE: some of it may be left out."""
    main = writer.main
    if rng.random() < 0.5:
        value = writer.history(value, value.rows + int(rng.integers(1, 20)))
    count = value.rows * value.channels
    words.append(f"dense {value.rows} x {value.channels}")
    if value.rows > 1 or rng.random() < 0.4:
        flat = main.tensor("flat", (1, count), INT8, (value.scale,), (value.zero_point,))
        shape = [1 if rng.random() < 0.5 else -1, count]
        main.op("RESHAPE", [value.tensor, main.constant("shape", shape)], [flat])
        value = Value(flat, 1, value.channels, value.scale, value.zero_point, value.sample)
    if exotic and rng.random() < 0.5:
        words.append("hidden dense")
        value = writer.fully_connected(value, count, 8)
        count = 8
    scale, zero_point = float32_exp2(rng, -5, -3), int(rng.integers(-60, 61))
    how = How(NONE, scale, zero_point, zero_point + rng.uniform(-20, 20))
    value = writer.fully_connected(value, count, 1, how)
    unit = (np.float32(1 / 256),)
    probability = main.tensor("logistic_out", (1, 1), INT8, unit, (-128,))
    main.op("LOGISTIC", [value.tensor], [probability])
    main.outputs = [main.tensor("output", (1, 1), UINT8, unit, (0,))]
    main.op("QUANTIZE", [probability], main.outputs)


def _ordered(rng, main: Graph, order: str) -> list[Op]:
    """The ops in another valid order: an op comes after those that make its inputs."""
    makers = {tensor: i for i, op in enumerate(main.ops) for tensor in op.outputs}

    def urgency(i: int) -> float:
        name = main.ops[i].name
        if name == "VAR_HANDLE":
            return -2
        if order == "reads first" and name == "READ_VARIABLE":
            return -1
        if order == "assigns last" and name == "ASSIGN_VARIABLE":
            return 1e6
        return i + rng.uniform(0, 40 if order == "shuffled" else 0)

    waiting = {i: {makers[t] for t in op.inputs if t in makers} for i, op in enumerate(main.ops)}
    ready = [(urgency(i), i) for i, needs in waiting.items() if not needs]
    heapq.heapify(ready)
    done: list[Op] = []
    while ready:
        _, i = heapq.heappop(ready)
        done.append(main.ops[i])
        for j, needs in waiting.items():
            if i in needs:
                needs.remove(i)
                if not needs:
                    heapq.heappush(ready, (urgency(j), j))
    assert len(done) == len(main.ops)
    return done
