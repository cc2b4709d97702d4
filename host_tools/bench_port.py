"""`earnest bench --port`: real microseconds on a board beside the counted instructions."""

from __future__ import annotations

from rich.table import Table

from host_tools.live import run
from host_tools.serial_link import SerialLink, find_port
from host_tools.xtensa.measure import CLOCK_HZ, Measurement

TIMEOUT_S = 60.0
AUTO = "auto"


def measure(port: str | None) -> dict:
    """What `diag.bench` measured on the board on this port; the firmware is restarted after it."""
    with SerialLink(find_port(None if port == AUTO else port)) as link:
        return run(link, "bench", timeout_s=TIMEOUT_S)


def rows(times: dict, counted: Measurement | None) -> list[tuple[str, str, str, str, str]]:
    """(stage, calls, microseconds a call, instructions a call, instructions a microsecond)."""
    instructions = {} if counted is None else _instructions(counted)
    found = []
    for name, (calls, total_us) in sorted(times["stages"].items()):
        each_us = total_us / max(1, calls)
        count = instructions.get(name)
        rate = f"{count / each_us:.0f}" if count and each_us else ""
        words = "" if count is None else f"{count:,.0f}"
        found.append((name, str(calls), f"{each_us:,.1f}", words, rate))
    return found


def _instructions(counted: Measurement) -> dict[str, float]:
    """Instructions of a call by the stage's name, as far as they are counted."""
    best = counted.variants[-1]
    found = {"frontend": float(best.front_end_per_step)}
    for kernel in best.kernels:
        room, _, name = kernel.name.rpartition("kernels.")
        if not room:
            found["model." + name] = float(kernel.per_call)
    return found


def table(times: dict, counted: Measurement | None) -> Table:
    """For people."""
    megahertz = (times["frequency_hz"] or CLOCK_HZ) / 1e6
    title = (
        f"on the board, {megahertz:.0f} MHz; worst chunk {times['worst_engine_us']:,} us of 10,000"
    )
    result = Table(title=title, title_justify="left")
    for i, name in enumerate(("stage", "calls", "us a call", "instructions", "per us")):
        result.add_column(name, justify="right" if i else "left", no_wrap=True)
    for row in rows(times, counted):
        result.add_row(*row)
    return result
