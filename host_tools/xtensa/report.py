"""What `earnest bench` prints: tables, summary, Markdown for docs/performance.md, JSON."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from host_tools.errors import HostToolError
from host_tools.xtensa.measure import CLOCK_HZ, KernelCost, Measurement, Variant
from host_tools.xtensa.speaker_cost import CHUNKS_PER_SECOND

JSON_VERSION = 1
RAM_LIMIT_BYTES = 160_000
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
NOT_COUNTED = "-"

Rows = list[list[str]]


def best(result: Measurement) -> Variant:
    """Return the variant that runs on the chip: the last, with the vector unit."""
    return result.variants[-1]


def tables(result: Measurement) -> list[tuple[str, list[str], Rows]]:
    """Return (title, header, rows) of the tables: kernels, RAM, and the loop if it was counted."""
    found = [
        (f"{result.model}: instructions per call on Xtensa", *kernel_table(result)),
        (f"{result.model}: RAM, bytes", ["", "bytes"], _ram_rows(result)),
    ]
    if result.loop is not None:
        found.append((f"{result.model}: the whole loop, x86-64 instructions", *loop_table(result)))
    return found


def _display(kernel: str) -> str:
    """Return frontend.kernels.fft as frontend.fft, kernels.dot as model.dot."""
    room, _, name = kernel.rpartition("kernels.")
    return f"{room or 'model.'}{name}"


def kernel_table(result: Measurement) -> tuple[list[str], Rows]:
    """Return (header, rows): for each kernel and sum, instructions per call with each variant, and
    million instructions per second on the chip.
    """
    header = ["kernel", "calls/s", *(variant.name for variant in result.variants), "M/s"]
    by_name: list[dict[str, KernelCost]] = [
        {kernel.name: kernel for kernel in variant.kernels} for variant in result.variants
    ]
    rows = []
    for kernel in result.variants[0].kernels:
        row = [_display(kernel.name), f"{kernel.calls_per_second:.0f}"]
        row += [f"{kernels[kernel.name].per_call:,.0f}" for kernels in by_name]
        rows.append([*row, f"{by_name[-1][kernel.name].per_second / 1e6:.2f}"])
    inferences = 100 / result.stride
    for title, rate, per in (
        ("front end, per 10 ms step", 100, "front_end_per_step"),
        ("model, per inference", inferences, "per_inference"),
        ("all, per 10 ms step", 100, "per_step"),
    ):
        counts = [getattr(variant, per) for variant in result.variants]
        row = [title, f"{rate:.0f}", *(f"{count:,.0f}" for count in counts)]
        rows.append([*row, f"{counts[-1] * rate / 1e6:.2f}"])
    return header, rows


def _ram_rows(result: Measurement) -> Rows:
    ram = result.ram
    names = {
        "model": "model file",
        "arena": "model: state and scratch",
        "front_end": "front end: state and scratch",
        "tables": "front end: tables",
        "objects": "objects",
        "code": "code (.mpy files)",
    }
    rows = [[names[name], f"{size:,}"] for name, size in asdict(ram).items()]
    return [*rows, ["all", f"{ram.total:,}"]]


def loop_table(result: Measurement) -> tuple[list[str], Rows]:
    """Return (header, rows) of what a chunk costs the whole loop on the host, by state."""
    assert result.loop is not None
    overhead = result.interpreter_overhead_per_step or 0
    costs = list(result.loop.values())
    header = ["a chunk of 10 ms, connected, on the host", *result.loop]
    return header, [
        ["interpreter around the engine's kernels", *[f"{overhead:,}" for _ in costs]],
        ["application", *[f"{cost.instructions - overhead:,.0f}" for cost in costs]],
        ["call frames on the heap", *[f"{cost.frames:.1f}" for cost in costs]],
        ["other objects on the heap", *[f"{cost.objects:.1f}" for cost in costs]],
    ]


def summary(result: Measurement) -> str:
    """Return the totals as sentences."""
    lines = []
    for variant in result.variants:
        lines.append(
            f"{variant.name}: {variant.million_per_second:.1f} M instr/s, "
            f"{100 * variant.share:.1f} % of a {CLOCK_HZ // 1_000_000} MHz core; "
            f"{variant.calls} calls, {variant.values_compared} values, 0 different"
        )
    overhead = result.interpreter_overhead_per_step
    if overhead is not None:
        lines.append(
            f"interpreter overhead: {overhead:,} instructions per step, "
            "counted on this host (x86-64), not on the chip"
        )
    over = result.ram.total > RAM_LIMIT_BYTES
    limit = f"{'over' if over else 'within'} its limit of {RAM_LIMIT_BYTES // 1000} kB"
    lines.append(f"RAM: {result.ram.total / 1000:.1f} kB, {limit}")
    return "\n".join(lines)


@dataclass(frozen=True)
class Costs:
    """Instructions for 10 ms by kernel: of what is around the engine, of the speaker."""

    around: dict[str, int]
    speaker: dict[str, int]


def chunk_tables(costs: Costs) -> list[tuple[str, list[str], Rows]]:
    """Return (title, header, rows) of what is around the engine, and of the speaker."""
    titles = (
        "Instructions per 10 ms chunk around the engine; those of the gate run in a stream only",
        "Instructions per 10 ms chunk while the speaker plays, when the engine rests",
    )
    tables = []
    for title, kernels in zip(titles, (costs.around, costs.speaker), strict=True):
        rows = [
            [name, f"{count:,}", f"{count * CHUNKS_PER_SECOND / 1e6:.2f}"]
            for name, count in kernels.items()
        ]
        tables.append((title, ["kernel", "instructions", "M/s"], rows))
    return tables


def _markdown_table(header: list[str], rows: Rows) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown(results: list[Measurement], costs: Costs) -> str:
    """Return tables: the models, the first model's kernels, around the engine, the speaker."""
    header = ["model", "MACs", "instructions per inference", "per 10 ms step", "M instr/s"]
    header += [
        f"share of a {CLOCK_HZ // 1_000_000} MHz core",
        "M instr/s, viper only",
        "engine RAM, kB",
    ]
    rows = []
    for result in results:
        chip, viper = best(result), result.variants[0]
        rows.append(
            [
                result.model,
                f"{result.macs:,}",
                f"{chip.per_inference:,.0f}",
                f"{chip.per_step:,.0f}",
                f"{chip.million_per_second:.1f}",
                f"{100 * chip.share:.1f} %",
                f"{viper.million_per_second:.1f}",
                f"{result.ram.total / 1000:.1f}",
            ]
        )
    kernels, rows_of_kernels = kernel_table(results[0])
    parts = [
        _markdown_table(header, rows),
        f"Instructions per kernel call, and million instructions per second on the chip (M/s), "
        f"for {results[0].model}:",
        _markdown_table(kernels, rows_of_kernels),
    ]
    for title, header, rows in chunk_tables(costs):
        parts += [title + ":", _markdown_table(header, rows)]
    overhead = results[0].interpreter_overhead_per_step
    if overhead is not None:
        parts.append(
            f"The interpreter overhead around the kernels is {overhead:,} instructions per step, "
            "counted in the host's MicroPython (x86-64); the tables do not include it."
        )
    if results[0].loop is not None:
        parts.append(
            f"The whole loop around the engine's kernels, for {results[0].model}, connected to a "
            "receiver, in x86-64 instructions of the host's MicroPython:"
        )
        parts.append(_markdown_table(*loop_table(results[0])))
    return "\n\n".join(parts)


def update(path: Path, text: str) -> None:
    """Replace the text between the markers of a file."""
    old = path.read_text(encoding="utf-8")
    pattern = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
    new, count = pattern.subn(lambda _: f"{BEGIN}\n{text}\n{END}", old)
    if count != 1:
        raise HostToolError(f"{path} has {count} places for the tables", f"put {BEGIN}{END} once")
    path.write_text(new, encoding="utf-8")


def as_json(results: list[Measurement], costs: Costs) -> dict[str, Any]:
    """Return the measurements for programs; `version` changes when the meaning of a field does."""
    models = []
    for result in results:
        entry = asdict(result)
        entry["ram"]["total"] = result.ram.total
        models.append(entry)
    return {
        "version": JSON_VERSION,
        "clock_hz": CLOCK_HZ,
        "models": models,
        "instructions_per_chunk_around": costs.around,
        "speaker_instructions_per_chunk": costs.speaker,
    }
