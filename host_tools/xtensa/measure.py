"""Measures one model with the front end: instructions of each kernel, of a step, of an inference.

The real firmware's calls on speech are recorded and replayed on the Xtensa machine,
which compares every value and counts; so a figure exists only for code that computes correctly.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from firmware.wakeword import model_format
from host_tools import micropython
from host_tools.errors import HostToolError
from host_tools.models.catalog import ModelFile
from host_tools.xtensa.call_trace import Trace
from host_tools.xtensa.heap_calls import HeapCalls
from host_tools.xtensa.kernels import VARIANTS, compiled_firmware, kernel_names, load_kernels
from host_tools.xtensa.machine import XtensaMachine
from host_tools.xtensa.record import record_engine
from host_tools.xtensa.replay import Replay
from host_tools.xtensa.workspaces import WORKSPACES

CLOCK_HZ = 240_000_000
STEPS_PER_SECOND = 100
FRONTEND = "wakeword.frontend."
_STEPS_BEFORE_FIRST_SLICE = 2


@dataclass(frozen=True)
class KernelCost:
    """One kernel: mean instructions of a call, calls a second, instructions a second."""

    name: str
    per_call: float
    calls_per_second: float
    per_second: float


@dataclass(frozen=True)
class Variant:
    """All kernels, viper only or assembler where there is some. Counts are of the kernels alone.

    front_end_per_step: of the front end, in 10 ms; per_inference: of the model, everything between
    two inferences; per_step: of both, mean; share: of one core at CLOCK_HZ, at one instruction a
    clock, so a lower bound.
    """

    name: str
    kernels: list[KernelCost]
    front_end_per_step: float
    per_inference: float
    per_step: float
    million_per_second: float
    share: float
    calls: int
    values_compared: int


@dataclass(frozen=True)
class Ram:
    """Bytes on the device's heap, in 16-byte blocks; code is the size of the .mpy files."""

    model: int
    arena: int
    front_end: int
    tables: int
    objects: int
    code: int

    @property
    def total(self) -> int:
        return sum(asdict(self).values())


@dataclass(frozen=True)
class Measurement:
    """Everything about one model. `interpreter_overhead_per_step`: host instructions; `loop`: what
    a chunk costs the whole loop on the host, by state; None when not measured.
    """

    model: str
    wake_word: str
    macs: int
    stride: int
    steps: int
    variants: list[Variant]
    ram: Ram
    interpreter_overhead_per_step: int | None = None
    loop: dict[str, HeapCalls] | None = None


def _count(trace: Trace, name: str, stride: int) -> Variant:
    """Replay with one variant of the kernels, and add up from the first slice on."""
    with XtensaMachine(count=True) as machine:
        report = Replay(machine, load_kernels(machine, name), trace, WORKSPACES).run()
        counted = machine.counts()
    if report.different:
        raise HostToolError(
            f"{name} kernels differ from MicroPython in {report.different} values: {report.first}",
            "run the tests: pytest tests/xtensa",
        )
    called = [call.kernel for call in trace]
    steps_at = [i for i, kernel in enumerate(called) if kernel == called[0]]
    first = steps_at[_STEPS_BEFORE_FIRST_SLICE]
    steps = len(steps_at) - _STEPS_BEFORE_FIRST_SLICE
    totals: dict[str, list[int]] = {}
    for kernel, (_, instructions) in list(zip(called, counted, strict=True))[first:]:
        totals.setdefault(kernel, []).append(instructions)
    kernels = [
        KernelCost(
            kernel.removeprefix("wakeword."),
            sum(counts) / len(counts),
            len(counts) * STEPS_PER_SECOND / steps,
            sum(counts) * STEPS_PER_SECOND / steps,
        )
        for kernel, counts in totals.items()
    ]
    everything = sum(map(sum, totals.values()))
    front_end = sum(sum(c) for kernel, c in totals.items() if kernel.startswith(FRONTEND))
    per_second = everything * STEPS_PER_SECOND / steps
    return Variant(
        name,
        kernels,
        front_end / steps,
        (everything - front_end) * stride / steps,
        everything / steps,
        per_second / 1e6,
        per_second / CLOCK_HZ,
        report.calls,
        report.values,
    )


def measure_ram(model: Path) -> Ram:
    """Ask the firmware, in MicroPython, what it holds with this model loaded."""
    done = micropython.run(micropython.GUESTS / "ram.py", model)
    if done.returncode:
        last = done.stdout.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise HostToolError("the firmware did not load the model", " ".join(last))
    held = json.loads(done.stdout)
    (one,) = held["models"]
    code = sum(map(len, compiled_firmware().values()))
    rest = held["rest"] + one["rest"]
    return Ram(one["file"], one["arena"], held["frontend"], held["tables"], rest, code)


def measure(model: ModelFile, pcm: NDArray[np.int16]) -> Measurement:
    """Count a model's instructions on these samples, in whole inferences; compare every value."""
    data = model.path.read_bytes()
    slices = len(pcm) // 160 - _STEPS_BEFORE_FIRST_SLICE
    slices -= slices % model.stride
    if slices <= 0:
        raise HostToolError("too little audio to measure an inference", "give at least 0.2 s")
    steps = slices + _STEPS_BEFORE_FIRST_SLICE
    trace = record_engine(pcm, [data], steps)
    variants = [_count(trace, name, model.stride) for name in VARIANTS if kernel_names(name)]
    header, _ = model_format.check(data)
    return Measurement(
        model.name,
        model.wake_word,
        header.macs,
        model.stride,
        steps,
        variants,
        measure_ram(model.path),
    )
