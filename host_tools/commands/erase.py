"""`earnest erase`: removes every personal thing from a board, and shows what is left.

The configuration goes first: without it the board knows no network and no receiver.  What goes is
decided by personal_files; firmware, board description and models stay.
"""

from __future__ import annotations

import json
from pathlib import Path

import click

from host_tools.board import personal_data as personal_files
from host_tools.board.raw_repl import uninterrupted
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import find_port
from host_tools.commands import provision
from host_tools.commands.options import data_option, json_option, port_option, yes_option
from host_tools.errors import HostToolError
from host_tools.receiver.devices import DeviceList

_CONSENT = "consent.state"

EPILOG = """\b
Examples:
  earnest erase
  earnest erase --port /dev/ttyACM0 --yes

The audit log goes too; save it before with `earnest audit --port PORT`.  Recordings that your
receiver kept are on the receiver: earnest recordings delete --all.  Files that were removed can
still be read out of a flash chip by someone who takes it apart; earnest flash erases all of it.
"""


@click.command("erase", epilog=EPILOG)
@port_option
@data_option
@yes_option
@json_option
def command(port: str | None, data: Path, is_sure: bool, as_json: bool) -> int:
    """Remove what a board knows of its owner: Wi-Fi, receiver, key, certificates, consent, mute
    state and audit log.  Lists it and asks first; firmware and models stay."""
    port = find_port(port)
    devices = DeviceList(data / "devices.json")
    with SerialLink(port) as link:
        present = provision.look(link)
    going = _in_order(present)
    device = devices.find(present.certificate) if present.certificate else None
    if going:
        click.echo(f"On the board on {port}, to be removed for good:", err=as_json)
        for name in going:
            click.echo(f"  {name}", err=as_json)
    if device is not None:
        click.echo(
            f"Your receiver refuses its certificate ({device.name}) from then on.", err=as_json
        )
    if _CONSENT in going:
        click.echo(
            "Your receiver may have kept recordings under this board's consent, and will not be "
            "told:\n  earnest recordings delete --all removes them.",
            err=as_json,
        )
    if going and not is_sure and not click.confirm("Erase?", False, err=as_json):
        click.echo("nothing erased", err=as_json)
        return 0
    if going:
        with SerialLink(port) as link, uninterrupted():
            going = _in_order(provision.look(link))  # it ran on, and may have written since
            if device is not None:  # first: without its certificate it would not be found again
                devices.remove(device.name)
            personal_files.remove(link, going)
            left = personal_files.names(link)
            link.restart_on_leave()
    else:
        left = present.names
    remaining = [name for name in left if personal_files.is_personal(name)]
    if remaining:
        raise HostToolError(
            "still on the board: " + ", ".join(remaining), "run earnest erase again"
        )
    others = [name for name in left if not personal_files.is_system(name)]
    if as_json:
        removed = {"removed": going, "left": left, "refused": device.name if device else None}
        click.echo(json.dumps({"port": port, **removed}))
        return 0
    click.echo(f"Nothing personal is on the board; {len(going)} files removed.")
    click.echo(f"Left: {len(left) - len(others)} files of firmware, board and models.")
    for name in others:
        click.echo(f"  {name}: not ours, left as it is")
    click.echo("It starts muted and knows no network until it is provisioned again.")
    return 0


def _in_order(present: provision.Present) -> list[str]:
    """The personal files, configuration and keys first: a pulled plug leaves the least."""
    named = set()
    if present.config is not None:
        named = {present.config.ssl_key, present.config.ssl_certificate}
        named.add(present.config.ssl_ca)
    names = [n for n in present.names if personal_files.is_personal(n) or n in named]

    def rank(name: str) -> int:
        if name.startswith(personal_files.CONFIG_FILE):
            return 0
        return 1 if "key" in name else 2 if ".der" in name else 3

    return sorted(names, key=lambda name: (rank(name), name))
