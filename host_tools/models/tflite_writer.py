"""Write .tflite files with the `tflite` and `flatbuffers` packages: trained models, tests' models.

A `Graph` is a plain list of tensors and ops; `write_model` lays graphs out as a flatbuffer of the
public schema.  Nothing is checked on purpose: the tests' broken models come from here as well.
`graph.py` is the reader, and checks everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import tflite
from numpy.typing import NDArray

INT8, UINT8, INT16, INT32, INT64, FLOAT32, RESOURCE = (
    getattr(tflite.TensorType, name)
    for name in ("INT8", "UINT8", "INT16", "INT32", "INT64", "FLOAT32", "RESOURCE")
)
NONE, RELU, RELU6 = 0, 1, 3
SAME, VALID = tflite.Padding.SAME, tflite.Padding.VALID

#: The op versions that the real converter writes; every other op has version 1.
_VERSIONS = {
    "CONCATENATION": 2,
    "STRIDED_SLICE": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "SPLIT_V": 2,
    "FULLY_CONNECTED": 4,
    "LOGISTIC": 2,
}
_OPTIONS = {
    "CALL_ONCE": "CallOnceOptions",
    "VAR_HANDLE": "VarHandleOptions",
    "CONCATENATION": "ConcatenationOptions",
    "STRIDED_SLICE": "StridedSliceOptions",
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "SPLIT_V": "SplitVOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "RESHAPE": "ReshapeOptions",
    "MUL": "MulOptions",
    "ADD": "AddOptions",
    "MEAN": "ReducerOptions",
    "SQUEEZE": "SqueezeOptions",
}


@dataclass
class Tensor:
    """One tensor; `data` is None where an op fills it, `scales` empty where it is unquantised."""

    name: str
    shape: tuple[int, ...]
    type: int = INT8
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0
    data: NDArray[Any] | None = None
    shape_signature: tuple[int, ...] | None = None


@dataclass
class Op:
    """One op: its name in the schema, tensor numbers (-1: left out) and options by schema name."""

    name: str
    inputs: list[int]
    outputs: list[int]
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Graph:
    """One subgraph."""

    name: str
    tensors: list[Tensor] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def tensor(self, name: str, shape: Iterable[int], *args: Any, **kwargs: Any) -> int:
        """Add a tensor, with the further fields of `Tensor`, and return its number."""
        self.tensors.append(Tensor(name, tuple(int(n) for n in shape), *args, **kwargs))
        return len(self.tensors) - 1

    def constant(self, name: str, values: Any, dtype: Any = np.int32) -> int:
        """Add a constant, int32 to its readers, and return its number."""
        data = np.asarray(values, dtype)
        return self.tensor(name, data.shape, INT32, data=data)

    def op(self, name: str, inputs: Iterable[int], outputs: Iterable[int], **options: Any) -> Op:
        """Add an op and return it."""
        self.ops.append(Op(name, list(inputs), list(outputs), options))
        return self.ops[-1]


def _offsets(b: Any, offsets: Sequence[int]) -> int:
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())


def _table(b: Any, kind: str, **fields: Any) -> int:
    """Write one schema table; None fields are left out."""
    getattr(tflite, f"{kind}Start")(b)
    for name, value in fields.items():
        if value is not None:
            getattr(tflite, f"{kind}Add{name}")(b, value)
    return int(getattr(tflite, f"{kind}End")(b))


def _write_tensor(b: Any, tensor: Tensor, buffer: int) -> int:
    name = b.CreateString(tensor.name)
    shape = b.CreateNumpyVector(np.array(tensor.shape, np.int32))
    signature = quantisation = None
    if tensor.shape_signature is not None:
        signature = b.CreateNumpyVector(np.array(tensor.shape_signature, np.int32))
    if tensor.scales:
        quantisation = _table(
            b,
            "QuantizationParameters",
            Scale=b.CreateNumpyVector(np.array(tensor.scales, np.float32)),
            ZeroPoint=b.CreateNumpyVector(np.array(tensor.zero_points, np.int64)),
            QuantizedDimension=tensor.axis,
        )
    return _table(
        b,
        "Tensor",
        Shape=shape,
        Type=tensor.type,
        Buffer=buffer,
        Name=name,
        Quantization=quantisation,
        ShapeSignature=signature,
    )


def _option(b: Any, value: Any) -> Any:
    if isinstance(value, str):
        return b.CreateString(value)
    return b.CreateNumpyVector(np.array(value, np.int32)) if isinstance(value, list) else value


def _write_op(b: Any, op: Op, code: int) -> int:
    inputs = b.CreateNumpyVector(np.array(op.inputs, np.int32))
    outputs = b.CreateNumpyVector(np.array(op.outputs, np.int32))
    options = kind = None
    if op.options:
        fields = {key: _option(b, value) for key, value in op.options.items()}
        table = _OPTIONS[op.name]
        options = _table(b, table, **fields)
        kind = getattr(tflite.BuiltinOptions, table)
    return _table(
        b,
        "Operator",
        OpcodeIndex=code,
        Inputs=inputs,
        Outputs=outputs,
        BuiltinOptionsType=kind,
        BuiltinOptions=options,
    )


def write_model(graphs: list[Graph], description: str = "") -> bytes:
    """Return the graphs as one .tflite file, schema version 3; the first is the main one."""
    b = flatbuffers.Builder(1 << 16)
    names = sorted({op.name for graph in graphs for op in graph.ops})
    codes = []
    for name in names:
        value = getattr(tflite.BuiltinOperator, name)
        codes.append(
            _table(
                b,
                "OperatorCode",
                DeprecatedBuiltinCode=min(value, 127),
                BuiltinCode=value,
                Version=_VERSIONS.get(name, 1),
            )
        )
    buffers = [_table(b, "Buffer")]
    subgraphs = []
    for graph in graphs:
        tensors = []
        for tensor in graph.tensors:
            data = None
            if tensor.data is not None:
                raw = np.frombuffer(tensor.data.tobytes(), np.uint8)
                b.StartVector(1, len(raw), 16)  # the schema aligns data to 16 bytes
                b.head -= len(raw)
                b.Bytes[b.head : b.head + len(raw)] = raw.tobytes()
                data = b.EndVector()
            buffers.append(_table(b, "Buffer", Data=data))
            tensors.append(_write_tensor(b, tensor, len(buffers) - 1))
        ops = [_write_op(b, op, names.index(op.name)) for op in graph.ops]
        subgraphs.append(
            _table(
                b,
                "SubGraph",
                Name=b.CreateString(graph.name),
                Tensors=_offsets(b, tensors),
                Inputs=b.CreateNumpyVector(np.array(graph.inputs, np.int32)),
                Outputs=b.CreateNumpyVector(np.array(graph.outputs, np.int32)),
                Operators=_offsets(b, ops),
            )
        )
    model = _table(
        b,
        "Model",
        Version=3,
        OperatorCodes=_offsets(b, codes),
        Subgraphs=_offsets(b, subgraphs),
        Description=b.CreateString(description),
        Buffers=_offsets(b, buffers),
    )
    b.Finish(model, b"TFL3")
    return bytes(b.Output())
