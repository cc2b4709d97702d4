"""Turn the graph into layers: which past and present values each multiply reads.

Third stage of the converter.  Data movement (RESHAPE, EXPAND_DIMS, CONCATENATION, STRIDED_SLICE,
SPLIT_V, state variables: see `states`) is followed symbolically: every element of a tensor
carries where it comes from - which layer, how many inferences ago, which of the layer's
outputs - so any arrangement of those ops ends as plain sources of the computing layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from host_tools.errors import HostToolError
from host_tools.models.graph import READ_ERRORS, Graph, Operator, Tensor, refuse
from host_tools.models.layers import FEATURES, LAYER_SHIFT, MAX_STRIDE, Dataflow, Layer, layer_of
from host_tools.models.states import States, resolve


def follow(graph: Graph) -> Dataflow:
    """Follow every element from the model's input to its output; HostToolError if it cannot."""
    return _Follower(graph).run()


class _Follower:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: list[Layer] = []
        self.values: dict[int, NDArray[Any]] = {}
        self.states = States(graph)

    def run(self) -> Dataflow:
        stride = self._input()
        for operator in self.graph.operators:
            try:
                getattr(self, "_" + operator.name.lower())(operator)
            except READ_ERRORS as error:  # shapes that do not fit, inputs that are not there
                raise refuse(operator, f"is damaged: {error}", "fetch the model again") from error
        output = self._output()
        resolved, initial = self.states.unwind()
        for layer in self.layers[1:]:
            assert layer.sources is not None
            layer.sources = resolve(layer.sources, resolved)
        return Dataflow(self.layers, initial, int(resolve(output, resolved).flat[0]), stride)

    # --- the model's ends ---

    def _input(self) -> int:
        if len(self.graph.inputs) != 1 or len(self.graph.outputs) != 1:
            raise HostToolError(
                f"{len(self.graph.inputs)} inputs and {len(self.graph.outputs)} outputs; "
                "a wake-word model has one of each"
            )
        tensor = self.graph.tensors[self.graph.inputs[0]]
        shape = tensor.shape
        if tensor.type != "INT8":
            raise HostToolError(
                f"the input is {tensor.type}, not INT8",
                "quantise the model to int8; float models are not supported",
            )
        if (
            len(shape) != 3
            or shape[0] != 1
            or shape[2] != FEATURES
            or not 1 <= shape[1] <= MAX_STRIDE
        ):
            raise HostToolError(
                f"the input has shape {list(shape)}, not [1, stride, {FEATURES}] "
                f"with a stride of 1 to {MAX_STRIDE}",
                "take a streaming (not a non-streaming) model with 40 features",
            )
        self.layers.append(Layer("input", shape[1], FEATURES, output=tensor))
        self.values[tensor.index] = np.arange(shape[1] * FEATURES, dtype=np.int64).reshape(shape)
        return shape[1]

    def _output(self) -> NDArray[Any]:
        tensor = self.graph.tensors[self.graph.outputs[0]]
        if tensor.type != "UINT8" or int(np.prod(tensor.shape)) != 1:
            raise HostToolError(
                f"the output is {tensor.type} of shape {list(tensor.shape)}, "
                "not one UINT8 probability",
                "the model must end in LOGISTIC and QUANTIZE",
            )
        source = self.values.get(tensor.index)
        if source is None or self.layers[int(layer_of(source).flat[0])].kind != "lookup":
            raise HostToolError("the output is not computed by LOGISTIC and QUANTIZE")
        return source

    # --- states ---

    def _call_once(self, operator: Operator) -> None:
        pass  # its values are in graph.initial

    def _var_handle(self, operator: Operator) -> None:
        self.states.name(operator)

    def _read_variable(self, operator: Operator) -> None:
        shape = self.graph.tensors[operator.outputs[0]].shape
        self._set(operator, 0, self.states.read(operator, shape))

    def _assign_variable(self, operator: Operator) -> None:
        self.states.assign(operator, self._value(operator, 1))

    # --- data movement ---

    def _value(self, operator: Operator, i: int) -> NDArray[Any]:
        value = self.values.get(operator.inputs[i]) if i < len(operator.inputs) else None
        if value is None:
            raise refuse(operator, f"its input {i} is not computed from the model's input")
        return value

    def _constant(self, operator: Operator, i: int) -> NDArray[Any]:
        index = operator.inputs[i] if i < len(operator.inputs) else -1
        if index < 0 or self.graph.tensors[index].data is None:
            raise refuse(operator, f"its input {i} is not a constant")
        data = self.graph.tensors[index].data
        assert data is not None
        return data

    def _set(self, operator: Operator, i: int, value: NDArray[Any]) -> None:
        tensor = self.graph.tensors[operator.outputs[i]]
        if tensor.type not in ("INT8", "UINT8"):
            raise refuse(operator, f"its output is {tensor.type}; only int8 is supported")
        if tuple(value.shape) != tensor.shape:
            raise refuse(
                operator, f"gives shape {list(value.shape)} where {list(tensor.shape)} is declared"
            )
        self.values[tensor.index] = value

    def _reshape(self, operator: Operator) -> None:
        value = self._value(operator, 0)
        shape = self.graph.tensors[operator.outputs[0]].shape
        if int(np.prod(shape)) != value.size:
            raise refuse(operator, f"cannot shape {list(value.shape)} as {list(shape)}")
        self._set(operator, 0, value.reshape(shape))

    def _expand_dims(self, operator: Operator) -> None:
        self._reshape(operator)

    def _squeeze(self, operator: Operator) -> None:
        self._reshape(operator)

    def _dequantize(self, operator: Operator) -> None:
        raise refuse(operator, "its values do not come back as int8")

    def _concatenation(self, operator: Operator) -> None:
        if operator.options.get("FusedActivationFunction", 0):
            raise refuse(operator, "a fused activation is not supported here")
        parts = [self._value(operator, i) for i in range(len(operator.inputs))]
        output = self._quantisation(operator.outputs[0])
        if any(self._quantisation(index) != output for index in operator.inputs):
            raise refuse(operator, "joins values of different scales or zero points")
        self._set(operator, 0, np.concatenate(parts, axis=operator.options.get("Axis", 0)))

    def _quantisation(self, index: int) -> tuple[list[float], list[int]]:
        tensor = self.graph.tensors[index]
        return tensor.scales.tolist(), tensor.zero_points.tolist()

    def _split_v(self, operator: Operator) -> None:
        value = self._value(operator, 0)
        sizes = [int(v) for v in self._constant(operator, 1).flat]
        axis = int(self._constant(operator, 2).flat[0])
        if not -value.ndim <= axis < value.ndim:
            raise refuse(operator, f"axis {axis} of {value.ndim} dimensions")
        if sizes.count(-1) == 1:
            sizes[sizes.index(-1)] = value.shape[axis] - sum(sizes) - 1
        if (
            min(sizes) < 0
            or sum(sizes) != value.shape[axis]
            or len(sizes) != len(operator.outputs)
        ):
            raise refuse(operator, f"splits {value.shape[axis]} into {sizes}")
        for i, part in enumerate(np.split(value, np.cumsum(sizes)[:-1], axis)):
            self._set(operator, i, part)

    def _strided_slice(self, operator: Operator) -> None:
        value = self._value(operator, 0)
        begin, end, strides = (self._constant(operator, i).reshape(-1) for i in (1, 2, 3))
        masks = operator.options
        if (
            masks.get("EllipsisMask", 0)
            or masks.get("NewAxisMask", 0)
            or masks.get("ShrinkAxisMask", 0)
        ):
            raise refuse(operator, "only begin and end masks are supported")
        if not len(begin) == len(end) == len(strides) == value.ndim or min(strides) < 1:
            raise refuse(operator, "one positive stride for each dimension is supported")
        parts = tuple(
            slice(
                None if masks.get("BeginMask", 0) >> i & 1 else int(begin[i]),
                None if masks.get("EndMask", 0) >> i & 1 else int(end[i]),
                int(strides[i]),
            )
            for i in range(value.ndim)
        )
        self._set(operator, 0, value[parts])

    # --- computing ---

    def _tensor(self, operator: Operator, i: int, types: tuple[str, ...]) -> Tensor:
        tensor = self.graph.tensors[operator.inputs[i]]
        if tensor.type not in types or not len(tensor.scales):
            raise refuse(
                operator,
                f"its input {i} is {tensor.type}; quantised {' or '.join(types)} is supported",
            )
        return tensor

    def _add(self, operator: Operator, layer: Layer) -> None:
        output = self.graph.tensors[operator.outputs[0]]
        final = output.index == self.graph.outputs[0]
        if output.type != "INT8" and not (
            output.type == "UINT8" and final and operator.name == "QUANTIZE"
        ):
            raise refuse(operator, f"its output is {output.type}; only int8 is supported")
        if (
            len(output.scales) != 1
            or not -128 <= output.zero_point - (128 if output.type == "UINT8" else 0) <= 127
        ):
            raise refuse(operator, "its output has no single scale and zero point")
        layer.operator = operator
        layer.input = self._tensor(operator, 0, ("INT8",))
        if len(layer.input.scales) != 1 or not -128 <= layer.input.zero_point <= 127:
            raise refuse(operator, "its input has no single scale and zero point")
        layer.output = output
        number = len(self.layers)
        self.layers.append(layer)
        size = int(np.prod(output.shape))
        if size != layer.rows * layer.channels:
            raise refuse(
                operator,
                f"gives {layer.rows} x {layer.channels} values, {list(output.shape)} declared",
            )
        self.values[output.index] = (
            np.arange(size, dtype=np.int64) + (number << LAYER_SHIFT)
        ).reshape(output.shape)

    def _weights(self, operator: Operator, layer: Layer) -> NDArray[Any]:
        if not 2 <= len(operator.inputs) <= 3:
            raise refuse(operator, f"{len(operator.inputs)} inputs")
        filter_tensor = self._tensor(operator, 1, ("INT8",))
        if filter_tensor.data is None or np.any(filter_tensor.zero_points != 0):
            raise refuse(operator, "its weights are not int8 constants around 0")
        layer.filter = filter_tensor
        if len(operator.inputs) == 3 and operator.inputs[2] >= 0:
            bias = self.graph.tensors[operator.inputs[2]]
            if bias.type != "INT32" or bias.data is None or bias.data.size != layer.channels:
                raise refuse(
                    operator, "its bias is not one int32 constant for each output channel"
                )
            layer.bias = bias.data.reshape(-1).astype(np.int64)
        else:
            layer.bias = np.zeros(layer.channels, np.int64)
        if len(filter_tensor.scales) not in (1, layer.channels):
            raise refuse(
                operator, f"{len(filter_tensor.scales)} scales for {layer.channels} channels"
            )
        return filter_tensor.data

    def _windows(self, operator: Operator, height: int, width: int) -> tuple[NDArray[Any], int]:
        """Return a convolution's sources, [rows, height, width, channels], and its dilation."""
        value = self._value(operator, 0)
        options = operator.options
        if not options:
            raise refuse(operator, "its options are missing")
        if value.ndim != 4 or value.shape[0] != 1:
            raise refuse(
                operator,
                f"its input has shape {list(value.shape)}, not [1, rows, width, channels]",
            )
        dilation = options["DilationHFactor"]
        span = (height - 1) * dilation + 1
        step = options["StrideH"]
        if dilation < 1 or step < 1 or span > value.shape[1] or height < 1:
            raise refuse(operator, f"a kernel of {span} rows on {value.shape[1]}")
        rows = (value.shape[1] - span) // step + 1
        if width != value.shape[2] or (width > 1 and options["DilationWFactor"] != 1):
            raise refuse(
                operator,
                f"a kernel {width} wide on an input {value.shape[2]} wide; they must be equal",
            )
        if options["Padding"] == 0 and (
            span > 1 and (rows - 1) * step + span < value.shape[1] + span - 1
        ):
            same = -(-value.shape[1] // step)
            if (same - 1) * step + span > value.shape[1]:
                raise refuse(operator, "SAME padding that adds rows is not supported")
        if options["Padding"] == 0 and width > 1:
            raise refuse(operator, "SAME padding that adds columns is not supported")
        return np.stack([value[0, r * step : r * step + span] for r in range(rows)]), dilation

    def _dilated(self, weights: NDArray[Any], dilation: int) -> NDArray[Any]:
        """Return [..., height, width, channels] weights with zero rows between for a dilation."""
        if dilation == 1:
            return weights
        height = weights.shape[1]
        out = np.zeros(
            (weights.shape[0], (height - 1) * dilation + 1, *weights.shape[2:]), weights.dtype
        )
        out[:, ::dilation] = weights
        return out

    def _conv_2d(self, operator: Operator) -> None:
        shape = self.graph.tensors[operator.inputs[1]].shape if len(operator.inputs) > 1 else ()
        if len(shape) != 4:
            raise refuse(operator, f"weights of shape {list(shape)}")
        windows, dilation = self._windows(operator, shape[1], shape[2])
        if windows.shape[3] != shape[3]:
            raise refuse(operator, f"{windows.shape[3]} input channels for weights of {shape[3]}")
        layer = Layer("dot", len(windows), shape[0])
        weights = self._dilated(self._weights(operator, layer), dilation)
        layer.weights = weights.reshape(shape[0], -1)
        layer.sources = windows.reshape(len(windows), -1)
        self._add(operator, layer)

    def _depthwise_conv_2d(self, operator: Operator) -> None:
        shape = self.graph.tensors[operator.inputs[1]].shape if len(operator.inputs) > 1 else ()
        if len(shape) != 4 or shape[0] != 1 or shape[2] != 1:
            raise refuse(
                operator, f"weights of shape {list(shape)}; [1, taps, 1, channels] is supported"
            )
        windows, dilation = self._windows(operator, shape[1], 1)
        channels = windows.shape[3]
        if channels == 0 or shape[3] % channels:
            raise refuse(operator, f"{shape[3]} outputs of {channels} channels")
        layer = Layer("depthwise", len(windows), shape[3])
        layer.weights = self._dilated(self._weights(operator, layer), dilation).reshape(
            -1, shape[3]
        )
        # output channel c reads input channel c // multiplier
        layer.sources = np.repeat(windows[:, :, 0, :], shape[3] // channels, axis=2)
        self._add(operator, layer)

    def _fully_connected(self, operator: Operator) -> None:
        shape = self.graph.tensors[operator.inputs[1]].shape if len(operator.inputs) > 1 else ()
        value = self._value(operator, 0)
        if len(shape) != 2 or value.size != shape[1] or operator.options.get("WeightsFormat", 0):
            raise refuse(operator, f"weights of shape {list(shape)} for {value.size} inputs")
        layer = Layer("dot", 1, shape[0])
        layer.weights = self._weights(operator, layer).reshape(shape)
        layer.sources = value.reshape(1, -1)
        self._add(operator, layer)

    def _logistic(self, operator: Operator) -> None:
        self._elementwise(operator)

    def _quantize(self, operator: Operator) -> None:
        self._elementwise(operator)

    def _elementwise(self, operator: Operator) -> None:
        value = self._value(operator, 0)
        channels = value.shape[-1] if value.ndim else 1
        layer = Layer("lookup", value.size // channels, channels)
        layer.sources = value.reshape(layer.rows, channels)
        self._add(operator, layer)
