"""`earnest devices`: which devices may connect to this receiver."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from host_tools.commands.options import data_option, json_option
from host_tools.commands.tables import say, show
from host_tools.receiver import authority
from host_tools.receiver.devices import DeviceList, check_name

EPILOG = """\b
Examples:
  earnest devices list
  earnest devices add kitchen -o kitchen     a key and certificates, to be copied by hand
  earnest devices remove kitchen             a lost or stolen device

`earnest provision` adds a board by itself.  Names stay in this list; they never travel.
"""


@click.group("devices", epilog=EPILOG)
def command() -> None:
    """List, add and remove the devices that may connect to this receiver."""


@command.command("list")
@data_option
@json_option
def list_devices(data: Path, as_json: bool) -> int:
    """List the devices and when their certificates expire."""
    columns = {"device": "name", "certificate expires": "expires"}
    show(as_json, [asdict(device) for device in _listed(data).all()], columns, "devices")
    return 0


@command.command("add")
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder for the device's key and certificates.",
)
@data_option
@json_option
def add(name: str, output: Path, data: Path, as_json: bool) -> int:
    """Create a key and a certificate for a device; its name stays in the list."""
    check_name(name)  # before a CA is made for it
    ca = authority.open_or_make(data / "authority")
    if ca.is_new:
        click.echo(f"made a new CA in {ca.folder}", err=True)
    device = _listed(data).add(name, ca, output)
    facts = {"device": device.name, "expires": device.expires, "folder": str(output)}
    say(
        as_json,
        facts,
        f"wrote the key, the certificate and the CA's certificate to {output}; "
        f"valid until {device.expires}",
    )
    return 0


@command.command("remove")
@click.argument("name")
@data_option
@json_option
def remove(name: str, data: Path, as_json: bool) -> int:
    """Refuse a device from now on, also one that is connected; its recordings stay."""
    removed = _listed(data).remove_every(name)
    facts = {"removed": removed.name}
    say(
        as_json,
        facts,
        f"{removed.name} is refused from now on; its recordings stay until they "
        "expire, or: earnest recordings delete --unlisted",
    )
    return 0


def _listed(data: Path) -> DeviceList:
    return DeviceList(data / "devices.json")
