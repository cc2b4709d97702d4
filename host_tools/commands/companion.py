"""`earnest companion`: opens the page of a running receiver."""

from __future__ import annotations

from pathlib import Path

import click

from host_tools.commands import companion_setup
from host_tools.commands.options import data_option
from host_tools.companion import set_up
from host_tools.companion.page import has_browser, open_browser
from host_tools.companion.tickets import TICKET_S, Tickets

EPILOG = """\b
Examples:
  earnest companion                  open the page
  earnest companion --no-browser     print a link to it
  earnest companion --setup          let a browser on another computer sign in
  earnest companion --reset          let none in any more; end every session

Whoever may read the receiver's folder may look at the page.  A link works once.
"""


@click.command("companion", epilog=EPILOG)
@data_option
@click.option("--no-browser", is_flag=True, help="Print the link; open nothing.")
@click.option(
    "--setup",
    "is_set_up",
    is_flag=True,
    help="Set up a passphrase and a code for other computers, or new ones.",
)
@click.option(
    "--reset", "is_reset", is_flag=True, help="Remove both; nobody is signed in any more."
)
def command(data: Path, no_browser: bool, is_set_up: bool, is_reset: bool) -> int:
    """Open the page of the receiver that runs on this computer, in the browser."""
    if is_set_up and is_reset:
        raise click.UsageError("give --setup or --reset, not both")
    if is_set_up:
        companion_setup.run(data)
        return 0
    if is_reset:
        was = set_up.reset(data)
        click.echo("nobody can sign in from another computer" + ("" if was else ": it was so"))
        return 0
    tickets = Tickets(data)
    click.echo(tickets.link())
    click.echo(f"works once, within {TICKET_S / 60:.0f} minutes", err=True)
    if not no_browser and has_browser():
        open_browser(tickets)
    return 0
