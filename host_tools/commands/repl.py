"""`earnest repl`: MicroPython's prompt on a board, through mpremote's own terminal."""

from __future__ import annotations

import shlex
import subprocess
import sys

import click

from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import find_port
from host_tools.commands.options import port_option
from host_tools.errors import HostToolError


@click.command("repl")
@port_option
@click.option("--dry-run", is_flag=True, help="Print mpremote's command line; do nothing.")
def command(port: str | None, dry_run: bool) -> int:
    """Open the MicroPython prompt of a board, in mpremote's terminal.

    Ctrl-C stops the firmware and shows the prompt, Ctrl-D starts it again, Ctrl-] or Ctrl-X
    leaves.  The firmware stays stopped if you leave while it is: press Ctrl-D first.

    \b
    At the prompt:
      import diag; diag.status()

    \b
    Examples:
      earnest repl
      earnest repl --port /dev/ttyACM0
    """
    device = find_port(port)
    call = [sys.executable, "-m", "mpremote", "connect", device, "repl"]
    if dry_run:
        click.echo(shlex.join(call))
        return 0
    SerialLink.check_port(device)
    if not sys.stdin.isatty():
        raise HostToolError(
            "repl needs a terminal to type at", "a program can ask: earnest status --json"
        )
    return subprocess.call(call)
