"""`earnest log`: what a device recorded last, without stopping it."""

from __future__ import annotations

import json
import time

import click

from host_tools.board.audit_log import describe
from host_tools.board.console import Live
from host_tools.board.serial_port import LineLostError, LinkError
from host_tools.commands.options import json_option, port_option

FOLLOW_S = 2.0
MAX_SILENT = 10

EPILOG = """\b
Examples:
  earnest log
  earnest log --follow

The records are the newest of the audit log; whether the log is whole, `earnest audit --port` says.
"""


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@port_option
@click.option(
    "--follow", "-f", is_flag=True, help="Go on and show what is recorded, until Ctrl-C."
)
@json_option
def command(port: str | None, follow: bool, as_json: bool) -> None:
    """Show the newest 20 records and the error that last stopped the firmware.

    With --json a line for each record.
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
            for record in log["records"]:
                if record.get("seq", 0) > shown:
                    shown = record.get("seq", 0)
                    click.echo(json.dumps(record) if as_json else describe(record))
            if not follow:
                break
            time.sleep(FOLLOW_S)
    if as_json:
        click.echo(json.dumps({"last_error": log["last_error"]}))
    elif log["last_error"]:
        click.echo(f"last error: {log['last_error']}")
    elif not log["records"]:
        click.echo("nothing was recorded")
