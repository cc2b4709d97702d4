"""Replays recorded kernel calls as the chip makes them: many in one, by `wakeword/walk_xtensa.py`.

A recording has one call for each kernel, since the host calls them from Python. On the chip
`make_slice` calls the front end's five and `walk` all of a model's. Here the calls of a recording
are put together to those, run on the machine, and everything that they wrote is compared.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from host_tools.errors import HostToolError
from host_tools.xtensa.call_trace import Buffer, Call, Trace
from host_tools.xtensa.kernels import ASSEMBLER, load_kernels, walkers
from host_tools.xtensa.machine import XtensaMachine
from host_tools.xtensa.replay import Replay, Report
from host_tools.xtensa.workspaces import WORKSPACES

_MODEL, _FRONT_END = "wakeword.kernels.", "wakeword.frontend.kernels."
_FIRST_OF_MODEL, _FIRST_OF_FRONT_END = _MODEL + "load", _FRONT_END + "window"
#: The front end's kernels, in the order of `make_slice`.
SLICE = ("window", "fft", "energies", "filter_bank", "compress")


def groups(trace: Trace) -> Iterator[list[Call]]:
    """Yield the calls that are one call on the chip: a front end's step, a model's slice."""
    group: list[Call] = []
    for call in trace:
        if call.kernel in (_FIRST_OF_MODEL, _FIRST_OF_FRONT_END) and group:
            yield group
            group = []
        group.append(call)
    if group:
        yield group


class Walks(Replay):
    """Runs a recording of the engine on one machine, walker by walker."""

    def __init__(self, machine: XtensaMachine, trace: Trace) -> None:
        super().__init__(machine, load_kernels(machine, ASSEMBLER), trace, WORKSPACES)
        self._trace = trace
        self._walkers = walkers(machine)
        self._tuples: dict[tuple[object, ...], int] = {}
        self._words = machine.alloc(80)
        self.called: list[str] = []

    def _at(self, argument: int | Buffer) -> int:
        if isinstance(argument, int):
            return argument
        region = self._find(argument.address)
        return region.at + argument.address - region.start

    def _tuple(self, *items: object) -> int:
        """A tuple, made once: the machine's room for them is small."""
        if items not in self._tuples:
            self._tuples[items] = self._machine.place_tuple(*items)  # type: ignore[arg-type]
        return self._tuples[items]

    def _run_model(self, calls: list[Call]) -> None:
        pairs = [self._tuple(self._kernels[c.kernel], c.arguments[2]) for c in calls]
        values, model = calls[0].arguments[1], calls[1].arguments[1]
        program = self._tuple(*pairs)
        arena = self._at(calls[0].arguments[0])
        got = self._machine.call(
            self._walkers["walk"], program, arena, self._at(model), self._at(values)
        )
        if got is not None:
            raise HostToolError(f"walk returned {got}")
        self.called.append("walk")

    def _make_slice(self, calls: list[Call]) -> None:
        words = [self._at(a) for call in calls for a in call.arguments]
        chunk, out = words[1], words[19]
        for filled_in in (1, 7, 15, 19):
            words[filled_in] = 0
        self._machine.write(self._words, struct.pack("<20I", *words))
        kernels = self._tuple(*(self._kernels[_FRONT_END + name] for name in SLICE))
        got = self._machine.call(self._walkers["make_slice"], kernels, self._words, chunk, out)
        if got is not None:
            raise HostToolError(f"make_slice returned {got}")
        self.called.append("make_slice")

    def run(self, limit: int | None = None) -> Report:
        """Replay all groups of calls (or the first `limit`) and report."""
        report = Report()
        for index, calls in enumerate(groups(self._trace)):
            if index == limit:
                break
            for call in calls:
                for change in call.before:
                    self._apply(change, to_machine=True)
            if calls[0].kernel == _FIRST_OF_MODEL:
                self._run_model(calls)
            elif len(calls) == len(SLICE):
                self._make_slice(calls)
            else:  # the first two chunks after a reset make no slice
                (call,) = calls
                self._machine.call(self._kernels[call.kernel], *map(self._at, call.arguments))
                self.called.append("window")
            report.calls += 1
            for call in calls:
                self._bury_workspace(call)
                for change in call.after:
                    self._apply(change, to_machine=False)
            for call in calls:
                self._compare(call, index, report)
        return report
