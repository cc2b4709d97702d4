"""Read a .tflite file into plain objects, and refuse what is not a streaming int8 model of the
known ops.

First stage of the converter: graph -> detours -> dataflow -> plan -> file.  The flatbuffer is
read by the `tflite` package; this module holds the limits and the refusals.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tflite
from numpy.typing import NDArray

from host_tools.errors import HostToolError
from host_tools.models.families import refuse_other_families

SUPPORTED = (
    "CALL_ONCE",
    "VAR_HANDLE",
    "READ_VARIABLE",
    "ASSIGN_VARIABLE",
    "CONCATENATION",
    "STRIDED_SLICE",
    "SPLIT_V",
    "RESHAPE",
    "EXPAND_DIMS",
    "SQUEEZE",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "LOGISTIC",
    "QUANTIZE",
    "DEQUANTIZE",
)
MAX_TFLITE_BYTES = 4 << 20
MAX_TENSORS = 4096
MAX_OPERATORS = 2048
MAX_ELEMENTS = 1 << 20

_TYPES = {value: name for name, value in vars(tflite.TensorType).items() if isinstance(value, int)}
_OPERATORS = {
    value: name for name, value in vars(tflite.BuiltinOperator).items() if isinstance(value, int)
}
_DTYPES = {"INT8": np.int8, "INT32": np.int32, "UINT8": np.uint8, "FLOAT32": np.float32}
#: What reading a damaged flatbuffer, or shapes that do not fit, can raise.
READ_ERRORS = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    KeyError,
    OverflowError,
    AttributeError,
    AssertionError,
    MemoryError,
    UnicodeError,
)


@dataclass(frozen=True)
class Tensor:
    """A tensor: its shape, element type, quantisation, and its values where they are constant."""

    index: int
    name: str
    shape: tuple[int, ...]
    type: str
    scales: NDArray[Any]
    zero_points: NDArray[Any]
    axis: int
    data: NDArray[Any] | None

    @property
    def scale(self) -> np.float32:
        scale: np.float32 = self.scales[0]
        return scale

    @property
    def zero_point(self) -> int:
        return int(self.zero_points[0])


@dataclass(frozen=True)
class Operator:
    """An operator: its name, tensor numbers (-1 for an optional input left out) and options."""

    index: int
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"operator {self.index} ({self.name})"


@dataclass(frozen=True)
class Graph:
    """The main subgraph, and the initial values of its state variables by their shared names."""

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    initial: dict[str, NDArray[Any]]


def refuse(operator: Operator, why: str, hint: str = "") -> HostToolError:
    """Return an error that names the operator."""
    return HostToolError(
        f"{operator}: {why}", hint or "see docs/model-format.md, what is supported"
    )


def read_graph(data: bytes) -> Graph:
    """Parse and hold against what is supported; HostToolError for anything else, never another
    exception.
    """
    if len(data) > MAX_TFLITE_BYTES:
        raise HostToolError(
            f"the file has {len(data)} bytes; models have at most {MAX_TFLITE_BYTES}"
        )
    if len(data) < 8 or data[4:8] != b"TFL3":
        raise HostToolError(
            "not a TensorFlow Lite model (no TFL3 mark)",
            "give the .tflite file of a wake-word model",
        )
    try:
        return _read(data)
    except READ_ERRORS as error:
        raise HostToolError(
            f"the file is damaged: {type(error).__name__} while reading its flatbuffer",
            "fetch the model again",
        ) from error


def _read(data: bytes) -> Graph:
    model = tflite.Model.GetRootAs(data, 0)
    if not 1 <= model.SubgraphsLength() <= 16:
        raise HostToolError(f"{model.SubgraphsLength()} subgraphs; a streaming model has 1 or 2")
    graphs = [model.Subgraphs(i) for i in range(model.SubgraphsLength())]
    operators = _operators(model, graphs[0])
    inputs = _ints(graphs[0].InputsAsNumpy())
    unknown = [operator for operator in operators if operator.name not in SUPPORTED]
    if len(inputs) == 1:
        raw = graphs[0].Tensors(inputs[0])
        names = {operator.name for operator in unknown}
        refuse_other_families(names, _TYPES[raw.Type()], tuple(_ints(raw.ShapeAsNumpy())))
    if unknown:
        raise refuse(
            unknown[0],
            "not among the ops of microWakeWord v2 models, which are " + ", ".join(SUPPORTED),
            "a v2 model built of these ops alone can be converted; see docs/model-format.md",
        )
    tensors = _tensors(model, graphs[0])
    for operator in operators:
        for index in (*operator.inputs, *operator.outputs):
            if not -1 <= index < len(tensors):
                raise refuse(operator, f"tensor {index} does not exist")
    initial: dict[str, NDArray[Any]] = {}
    for operator in operators:
        if operator.name == "CALL_ONCE":
            _read_initial(model, graphs, operator, initial)
    return Graph(
        tensors,
        operators,
        tuple(inputs),
        tuple(_ints(graphs[0].OutputsAsNumpy())),
        initial,
    )


def _ints(values: Any) -> list[int]:
    return [] if isinstance(values, int) else [int(v) for v in values]


def _tensors(model: Any, graph: Any) -> tuple[Tensor, ...]:
    count = graph.TensorsLength()
    if count > MAX_TENSORS:
        raise HostToolError(f"{count} tensors; at most {MAX_TENSORS}")
    return tuple(_tensor(model, graph.Tensors(i), i) for i in range(count))


def _tensor(model: Any, raw: Any, index: int) -> Tensor:
    name = (raw.Name() or b"").decode("utf-8", "replace")
    shape = tuple(_ints(raw.ShapeAsNumpy()))
    signature = _ints(raw.ShapeSignatureAsNumpy())
    if signature[:1] == [-1] and shape[:1] == (1,):
        signature[0] = 1  # "any batch", and the file has a batch of one
    if any(size < 0 for size in (*shape, *signature)):
        raise HostToolError(
            f"tensor {index} ({name}) has a dynamic shape", "convert the model with fixed shapes"
        )
    elements = 1
    for size in shape:
        elements *= size
    if len(shape) > 6 or elements > MAX_ELEMENTS:
        raise HostToolError(f"tensor {index} ({name}) is too large: {shape}")
    kind = _TYPES[raw.Type()]
    quantization = raw.Quantization()
    scales = zero_points = np.zeros(0)
    axis = 0
    if quantization is not None and quantization.ScaleLength():
        scales = np.array(quantization.ScaleAsNumpy(), np.float32)
        zero_points = np.zeros(len(scales), np.int64)
        if quantization.ZeroPointLength():
            zero_points = np.array(quantization.ZeroPointAsNumpy(), np.int64)
        axis = quantization.QuantizedDimension()
        if len(zero_points) != len(scales) or not np.all(np.isfinite(scales) & (scales > 0)):
            raise HostToolError(f"tensor {index} ({name}) has a damaged quantisation")
    buffer = model.Buffers(raw.Buffer())
    values = None
    if buffer.DataLength():
        if kind not in _DTYPES:
            raise HostToolError(
                f"tensor {index} ({name}) holds {kind} constants; int8, int32, float32 are read",
                "quantise the model to int8",
            )
        values = np.frombuffer(np.array(buffer.DataAsNumpy(), np.uint8).tobytes(), _DTYPES[kind])
        if values.size != elements:
            raise HostToolError(
                f"tensor {index} ({name}) has {values.size} values for shape {shape}"
            )
        values = values.reshape(shape)
    return Tensor(index, name, shape, kind, scales, zero_points, axis, values)


def _operators(model: Any, graph: Any) -> tuple[Operator, ...]:
    count = graph.OperatorsLength()
    if not 1 <= count <= MAX_OPERATORS:
        raise HostToolError(f"{count} operators; at most {MAX_OPERATORS}")
    return tuple(_operator(model, graph.Operators(i), i) for i in range(count))


def _operator(model: Any, raw: Any, index: int) -> Operator:
    code = model.OperatorCodes(raw.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _OPERATORS.get(number, f"operator code {number}")
    if name == "CUSTOM":
        name = "CUSTOM " + (code.CustomCode() or b"?").decode("utf-8", "replace")
    options: dict[str, Any] = {}
    reader = _OPTIONS.get(name)
    table = raw.BuiltinOptions()
    if reader is not None and table is not None:
        accessor, fields = reader
        typed = accessor()
        typed.Init(table.Bytes, table.Pos)
        options = {key: getattr(typed, key)() for key in fields}
    return Operator(
        index, name, tuple(_ints(raw.InputsAsNumpy())), tuple(_ints(raw.OutputsAsNumpy())), options
    )


_CONV = (
    "Padding",
    "StrideW",
    "StrideH",
    "FusedActivationFunction",
    "DilationWFactor",
    "DilationHFactor",
)
_OPTIONS = {
    "CONV_2D": (tflite.Conv2DOptions, _CONV),
    "DEPTHWISE_CONV_2D": (tflite.DepthwiseConv2DOptions, (*_CONV, "DepthMultiplier")),
    "FULLY_CONNECTED": (
        tflite.FullyConnectedOptions,
        ("FusedActivationFunction", "WeightsFormat"),
    ),
    "CONCATENATION": (tflite.ConcatenationOptions, ("Axis", "FusedActivationFunction")),
    "STRIDED_SLICE": (
        tflite.StridedSliceOptions,
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask"),
    ),
    "VAR_HANDLE": (tflite.VarHandleOptions, ("Container", "SharedName")),
    "CALL_ONCE": (tflite.CallOnceOptions, ("InitSubgraphIndex",)),
}


def variable_name(operator: Operator) -> str:
    """Return the container and shared name that identify a VAR_HANDLE's variable."""
    parts = (operator.options.get("Container"), operator.options.get("SharedName"))
    return "/".join((part or b"").decode("utf-8", "replace") for part in parts)


def _read_initial(
    model: Any, graphs: Any, call: Operator, initial: dict[str, NDArray[Any]]
) -> None:
    number = call.options.get("InitSubgraphIndex", 0)
    if not 0 < number < len(graphs):
        raise refuse(call, f"its subgraph {number} does not exist")
    tensors = _tensors(model, graphs[number])
    handles: dict[int, str] = {}
    for operator in _operators(model, graphs[number]):
        if operator.name == "VAR_HANDLE":
            handles[operator.outputs[0]] = variable_name(operator)
        elif operator.name == "ASSIGN_VARIABLE":
            handle, value = operator.inputs
            data = tensors[value].data
            if data is None or data.dtype not in (np.int8, np.float32):
                raise refuse(call, "a state variable does not start with int8 constants")
            initial[handles[handle]] = data
        else:
            raise refuse(call, f"its subgraph does more than set state variables: {operator.name}")
