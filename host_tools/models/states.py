"""Resolve state variables, a streaming model's memory, to sources some inferences old.

`dataflow` reports what is read and assigned while it follows the graph.  A variable
holds what was assigned to it one inference ago; what that was may be a variable again, and so on,
until only values that layers computed are left.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from host_tools.errors import HostToolError
from host_tools.models.graph import Graph, Operator, refuse, variable_name
from host_tools.models.layers import LAG_SHIFT, LAYER_SHIFT, MAX_LAG, STATE, index_of, layer_of


class States:
    """The variables of one graph, numbered in the order of their handles."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._handles: dict[int, int] = {}
        self._names: list[str] = []
        self._assigned: dict[int, NDArray[np.int64]] = {}
        self._shapes: dict[int, tuple[int, ...]] = {}

    def name(self, operator: Operator) -> None:
        """Follow VAR_HANDLE: its output stands for the variable that it names."""
        name = variable_name(operator)
        if name not in self._names:
            self._names.append(name)
        self._handles[operator.outputs[0]] = self._names.index(name)

    def read(self, operator: Operator, shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Follow READ_VARIABLE: return what was assigned before, else the variable as a source."""
        number = self._number(operator)
        if number in self._assigned:
            return self._assigned[number].copy().reshape(shape)
        if self._shapes.setdefault(number, shape) != shape:
            raise refuse(operator, "the variable is read with two shapes")
        size = int(np.prod(shape))
        value = np.arange(size, dtype=np.int64) + ((number + STATE) << LAYER_SHIFT)
        return value.reshape(shape)

    def assign(self, operator: Operator, value: NDArray[np.int64]) -> None:
        """Follow ASSIGN_VARIABLE, which is allowed once for each variable."""
        number = self._number(operator)
        if number in self._assigned:
            raise refuse(operator, "the variable is assigned twice")
        self._assigned[number] = value.copy()

    def _number(self, operator: Operator) -> int:
        try:
            return self._handles[operator.inputs[0]]
        except (KeyError, IndexError):
            raise refuse(operator, "its variable has no VAR_HANDLE") from None

    def unwind(self) -> tuple[dict[int, NDArray[np.int64]], dict[int, int]]:
        """Return each variable as sources, and the initial values of those sources."""
        resolved: dict[int, NDArray[np.int64]] = {}
        for number, name in enumerate(self._names):
            if number in self._shapes and number not in self._assigned:
                raise HostToolError(f"state variable {name} is read but never assigned")
        initial: dict[int, int] = {}
        for number in self._shapes:
            name = self._names[number]
            resolved[number] = self._sources(number)
            start = self._graph.initial.get(name)
            if start is None:
                raise HostToolError(f"state variable {name} has no initial value")
            if start.size != resolved[number].size:
                raise HostToolError(f"state variable {name} starts with another shape")
            for source, value in zip(resolved[number].flat, start.flat, strict=True):
                if initial.setdefault(int(source), int(value)) != int(value):
                    raise HostToolError(f"state variable {name} starts with contradicting values")
        return resolved, initial

    def _sources(self, number: int) -> NDArray[np.int64]:
        """Return what a variable holds when an inference starts: what was assigned, one inference
        older, with states followed.
        """
        values = self._assigned[number].reshape(-1).copy()
        lag = np.ones(values.shape, np.int64)
        for _ in range(MAX_LAG):
            states = layer_of(values) >= STATE
            if not states.any():
                if int(lag.max()) >= MAX_LAG:
                    break
                return (values + (lag << LAG_SHIFT)).reshape(self._assigned[number].shape)
            numbers = np.where(states, layer_of(values) - STATE, -1)
            for read in np.unique(numbers[states]):
                assigned = self._assigned.get(int(read))
                if assigned is None:
                    raise HostToolError("a state variable is read but never assigned")
                at = numbers == read
                values[at] = assigned.reshape(-1)[index_of(values[at])]
            lag[states] += 1
            if len(np.unique(lag)) > MAX_LAG or int(lag.max()) > 4096:
                break
        raise HostToolError(
            f"state variable {self._names[number]} keeps values for ever",
            "its history must be bounded",
        )


def resolve(
    sources: NDArray[np.int64], resolved: dict[int, NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Return `sources` with those of variables replaced by what `States.unwind` found."""
    out = sources.copy()
    layers = layer_of(sources)
    for number, values in resolved.items():
        mask = layers == number + STATE
        out[mask] = values.reshape(-1)[index_of(sources[mask])]
    return out
