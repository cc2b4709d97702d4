"""`earnest bench`: what listening costs on the chip, in instructions and in RAM."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from host_tools import micropython
from host_tools.audio.speech import bench_speech
from host_tools.commands import bench_port
from host_tools.commands.options import json_option, port_instead
from host_tools.errors import HostToolError
from host_tools.models.catalog import DEFAULT_MODEL, find_model, known_models
from host_tools.xtensa import chunk_cost, heap_calls, parser_cost, speaker_cost
from host_tools.xtensa import report as bench_report
from host_tools.xtensa.interpreter_cost import VALGRIND_HINT, has_valgrind, instructions_per_step
from host_tools.xtensa.machine import find_qemu
from host_tools.xtensa.measure import Measurement, measure
from host_tools.xtensa.report import Costs

MIN_SECONDS, MAX_SECONDS = 0.2, 60.0


def _measure_all(
    models: tuple[str, ...], seconds: float, with_overhead: bool
) -> list[Measurement]:
    """Measure one model after the other, with progress on standard error."""
    console = Console(stderr=True)
    found = [find_model(name) for name in models]
    measurements = []
    with console.status("") as status:
        for model in found:
            status.update(f"{model.name}: {seconds:g} s of speech on Xtensa code")
            result = measure(model, bench_speech(seconds))
            if with_overhead:
                status.update(f"{model.name}: interpreter overhead, under valgrind")
                cost = instructions_per_step([model.path])
                result = dataclasses.replace(result, interpreter_overhead_per_step=cost)
            if with_overhead and model is found[0]:
                status.update(f"{model.name}: the whole loop, under valgrind")
                result = dataclasses.replace(result, loop=heap_calls.per_chunk(model.path))
            measurements.append(result)
    return measurements


def _print(measurements: list[Measurement], costs: Costs, console: Console) -> None:
    for result in measurements:
        for table in bench_report.tables(result):
            console.print(_table(*table))
        console.print(bench_report.summary(result), highlight=False, soft_wrap=True)
    for table in bench_report.chunk_tables(costs):
        console.print(_table(*table))


def _table(title: str, header: list[str], rows: list[list[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _show_parser(as_json: bool) -> None:
    rows = parser_cost.table()
    if as_json:
        click.echo(json.dumps({name: cost for name, cost in rows}, indent=2))
        return
    table = Table(title="Reading a receiver's messages, on the host", title_justify="left")
    table.add_column("message", no_wrap=True)
    table.add_column("instructions per byte", justify="right", no_wrap=True)
    for name, cost in rows:
        table.add_row(name, f"{cost:,}")
    Console().print(table)


EPILOG = """\b
Examples:
  earnest bench
  earnest bench hey_jarvis --seconds 5
  earnest bench --parser
  earnest bench --port auto

\b
With --port: a step must stay under 10,000 us.  `instr/us` is at most 240, at one instruction per
cycle.
"""


@click.command("bench", epilog=EPILOG, context_settings={"max_content_width": 99})
@click.argument("models", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Measure all known models.")
@click.option(
    "--seconds",
    type=click.FloatRange(MIN_SECONDS, MAX_SECONDS),
    default=1.0,
    show_default=True,
    help="Length of the speech to run.",
)
@click.option(
    "--overhead/--no-overhead",
    default=None,
    help="Count the interpreter overhead around the kernels too (default: if valgrind is there).",
)
@click.option(
    "--parser",
    is_flag=True,
    help="Count what reading a receiver's messages costs instead, per byte (needs valgrind).",
)
@port_instead("Measure")
@json_option
@click.option("--markdown", is_flag=True, help="Print the Markdown tables of docs/performance.md.")
@click.option(
    "--update",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Write the Markdown tables into this file, between its bench markers.",
)
def command(
    models: tuple[str, ...],
    every: bool,
    seconds: float,
    overhead: bool | None,
    parser: bool,
    port: str | None,
    as_json: bool,
    markdown: bool,
    update: Path | None,
) -> None:
    """Count the instructions and the RAM that MODELS need on the chip (default: okay_nabu).

    Runs the real firmware on a second of speech, then all its kernel calls as the chip's own
    machine code under qemu-xtensa: every value is compared, every instruction counted. --port also
    prints the microseconds measured on the board, which stops listening meanwhile.
    """
    if port is not None:
        bench_port.show(port, models[0] if models else None, seconds, as_json)
        return
    if parser:
        _show_parser(as_json)
        return
    find_qemu()
    micropython.require_native_emitter()
    if overhead and not has_valgrind():
        raise HostToolError("valgrind is not installed", VALGRIND_HINT)
    known = sorted(known_models(), key=lambda name: name != DEFAULT_MODEL)  # the default first
    names = tuple(known) if every else models or (DEFAULT_MODEL,)
    with_overhead = has_valgrind() if overhead is None else overhead
    measurements = _measure_all(names, seconds, with_overhead)
    costs = Costs(chunk_cost.instructions_per_chunk(), speaker_cost.instructions_per_chunk())
    if update:
        bench_report.update(update, bench_report.markdown(measurements, costs))
        click.echo(f"tables written to {update}", err=True)
    if as_json:
        click.echo(json.dumps(bench_report.as_json(measurements, costs), indent=2))
    elif markdown:
        click.echo(bench_report.markdown(measurements, costs))
    elif not update:
        _print(measurements, costs, Console())
        if overhead is None and not with_overhead:
            click.echo(f"interpreter overhead: not counted ({VALGRIND_HINT})", err=True)
