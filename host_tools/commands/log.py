"""`earnest log`: what a device recorded last, without stopping it."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from host_tools.audit.device_log import describe
from host_tools.board.console import Live
from host_tools.board.serial_port import LineLostError, LinkError
from host_tools.commands.options import json_option, port_option

FOLLOW_S = 2.0
MAX_SILENT = 10

EPILOG = """\b
Examples:
  earnest log
  earnest log --follow

The records are the newest of the audit log; `earnest audit --port` verifies the whole log.
"""


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@port_option
@click.option("--follow", "-f", is_flag=True, help="Keep showing new records until Ctrl-C.")
@json_option
def command(port: str | None, follow: bool, as_json: bool) -> None:
    """Show the newest 20 records and the error that last stopped the firmware.

    Records since the device's last start show the time by this computer's clock. Older ones show
    the milliseconds since their start. --json prints one record per line.
    """
    shown: int = -1
    silent = 0
    with Live(port) as live:
        while True:
            try:
                log = live.ask("log", attempts=1 if follow and shown >= 0 else 3)
                silent = 0
            except LineLostError:
                raise
            except LinkError:
                silent += 1
                if not follow or shown < 0 or silent == MAX_SILENT:
                    raise
                continue
            for record, unix_s in times(log, time.time()):
                if record.get("seq", 0) > shown:
                    shown = record.get("seq", 0)
                    text = json.dumps({**record, "time": unix_s})
                    click.echo(text if as_json else describe(record, unix_s))
            if not follow:
                break
            time.sleep(FOLLOW_S)
    if as_json:
        click.echo(json.dumps({"last_error": log["last_error"]}))
    elif log["last_error"]:
        click.echo(f"last error: {log['last_error']}")
    elif not log["records"]:
        click.echo("nothing was recorded")


def times(log: dict[str, Any], now_s: float) -> list[tuple[dict[str, Any], float | None]]:
    """Return the records with their Unix times, None for those of an earlier start of the device.

    `log` is the device's answer, got at `now_s`: its `now_ms` counts from the start as `t_ms` of
    the records does.  A device that does not run its firmware does not say it.
    """
    records = log["records"]
    started = [i for i, record in enumerate(records) if record.get("kind") == "boot"]
    first = started[-1] if started else 0
    now_ms = log.get("now_ms")
    found: list[tuple[dict[str, Any], float | None]] = []
    for i, record in enumerate(records):
        age_ms = None if now_ms is None or i < first else now_ms - record.get("t_ms", now_ms)
        found.append((record, None if age_ms is None else round(now_s - age_ms / 1000, 3)))
    return found
