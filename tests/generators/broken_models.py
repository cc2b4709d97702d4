"""Models that a converter must refuse: valid ones with one thing wrong each.

`broken_models(seed)` gives (what is wrong, file); `damaged(data, rng)` gives a file with random
damage, which may still be a valid model (a changed weight is no error).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from host_tools.models.tflite_writer import (
    FLOAT32,
    INT8,
    INT16,
    INT32,
    INT64,
    SAME,
    UINT8,
    Graph,
    Op,
    write_model,
)
from tests.generators.random_models import random_graphs

_WAYS: list[Callable[[Graph], None]] = []


def broken_models(seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield (what is wrong, model file) for each way to break a random model.

    The seed's model must have a state variable and, with more than one row, a CONV_2D first.
    """
    for way in _WAYS:
        main, init, _ = random_graphs(seed)
        way(main)
        yield way.__name__.replace("_", " "), write_model([main, init])
    data = write_model(list(random_graphs(seed)[:2]))
    for size in (0, 4, 7, 8, 16, 100, len(data) // 3, len(data) // 2, len(data) * 9 // 10):
        yield f"cut to {size} bytes", data[:size]
    yield "text", b"<!DOCTYPE html>\n<html>Not Found</html>\n" * 100
    yield "mark of another format", data[:4] + b"TFL9" + data[8:]
    yield "root beyond the end", (len(data) + 5).to_bytes(4, "little") + data[4:]
    yield "only zeros after the mark", data[:8] + bytes(len(data) - 8)
    yield "only ones after the mark", data[:8] + b"\xff" * (len(data) - 8)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """`data` with one to four bytes changed, cut, or with a run of bytes from elsewhere in it."""
    out = bytearray(data)
    kind = rng.integers(0, 3)
    if kind == 0:
        for at in rng.integers(0, len(out), rng.integers(1, 5)):
            out[at] = rng.integers(0, 256)
    elif kind == 1:
        del out[rng.integers(1, len(out)) :]
    else:
        size = int(rng.integers(4, 64))
        source, target = rng.integers(0, len(out) - size, 2)
        out[target : target + size] = out[source : source + size]
    return bytes(out)


def _way(function: Callable[[Graph], None]) -> Callable[[Graph], None]:
    _WAYS.append(function)
    return function


def _find(main: Graph, *names: str) -> Op:
    return next(op for op in main.ops if op.name in names)


def _multiply(main: Graph) -> Op:
    return _find(main, "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def _before_logistic(main: Graph, name: str, second: list[int], **options) -> None:
    """Put one more op between FULLY_CONNECTED and LOGISTIC."""
    logistic = _find(main, "LOGISTIC")
    old = main.tensors[logistic.inputs[0]]
    new = main.tensor("extra", old.shape, INT8, old.scales, old.zero_points)
    op = Op(name, [logistic.inputs[0], *(second or logistic.inputs)], [new], options)
    main.ops.insert(main.ops.index(logistic), op)
    logistic.inputs = [new]


@_way
def op_MUL(main):
    _before_logistic(main, "MUL", [], FusedActivationFunction=0)


@_way
def op_ADD(main):
    _before_logistic(main, "ADD", [], FusedActivationFunction=0)


@_way
def op_MEAN(main):
    _before_logistic(main, "MEAN", [main.constant("axis", [0])], KeepDims=True)


@_way
def op_TANH(main):
    _find(main, "LOGISTIC").name = "TANH"


@_way
def float_model(main):
    for tensor in main.tensors:
        if tensor.type in (INT8, UINT8):
            tensor.type, tensor.scales, tensor.zero_points = FLOAT32, (), ()
            if tensor.data is not None:
                tensor.data = tensor.data.astype(np.float32)
    main.ops = [op for op in main.ops if op.name != "QUANTIZE"]
    main.outputs = [_find(main, "LOGISTIC").outputs[0]]


@_way
def float_input(main):
    main.tensors[main.inputs[0]].type = FLOAT32


@_way
def uint8_input(main):
    main.tensors[main.inputs[0]].type = UINT8


@_way
def input_of_39_features(main):
    main.tensors[main.inputs[0]].shape = (1, main.tensors[main.inputs[0]].shape[1], 39)


@_way
def input_of_four_dimensions(main):
    tensor = main.tensors[main.inputs[0]]
    tensor.shape = (1, *tensor.shape)


@_way
def batch_of_two(main):
    tensor = main.tensors[main.inputs[0]]
    tensor.shape = (2, *tensor.shape[1:])


@_way
def dynamic_shape(main):
    tensor = main.tensors[main.inputs[0]]
    tensor.shape_signature = (1, -1, 40)


@_way
def two_inputs(main):
    main.inputs.append(main.tensor("second", (1, 3, 40), INT8, (0.1,), (-128,)))


@_way
def no_input(main):
    main.inputs = []


@_way
def two_outputs(main):
    main.outputs.append(_find(main, "LOGISTIC").outputs[0])


@_way
def no_output(main):
    main.outputs = []


@_way
def int8_output(main):
    main.ops = [op for op in main.ops if op.name != "QUANTIZE"]
    main.outputs = list(_find(main, "LOGISTIC").outputs)


@_way
def output_before_logistic(main):
    _find(main, "QUANTIZE").inputs = list(_find(main, "FULLY_CONNECTED").outputs[:1])
    main.outputs = list(_find(main, "FULLY_CONNECTED").outputs)


@_way
def output_of_two_values(main):
    main.tensors[main.outputs[0]].shape = (1, 2)


@_way
def weights_around_3(main):
    tensor = main.tensors[_multiply(main).inputs[1]]
    tensor.zero_points = (3,) * len(tensor.scales)


@_way
def uint8_weights(main):
    main.tensors[_multiply(main).inputs[1]].type = UINT8


@_way
def int16_weights(main):
    tensor = main.tensors[_multiply(main).inputs[1]]
    tensor.type, tensor.data = INT16, tensor.data.astype(np.int16)


@_way
def weights_cut_short(main):
    tensor = main.tensors[_multiply(main).inputs[1]]
    tensor.data = tensor.data.reshape(-1)[:-1]


@_way
def weights_without_data(main):
    main.tensors[_multiply(main).inputs[1]].data = None


@_way
def weights_without_scale(main):
    tensor = main.tensors[_multiply(main).inputs[1]]
    tensor.scales, tensor.zero_points = (), ()


@_way
def weights_with_a_scale_of_0(main):
    tensor = main.tensors[_multiply(main).inputs[1]]
    tensor.scales = (0.0,) * len(tensor.scales)


@_way
def weights_with_a_scale_that_is_no_number(main):
    tensor = main.tensors[_multiply(main).inputs[1]]
    tensor.scales = (float("nan"),) * len(tensor.scales)


@_way
def one_scale_too_many(main):
    tensor = main.tensors[_multiply(main).inputs[1]]
    tensor.scales = (0.01,) * (tensor.shape[tensor.axis] + 1)
    tensor.zero_points = (0,) * len(tensor.scales)


@_way
def int64_bias(main):
    op = _find(main, "FULLY_CONNECTED")
    tensor = main.tensor("bias", (1,), INT64, data=np.zeros(1, np.int64))
    op.inputs = [*op.inputs[:2], tensor]


@_way
def bias_that_overflows(main):
    op = _find(main, "FULLY_CONNECTED")
    bias = main.tensor("bias", (1,), INT32, (1.0,), (0,), data=np.full(1, 2**31 - 1, np.int32))
    op.inputs = [*op.inputs[:2], bias]


@_way
def left_shift_that_overflows(main):
    tensor = main.tensors[_find(main, "FULLY_CONNECTED").inputs[1]]
    tensor.scales = tuple(np.float32(scale * 2.0**28) for scale in tensor.scales)


@_way
def padding_that_adds_rows(main):
    _find(main, "CONV_2D").options["Padding"] = SAME


@_way
def concatenation_of_two_scales(main):
    op = _find(main, "CONCATENATION")
    tensor = main.tensors[op.inputs[0]]
    tensor.scales = (tensor.scales[0] * 2,)


@_way
def logistic_around_0(main):
    tensor = main.tensors[_find(main, "LOGISTIC").outputs[0]]
    tensor.zero_points = (0,)


@_way
def reshape_to_another_size(main):
    tensor = main.tensors[_find(main, "RESHAPE").outputs[0]]
    tensor.shape = (*tensor.shape[:-1], tensor.shape[-1] + 1)


@_way
def tensor_that_does_not_exist(main):
    _multiply(main).inputs[0] = len(main.tensors) + 7


@_way
def input_that_nothing_computes(main):
    op = _multiply(main)
    old = main.tensors[op.inputs[0]]
    op.inputs[0] = main.tensor("nothing", old.shape, INT8, old.scales, old.zero_points)


@_way
def state_never_assigned(main):
    main.ops.remove(_find(main, "ASSIGN_VARIABLE"))


@_way
def initialiser_that_does_not_exist(main):
    _find(main, "CALL_ONCE").options["InitSubgraphIndex"] = 9
