"""`earnest bench --port`: real microseconds on a board beside the counted instructions."""

from __future__ import annotations

import json
from typing import cast

import click
from rich.console import Console
from rich.table import Table

from host_tools import micropython
from host_tools.audio.speech import bench_speech
from host_tools.board.answers import BoardTimes
from host_tools.board.console import run
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import find_port
from host_tools.errors import HostToolError
from host_tools.models.catalog import find_model
from host_tools.xtensa.machine import find_qemu
from host_tools.xtensa.measure import CLOCK_HZ, Measurement
from host_tools.xtensa.measure import measure as count_instructions

TIMEOUT_S = 60.0


def time_on_board(port: str | None) -> BoardTimes:
    """Return what `diag.bench` measured on the board on this port; the board then restarts."""
    with SerialLink(find_port(port)) as link:
        link.soft_reset()  # into a memory without the stopped application
        return cast(BoardTimes, run(link, "bench", timeout_s=TIMEOUT_S))


def show(port: str, model: str | None, seconds: float, as_json: bool) -> None:
    """Time the board on this port and print its stages beside the instructions of its first model;
    `model`: the file of a model that this computer does not know by that name."""
    times = time_on_board(port)
    counted, why_not = _count(model or times["models"][0], seconds)
    if as_json:
        instructions = {} if counted is None else _instructions(counted)
        click.echo(json.dumps({**times, "instructions": instructions}))
    else:
        Console().print(table(times, counted))
        if counted is None:
            click.echo(f"instructions: not counted: {why_not}", err=True)


def _count(model: str, seconds: float) -> tuple[Measurement | None, str]:
    """Return the instructions and "", or None and why this computer cannot count them."""
    try:
        find_qemu()
        micropython.require_native_emitter()
        found = find_model(model)
    except HostToolError as error:
        return None, error.message
    return count_instructions(found, bench_speech(seconds)), ""


def rows(times: BoardTimes, counted: Measurement | None) -> list[tuple[str, str, str, str, str]]:
    """Return (stage, calls, us per call, instructions per call, instructions per us) for each."""
    instructions = {} if counted is None else _instructions(counted)
    found = []
    for name, (calls, total_us) in sorted(times["stages"].items()):
        each_us = total_us / max(1, calls)
        count = instructions.get(name)
        rate = f"{count / each_us:.0f}" if count and each_us else ""
        counted_text = "" if count is None else f"{count:,.0f}"
        found.append((name, str(calls), f"{each_us:,.1f}", counted_text, rate))
    return found


def _instructions(counted: Measurement) -> dict[str, float]:
    """Return the instructions per call by the stage's name, as far as they are counted."""
    best = counted.variants[-1]
    found = {"frontend": float(best.front_end_per_step)}
    for kernel in best.kernels:
        room, _, name = kernel.name.rpartition("kernels.")
        if not room:
            found["model." + name] = float(kernel.per_call)
    return found


def table(times: BoardTimes, counted: Measurement | None) -> Table:
    """Return the stages as a table."""
    megahertz = (times["frequency_hz"] or CLOCK_HZ) / 1e6
    title = (
        f"on the board, {megahertz:.0f} MHz; worst chunk {times['worst_engine_us']:,} us of 10,000"
    )
    result = Table(title=title, title_justify="left")
    for i, name in enumerate(("stage", "calls", "us per call", "instructions", "instr/us")):
        result.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows(times, counted):
        result.add_row(*row)
    return result
