"""`earnest companion`: opens the page of a running receiver."""

from __future__ import annotations

from pathlib import Path

import click

from host_tools.commands.options import data_option
from host_tools.companion.page import has_browser, open_browser
from host_tools.companion.tickets import TICKET_S, Tickets

EPILOG = """\b
Examples:
  earnest companion                  open the page
  earnest companion --no-browser     print a link to it

Whoever may read the receiver's folder may look at the page.  A link works once.
"""


@click.command("companion", epilog=EPILOG)
@data_option
@click.option("--no-browser", is_flag=True, help="Print the link; open nothing.")
def command(data: Path, no_browser: bool) -> int:
    """Open the page of the receiver that runs on this computer, in the browser."""
    tickets = Tickets(data)
    click.echo(tickets.link())
    click.echo(f"works once, within {TICKET_S / 60:.0f} minutes", err=True)
    if not no_browser and has_browser():
        open_browser(tickets)
    return 0
