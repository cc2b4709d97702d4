"""Replays recorded kernel calls on the Xtensa machine and compares every value.

The recording (record.py, call_trace.py) is of the real firmware on the host's processor; here the
same calls run as the chip's machine code. Memory is carried from call to call:
only what Python itself wrote between two calls is applied, so a kernel's mistake is not papered
over. After a difference the memory is set right, so that each mistake is counted where it is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from host_tools.errors import HostToolError
from host_tools.xtensa.call_trace import Buffer, Call, Change
from host_tools.xtensa.machine import Function, XtensaMachine


@dataclass
class Report:
    """What a replay found: `first` names the first difference, None when there is none."""

    calls: int = 0
    values: int = 0  # bytes of buffers and results compared
    different: int = 0
    first: str | None = None
    calls_of: dict[str, int] = field(default_factory=dict)

    def add(self, what: str, count: int) -> None:
        self.different += count
        self.first = self.first or what


@dataclass
class _Region:
    """Overlapping buffers of the recording: one buffer on the machine, and what it must hold.

    dead: bytes that a workspace left behind and nobody has written since; they are not compared,
    but stay on the machine, so that a kernel which reads them gives itself away.
    """

    start: int
    end: int
    at: int = 0
    expected: bytearray = field(default_factory=bytearray)
    dead: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))


def _regions(calls: Iterable[Call]) -> list[_Region]:
    """Merge the address ranges of all buffers, where they overlap, into regions."""
    ranges = {a for call in calls for a in call.arguments if isinstance(a, Buffer)}
    regions: list[_Region] = []
    for buffer in sorted(ranges, key=lambda b: (b.address, b.size)):
        end = buffer.address + buffer.size
        if regions and buffer.address < regions[-1].end:
            regions[-1].end = max(regions[-1].end, end)
        else:
            regions.append(_Region(buffer.address, end))
    return regions


ReadMemory = Callable[[int, int], bytes]
#: For a kernel that needs room to work in: (address, size) of it, from the call and the memory.
Workspace = Callable[[Call, ReadMemory], tuple[int, int]]


class Replay:
    """Runs a recording on one machine. `kernels` maps full kernel names to loaded functions.

    workspaces: of the kernels that may leave anything in a part of their buffers.
    """

    def __init__(
        self,
        machine: XtensaMachine,
        kernels: Mapping[str, Function],
        calls: Iterable[Call],
        workspaces: Mapping[str, Workspace] | None = None,
    ) -> None:
        self._machine, self._kernels, self._calls = machine, kernels, calls
        self._workspaces = workspaces or {}
        self._regions = _regions(calls)
        self._starts = [region.start for region in self._regions]
        for region in self._regions:
            region.expected = bytearray(region.end - region.start)
            region.dead = np.zeros(len(region.expected), bool)
            region.at = machine.alloc(len(region.expected), misalign=region.start % 16)

    def _find(self, address: int) -> _Region:
        low, high = 0, len(self._starts)
        while high - low > 1:
            middle = (low + high) // 2
            if self._starts[middle] <= address:
                low = middle
            else:
                high = middle
        return self._regions[low]

    def _apply(self, change: Change, to_machine: bool) -> None:
        """Apply the bytes that changed; a change also spans bytes between them that did not."""
        if not change.content:
            return
        region = self._find(change.address)
        offset, size = change.address - region.start, len(change.content)
        new = np.frombuffer(change.content, np.uint8)
        changed = new != np.frombuffer(region.expected, np.uint8)[offset : offset + size]
        region.expected[offset : offset + size] = change.content
        region.dead[offset : offset + size] &= ~changed
        if to_machine:
            there = np.frombuffer(self._machine.read(region.at + offset, size), np.uint8)
            self._machine.write(region.at + offset, np.where(changed, new, there).tobytes())

    def _expected(self, address: int, size: int) -> bytes:
        region = self._find(address)
        return bytes(region.expected[address - region.start : address - region.start + size])

    def _bury_workspace(self, call: Call) -> None:
        if call.kernel in self._workspaces:
            address, size = self._workspaces[call.kernel](call, self._expected)
            region = self._find(address)
            region.dead[address - region.start : address - region.start + size] = True

    def _compare(self, call: Call, index: int, report: Report) -> None:
        for position, argument in enumerate(call.arguments):
            if not isinstance(argument, Buffer) or not argument.size:
                continue
            region = self._find(argument.address)
            got = self._machine.read(region.at, len(region.expected))
            report.values += argument.size
            if got == region.expected:
                continue
            same = np.frombuffer(got, np.uint8) == np.frombuffer(region.expected, np.uint8)
            wrong = np.flatnonzero(~(same | region.dead))
            if not len(wrong):
                continue
            offset = int(wrong[0]) + region.start - argument.address
            report.add(
                f"{call.kernel}, call {index}, argument {position}, byte {offset}: "
                f"got {got[wrong[0]]}, want {region.expected[wrong[0]]}",
                len(wrong),
            )
            self._machine.write(region.at, bytes(region.expected))
            region.dead[:] = False

    def run(self, limit: int | None = None) -> Report:
        """Replay all calls (or the first `limit`) and report."""
        report = Report()
        for index, call in enumerate(self._calls):
            if index == limit:
                break
            if call.kernel not in self._kernels:
                raise HostToolError(f"{call.kernel} was recorded but is not loaded")
            for change in call.before:
                self._apply(change, to_machine=True)
            values = [
                self._find(a.address).at + a.address - self._find(a.address).start
                if isinstance(a, Buffer)
                else a
                for a in call.arguments
            ]
            got = self._machine.call(self._kernels[call.kernel], *values)
            self._bury_workspace(call)
            for change in call.after:
                self._apply(change, to_machine=False)
            report.calls += 1
            report.calls_of[call.kernel] = report.calls_of.get(call.kernel, 0) + 1
            report.values += 1
            if got != call.result:
                want = call.result
                report.add(f"{call.kernel}, call {index}: returned {got}, want {want}", 1)
            self._compare(call, index, report)
        return report
