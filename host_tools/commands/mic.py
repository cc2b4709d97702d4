"""`earnest mic`: whether a device's microphone is well, and what to do."""

from __future__ import annotations

import json

import click
from rich.console import Console
from rich.text import Text

from host_tools.board.answers import MicReport
from host_tools.board.console import Live, run
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import LineLostError, LinkError
from host_tools.commands.options import json_option, port_option

TIMEOUT_S = 8.0
BAD = 1
_LISTENING = "listening for two seconds: say something"

EPILOG = """\b
Examples:
  earnest mic
  earnest mic --json

\b
Speak at arm's length while it measures (two seconds).  Exit status 1 if the microphone is faulty
or must not be used.  This does not unmute a muted device: press its button.
"""


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@port_option
@json_option
def command(port: str | None, as_json: bool) -> int:
    """Measure level, offset, clipping and noise floor; find a dead or swapped channel.

    A running device is measured without stopping it.  A stopped one starts its microphone for two
    seconds, after its light, and only if it is not muted.  The device sends numbers, never audio.
    """
    result = _measure(port, as_json)
    if as_json:
        click.echo(json.dumps(result))
    else:
        show(result, Console(highlight=False, soft_wrap=True))
    return 0 if result["ok"] else BAD


def _measure(port: str | None, is_quiet: bool) -> MicReport:
    """The device's answer; says when to speak, unless `is_quiet`."""
    with Live(port) as live:
        try:
            if not is_quiet and not live.ask("levels").get("muted"):
                click.echo(_LISTENING, err=True)
            heard: MicReport = live.ask("mic", TIMEOUT_S, attempts=2)
            return heard
        except LineLostError:
            raise
        except LinkError:
            pass
    with SerialLink(live.port) as link:
        if not is_quiet:
            click.echo(_LISTENING, err=True)
        measured: MicReport = run(link, "mic", timeout_s=TIMEOUT_S)
        return measured


def show(result: MicReport, console: Console) -> None:
    """For people."""
    style = "bold green" if result["ok"] else "bold red"
    console.print(Text(f"microphone: {result['verdict']}", style=style))
    if result["measured"]:
        console.print(
            f"peak {result['peak']} of 32767, DC {result['dc']}, swing {result['swing']}, "
            f"noise floor {result['noise_floor']}, {result['clipped_samples']} samples clipped, "
            f"{result['chunks'] * 10} ms"
        )
    console.print(result["advice"])
