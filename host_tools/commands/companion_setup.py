"""`earnest companion --setup`: the questions, and what the owner does next."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import click

from host_tools.companion import factors, set_up
from host_tools.companion.tickets import Tickets
from host_tools.errors import HostToolError
from host_tools.places import earnest
from host_tools.receiver import authority as authorities

_TRIES = 5


def run(data: Path) -> None:
    """Ask for both factors and keep them; raises HostToolError, click.Abort."""
    ca = authorities.open_or_make(data / "authority")
    if factors.path_in(data).exists():
        click.echo("A sign-in is set up already. What you set up now replaces it.")
    click.echo("A browser on another computer will ask for two things.\n")
    click.echo(f"1. A passphrase, {factors.MIN_CHARACTERS} characters or more.")
    passphrase = _ask_passphrase()
    secret = factors.new_secret()
    uri = factors.uri_of(secret, _host_name())
    click.echo("\n2. A code from an app for codes (Aegis, 2FAS, Google Authenticator, iOS).")
    click.echo("   Scan this, or type the secret there:\n")
    click.echo(set_up.qr_text(uri))
    click.echo(f"   secret: {_in_fours(secret)}")
    with set_up.offered(data, uri):
        link = _page_link(data)
        if link:
            click.echo(f"   The page on this computer shows it larger: {link}")
        step = _ask_code(secret)
    set_up.keep(data, passphrase, secret, step)
    click.echo("\nSet up. Whoever was in has to sign in again.")
    click.echo(f"CA certificate: {(ca.folder / authorities.CERTIFICATE_FILE).absolute()}")
    click.echo(f"its SHA-256:    {authorities.colons(ca.fingerprint)}")
    click.echo(f"Next: {earnest()} receive --page-host ADDRESS   (of this computer, or 0.0.0.0)")


def _ask_passphrase() -> str:
    for _ in range(_TRIES):
        passphrase: str = click.prompt(
            "   Passphrase",
            hide_input=True,
            confirmation_prompt="   Again",
            default="",
            show_default=False,
        )
        problem = factors.weakness(passphrase)
        if problem is None:
            return passphrase
        click.echo(f"   {problem}")
    raise HostToolError("no passphrase was set", "nothing has changed; begin again")


def _ask_code(secret: str) -> int:
    """Return the step of a code of the secret."""
    for _ in range(_TRIES):
        code = click.prompt("   The code that it shows now", default="", show_default=False)
        found = factors.Factors("", secret, 0.0, 0).step_of(code.replace(" ", ""), time.time())
        if found is not None:
            return found
        click.echo("   That is not the code. Does this computer's clock show the right time?")
    raise HostToolError("no code was right", "nothing has changed; begin again")


def _page_link(data: Path) -> str | None:
    try:
        return Tickets(data).link()
    except HostToolError:  # no receiver runs
        return None


def _host_name() -> str:
    name = "".join(c for c in socket.gethostname() if c.isascii() and (c.isalnum() or c in "-."))
    return name or "receiver"


def _in_fours(secret: str) -> str:
    return " ".join(secret[i : i + 4] for i in range(0, len(secret), 4))
