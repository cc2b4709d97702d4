"""`earnest monitor`: show a board live, several times a second, without stopping it."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass, field

import click
from rich.console import Console
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from host_tools.board.answers import Levels
from host_tools.board.console import START_AGAIN, Live
from host_tools.board.serial_port import LineLostError, LinkError
from host_tools.commands.options import json_option, port_option
from host_tools.errors import INTERRUPTED

DEFAULT_HZ = 5.0
BAR = 40
BAD = 1
STOPPED = "STOPPED"
MIN_DB = -72.0
_WRAP_MASK = (1 << 30) - 1
MAX_SILENT = 5

EPILOG = """\b
Examples:
  earnest monitor
  earnest monitor --json --seconds 10 > levels.jsonl

\b
Say the wake word: the probability should cross the cutoff mark.  If the level does not move while
you speak, test the microphone: earnest mic.
Ctrl-C stops the command and does not disturb the board.  Exit status 1 when the board is stopped.
"""

_COLOURS = {"MUTED": "red", "IDLE": "green", "STREAMING": "blue"}


@dataclass
class Shares:
    """CPU share out of two answers in a row; both counters wrap at 2**30 microseconds."""

    last: tuple[int, int] | None = None
    lost: int = 0
    history: list[float] = field(default_factory=list)

    def update(self, levels: Levels) -> float | None:
        """Share of a core spent on audio since the answer before, 0..1; None for the first."""
        now = (levels["busy_us"], levels["at_us"])
        last, self.last = self.last, now
        if last is None:
            return None
        elapsed = (now[1] - last[1]) & _WRAP_MASK
        return ((now[0] - last[0]) & _WRAP_MASK) / elapsed if elapsed else None


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@port_option
@click.option(
    "--seconds", type=click.FloatRange(0.1), help="Stop after this time. [default: at Ctrl-C]"
)
@click.option(
    "--hz",
    type=click.FloatRange(0.2, 10),
    default=DEFAULT_HZ,
    show_default=True,
    help="Updates per second.",
)
@json_option
def command(port: str | None, seconds: float | None, hz: float, as_json: bool) -> int:
    """Show level, probability against the cutoff, state, light, CPU share and lost audio, live.

    --json prints one line per update. The device sends numbers only, never audio.
    """
    watch = Watch(math.inf if seconds is None else time.monotonic() + seconds, hz, as_json)
    status = 0
    try:
        watch.run(port)
    except KeyboardInterrupt:
        status = INTERRUPTED
    if watch.state is None and watch.why_silent is not None:
        raise watch.why_silent
    is_stopped = watch.state == STOPPED
    if is_stopped:
        click.echo(f"\nended; the board is stopped: {START_AGAIN}", err=True)
    elif not as_json:
        click.echo("\nstopped watching; the board keeps running")
    return status or (BAD if is_stopped else 0)


@dataclass
class Watch:
    """Asks and shows until the time `end`, in seconds of the monotonic clock.

    `state` is the board's last one, None before its first answer; `why_silent` the last error.
    """

    end: float
    hz: float
    as_json: bool
    state: str | None = None
    why_silent: LinkError | None = None

    def run(self, port: str | None) -> None:
        """Raises LinkError after MAX_SILENT questions without an answer."""
        shares = Shares()
        silent = 0
        with Live(port) as live:
            console = Console(stderr=self.as_json)
            with Screen(console=console, auto_refresh=False, transient=self.as_json) as screen:
                while time.monotonic() < self.end:
                    began = time.monotonic()
                    try:
                        levels: Levels = live.ask(
                            "levels", timeout_s=1.0 + 1 / self.hz, attempts=1
                        )
                        silent = 0
                    except LineLostError:
                        raise
                    except LinkError as error:
                        self.why_silent = error
                        silent += 1  # noise, or a device that restarts
                        if silent == MAX_SILENT:
                            raise
                        continue
                    self.state = levels["state"]
                    if self.state != STOPPED:
                        levels["cpu_share"] = shares.update(levels)
                    if self.as_json:
                        click.echo(json.dumps(levels))
                    else:
                        screen.update(panel(levels), refresh=True)
                    left = min(self.end, began + 1 / self.hz) - time.monotonic()
                    time.sleep(max(0.0, left))


def decibels(peak: int) -> float:
    """Of full scale."""
    return max(MIN_DB, 20 * math.log10(peak / 32768)) if peak else MIN_DB


def bar(share: float, mark: float | None = None) -> str:
    """A bar of BAR characters, with a mark."""
    full = round(max(0.0, min(1.0, share)) * BAR)
    cells = ["█"] * full + ["·"] * (BAR - full)
    if mark is not None:
        cells[min(BAR - 1, round(mark * BAR))] = "|"
    return "".join(cells)


def panel(levels: Levels) -> Table:
    """Return what people see."""
    table = Table(box=None, show_header=False, pad_edge=False)
    state = levels["state"]
    if state == STOPPED:
        table.add_row("state", Text(f"STOPPED: {START_AGAIN}", style="bold red"))
        return table
    colour = _COLOURS.get(state, "yellow")
    table.add_row("state", Text(state, style=f"bold {colour}"))
    light = levels["light"]
    words = f"shows {light['state']}" if light["ok"] else "CANNOT BE DRIVEN"
    table.add_row("light", Text(words, style=_COLOURS.get(light["state"] or "", "yellow")))
    if levels["mic"]:
        level = decibels(levels["peak"])
        table.add_row("level", f"{bar(1 - level / MIN_DB)} {level:6.1f} dB")
        for name, probability, cutoff in zip(
            levels["models"], levels["probability"], levels["cutoff"], strict=True
        ):
            share = bar(probability / 255, cutoff / 255)
            table.add_row(name, f"{share} {probability / 255:6.2f}, cutoff {cutoff / 255:.2f}")
    else:
        is_speaking = levels.get("speaker", False)
        words = "the microphone is off" + (": the loudspeaker is on" if is_speaking else "")
        table.add_row("level", words)
    cpu = levels.get("cpu_share")
    table.add_row("CPU", "" if cpu is None else f"{cpu:.1%} of a core, for audio")
    lost = levels["overruns"]
    table.add_row("lost", Text(f"{lost} overruns", style="bold red" if lost else ""))
    table.add_row("receiver", "connected" if levels["connected"] else "not connected")
    return table
