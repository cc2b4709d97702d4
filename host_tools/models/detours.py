"""Remove float detours: values that are dequantised, only moved, and quantised back unchanged.

Second stage of the converter, graph to graph.  Some exporters keep a streaming model's states in
float32: DEQUANTIZE, then CONCATENATION, STRIDED_SLICE and the like, then QUANTIZE with the same
scale and zero point.  A float `scale * (q - zero)` that nothing computes with comes back as the
same q: |q - zero| is at most 255, so float32's rounding cannot move the quotient by a half.  Such
tensors are replaced by int8 tensors, and both ends by RESHAPE.  Anything else in float is refused.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host_tools.errors import HostToolError
from host_tools.models.graph import READ_ERRORS, Graph, Operator, Tensor, refuse, variable_name

_FLOAT_HINT = "only moved values may be float; quantise the model to int8"
_MOVES = ("RESHAPE", "EXPAND_DIMS", "SQUEEZE", "CONCATENATION", "STRIDED_SLICE", "SPLIT_V")
_Quantisation = tuple[float, int]


def remove_float_detours(graph: Graph) -> Graph:
    """Return the graph with int8 in place of float32; raise HostToolError where it computes."""
    if all(tensor.type != "FLOAT32" for tensor in graph.tensors):
        if "DEQUANTIZE" not in {operator.name for operator in graph.operators}:
            return graph
    try:
        return _Remover(graph).run()
    except READ_ERRORS as error:  # operators without their inputs or outputs
        raise HostToolError(f"the model is damaged: {error}", "fetch the model again") from error


class _Remover:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._floats: dict[int, _Quantisation] = {}  # float tensor to what it is a multiple of
        self._variables: dict[str, _Quantisation] = {}
        self._names: dict[int, str] = {}  # handle to variable

    def run(self) -> Graph:
        for operator in self._graph.operators:
            if operator.name == "VAR_HANDLE":
                self._names[operator.outputs[0]] = variable_name(operator)
        before = -1
        while before != len(self._floats) + len(self._variables):  # a state is read before it is
            before = len(self._floats) + len(self._variables)  # assigned, so once is not enough
            for operator in self._graph.operators:
                self._spread(operator)
        operators = tuple(self._replaced(operator) for operator in self._graph.operators)
        initial = {name: self._quantised(name, v) for name, v in self._graph.initial.items()}
        return replace(
            self._graph,
            tensors=tuple(self._as_int8(tensor) for tensor in self._graph.tensors),
            operators=operators,
            initial=initial,
        )

    def _is_float(self, index: int) -> bool:
        return index >= 0 and self._graph.tensors[index].type == "FLOAT32"

    def _spread(self, operator: Operator) -> None:
        """Carry what is known of an operator's inputs to its outputs."""
        if operator.name == "DEQUANTIZE" and self._is_float(operator.outputs[0]):
            self._floats[operator.outputs[0]] = self._single(operator, operator.inputs[0])
        elif operator.name == "READ_VARIABLE":
            name = self._names.get(operator.inputs[0], "")
            if name in self._variables and self._is_float(operator.outputs[0]):
                self._floats[operator.outputs[0]] = self._variables[name]
        elif operator.name == "ASSIGN_VARIABLE":
            handle, value = operator.inputs
            if value in self._floats:
                self._variables[self._names.get(handle, "")] = self._floats[value]
        elif operator.name in _MOVES:
            known = [self._floats[i] for i in operator.inputs if i in self._floats]
            if known:
                self._floats.update((i, known[0]) for i in operator.outputs if self._is_float(i))

    def _single(self, operator: Operator, index: int) -> _Quantisation:
        tensor = self._graph.tensors[index]
        if tensor.type != "INT8" or len(tensor.scales) != 1:
            raise refuse(operator, f"its operand is {tensor.type} without a single scale")
        if not -128 <= tensor.zero_point <= 127:
            raise refuse(operator, f"a zero point of {tensor.zero_point}")
        return float(tensor.scale), tensor.zero_point

    def _replaced(self, operator: Operator) -> Operator:
        """Return the operator on int8, or raise HostToolError where it is not a mere move."""
        floats = [i for i in (*operator.inputs, *operator.outputs) if self._is_float(i)]
        if not floats:
            return operator
        for index in floats:
            if index not in self._floats:
                raise refuse(operator, f"tensor {index} is computed in float32", _FLOAT_HINT)
        if len({self._floats[index] for index in floats}) > 1:
            raise refuse(operator, "joins float values of different scales or zero points")
        if operator.name == "QUANTIZE":
            ends = self._floats[operator.inputs[0]], self._single(operator, operator.outputs[0])
            if ends[0] != ends[1]:
                raise refuse(
                    operator,
                    f"a float detour with two scales: from {ends[0][0]:g} around {ends[0][1]} to "
                    f"{ends[1][0]:g} around {ends[1][1]}",
                    "only detours with the same scale and zero point at both ends are exact",
                )
        if operator.name in ("QUANTIZE", "DEQUANTIZE"):
            return replace(operator, name="RESHAPE", inputs=operator.inputs[:1], options={})
        if operator.name not in (*_MOVES, "READ_VARIABLE", "ASSIGN_VARIABLE"):
            raise refuse(operator, "computes in float32", _FLOAT_HINT)
        return operator

    def _as_int8(self, tensor: Tensor) -> Tensor:
        if tensor.index not in self._floats:
            return tensor
        scale, zero_point = self._floats[tensor.index]
        return replace(
            tensor,
            type="INT8",
            scales=np.array([scale], np.float32),
            zero_points=np.array([zero_point], np.int64),
        )

    def _quantised(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """Return a variable's initial values as int8."""
        if values.dtype != np.float32:
            return values
        if name not in self._variables:
            raise HostToolError(f"state variable {name} holds float32 values", _FLOAT_HINT)
        scale, zero_point = self._variables[name]
        with np.errstate(all="ignore"):
            steps = np.rint(values / np.float32(scale)) + zero_point
        is_exact = np.isfinite(steps).all() and (abs(steps - zero_point) <= 255).all()
        if not is_exact or not ((-128 <= steps) & (steps <= 127)).all():
            raise HostToolError(
                f"state variable {name} starts with float32 values outside of int8", _FLOAT_HINT
            )
        back = np.float32(scale) * (steps - zero_point).astype(np.float32)
        if not (back == values).all():
            raise HostToolError(
                f"state variable {name} starts with values that int8 cannot hold", _FLOAT_HINT
            )
        quantised: NDArray[np.int8] = steps.astype(np.int8)
        return quantised
