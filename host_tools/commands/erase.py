"""`earnest erase`: delete all personal data from a board, and show what is left."""

from __future__ import annotations

import json
from pathlib import Path

import click

from host_tools.board.eraser import Erased, erase, in_order
from host_tools.board.inventory import take_inventory
from host_tools.board.personal_data import CONFIG_FILE, is_system
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import find_port
from host_tools.commands.options import data_option, json_option, port_option, yes_option
from host_tools.receiver.devices import DeviceList

_CONSENT = "consent.state"

EPILOG = """\b
Examples:
  earnest erase
  earnest erase --port /dev/ttyACM0 --yes

The audit log is deleted too; save it first with `earnest audit --port PORT --export FOLDER`.
Recordings are on the receiver; delete them with `earnest recordings delete --all`.  Somebody who
removes the flash chip can still read deleted files; `earnest flash` erases the whole chip.
"""


@click.command("erase", epilog=EPILOG)
@port_option
@data_option
@yes_option
@json_option
def command(port: str | None, data: Path, is_sure: bool, as_json: bool) -> int:
    """Delete all personal data from a board: Wi-Fi, receiver, key, certificates, consent, mute
    state and audit log.  Lists it and asks first.  Firmware and models stay; the receiver refuses
    the board's certificate from then on."""
    port = find_port(port)
    devices = DeviceList(data / "devices.json")
    with SerialLink(port) as link:
        present = take_inventory(link)
    going = in_order(present)
    device = devices.find(present.certificate) if present.certificate else None
    if going:
        click.echo(f"Personal data on the board on {port}:", err=as_json)
        for name in going:
            click.echo(f"  {name}", err=as_json)
    if device is not None:
        click.echo(f"Your receiver will refuse its certificate ({device.name}).", err=as_json)
    if _CONSENT in going:
        click.echo(
            "Your receiver may have kept recordings under this board's consent, and will not be "
            "told:\n  earnest recordings delete --all removes them.",
            err=as_json,
        )
    if going and not is_sure and not click.confirm("Delete it for good?", False, err=as_json):
        click.echo("nothing erased", err=as_json)
        return 0
    erased = erase(port, devices, device) if going else Erased([], present.names)
    if as_json:
        report = {"removed": erased.removed, "left": erased.left}
        refused = device.name if device else None
        click.echo(json.dumps({"port": port, **report, "refused": refused}))
        return 0
    others = [name for name in erased.left if not is_system(name)]
    click.echo(f"No personal data is left on the board; {len(erased.removed)} files removed.")
    click.echo(f"Left: {len(erased.left) - len(others)} files of firmware, board and models.")
    for name in others:
        kept = "the wake words, and nothing else" if name == CONFIG_FILE else "not ours, kept"
        click.echo(f"  {name}: {kept}")
    click.echo("The board starts muted and knows no network until it is provisioned again.")
    return 0
