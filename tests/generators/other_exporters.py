"""Random models rewritten as other exporters write them: the same values, other data movement.

Each function changes graphs of `random_models` in place.
"""

from __future__ import annotations

import numpy as np

from host_tools.models.tflite_writer import FLOAT32, Graph, Op


def expand_dims(main: Graph) -> None:
    """Give the input its third dimension by EXPAND_DIMS, and let it have any batch."""
    op = next(op for op in main.ops if op.name == "RESHAPE" and op.inputs[0] == main.inputs[0])
    op.name, op.inputs = "EXPAND_DIMS", [op.inputs[0], main.constant("axis", np.int32(2))]
    for tensor in (main.tensors[main.inputs[0]], main.tensors[op.outputs[0]]):
        tensor.shape_signature = (-1, *tensor.shape[1:])


def squeeze(main: Graph) -> bool:
    """Flatten the last row by SQUEEZE; return whether the model flattens a single row at all."""
    for op in main.ops:
        if op.name == "RESHAPE" and main.tensors[op.outputs[0]].name == "flat":
            if main.tensors[op.inputs[0]].shape[1] == 1:
                op.name, op.inputs, op.options = "SQUEEZE", op.inputs[:1], {"SqueezeDims": [1, 2]}
                return True
    return False


def float_states(main: Graph, init: Graph, rng: np.random.Generator) -> int:
    """Keep every state in float32; return how many there are.

    DEQUANTIZE, CONCATENATION in float, QUANTIZE; what is kept is cut from the int8 values or, by
    chance, from the float ones.
    """
    assigns = [op for op in main.ops if op.name == "ASSIGN_VARIABLE"]
    for assign in assigns:
        read = next(
            op for op in main.ops if op.name == "READ_VARIABLE" and op.inputs == assign.inputs[:1]
        )
        before = main.tensors[read.outputs[0]]
        before.type, before.scales, before.zero_points = FLOAT32, (), ()
        join = next(op for op in main.ops if read.outputs[0] in op.inputs)
        whole = join.outputs[0]
        value = join.inputs[1]
        float_value, float_whole = _float_like(main, value), _float_like(main, whole)
        at = main.ops.index(join)
        main.ops[at : at + 1] = [
            Op("DEQUANTIZE", [value], [float_value]),
            Op("CONCATENATION", [read.outputs[0], float_value], [float_whole], join.options),
            Op("QUANTIZE", [float_whole], [whole]),
        ]
        kept = assign.inputs[1]
        cut = next(op for op in main.ops if kept in op.outputs)
        float_kept = _float_like(main, kept)
        if cut.name == "STRIDED_SLICE" and rng.random() < 0.5:
            cut.inputs[0], cut.outputs = float_whole, [float_kept]
        else:
            main.ops.insert(main.ops.index(assign), Op("DEQUANTIZE", [kept], [float_kept]))
        assign.inputs[1] = float_kept
    for tensor in init.tensors:
        if tensor.data is not None:
            steps = tensor.data.astype(np.float32) - np.float32(tensor.zero_points[0])
            tensor.data = np.float32(tensor.scales[0]) * steps
            tensor.type, tensor.scales, tensor.zero_points = FLOAT32, (), ()
    return len(assigns)


def _float_like(main: Graph, index: int) -> int:
    return main.tensor(f"float_{index}", main.tensors[index].shape, FLOAT32)
