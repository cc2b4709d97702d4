"""`earnest devices`: which devices may connect to this receiver."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from host_tools.answers.timers import Timer
from host_tools.answers.timers import read as read_timers
from host_tools.audit.results import Results
from host_tools.commands.options import data_option, json_option
from host_tools.commands.tables import say, show
from host_tools.home.identity import DEFAULT_PORT, IdentityBook
from host_tools.receiver import authority, recording
from host_tools.receiver.devices import Device, DeviceList, check_name
from host_tools.receiver.owner_withdrawals import OwnerWithdrawal, OwnerWithdrawals
from host_tools.receiver.statuses import Statuses, ToldStatus

EPILOG = """\b
Examples:
  earnest devices list
  earnest devices add kitchen -o kitchen     a key and certificates, to be copied by hand
  earnest devices remove kitchen             a lost or stolen device
  earnest devices home-key kitchen           what Home Assistant asks for when it is added

`earnest provision` adds a board by itself.  Names stay in this list; they never travel.
"""


@click.group("devices", epilog=EPILOG)
def command() -> None:
    """List, add and remove the devices that may connect to this receiver."""


@command.command("list")
@data_option
@json_option
def list_devices(data: Path, as_json: bool) -> int:
    """List the devices, when their certificates expire, the status that each told last, and the
    timers that were set there."""
    columns = {
        "device": "name",
        "certificate expires": "expires",
        "told last": "summary",
        "timers": "timers",
    }
    statuses, timers = Statuses(data), read_timers(data)
    withdrawals = OwnerWithdrawals(data)
    rows = [
        {
            **_row(device, statuses.of(device.id), withdrawals.of(device.id), as_json),
            "timers": _timers([t for t in timers if t.device == device.id], as_json),
        }
        for device in _listed(data).all()
    ]
    show(as_json, rows, columns, "devices")
    return 0


def _row(
    device: Device, told: ToldStatus | None, withdrawal: OwnerWithdrawal | None, as_json: bool
) -> dict[str, Any]:
    """Return a device's line of the table; for programs with every field of its status."""
    row = asdict(device)
    if as_json:
        status = asdict(told.status) if told is not None else None
        taken = None if withdrawal is None else _times(withdrawal)
        told_at = told and recording.text(told.told_s)
        return {**row, "status": status, "told": told_at, "withdrawal": taken}
    summary = "nothing" if told is None else _summary(told)
    if withdrawal is not None and withdrawal.is_pending:
        summary += "; its consent is withdrawn, which it has yet to confirm"
    return {**row, "summary": summary}


def _times(withdrawal: OwnerWithdrawal) -> dict[str, str | None]:
    """Return when consent was withdrawn on the page, and when the device confirmed that."""
    confirmed_s = withdrawal.confirmed_s
    confirmed = None if confirmed_s is None else recording.text(confirmed_s)
    return {"asked": recording.text(withdrawal.asked_s), "confirmed": confirmed}


def _summary(told: ToldStatus) -> str:
    status = told.status
    state = "muted" if status.muted else "listening" if status.listening else "not listening"
    sound = f"volume {status.volume} %" if status.speaker else "no speaker"
    return f"{state}, {sound}, {recording.text(told.told_s)}"


def _timers(timers: list[Timer], as_json: bool) -> str | list[dict[str, Any]]:
    """Return a device's timers, the next one first: "pizza 4:10, 59:00"; for programs whole."""
    timers = sorted(timers, key=lambda timer: timer.due_wall_s)
    if as_json:
        return [
            {"name": t.name, "duration_s": t.duration_s, "due": recording.text(t.due_wall_s)}
            for t in timers
        ]
    return ", ".join(f"{t.name} {_left(t.due_wall_s - time.time())}".strip() for t in timers)


def _left(seconds: float) -> str:
    if seconds <= 0:
        return "over"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


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
    Statuses(data).forget(removed.id)
    Results(data).forget(removed.id)
    facts = {"removed": removed.name}
    say(
        as_json,
        facts,
        f"{removed.name} is refused from now on; its recordings stay until they "
        "expire, or: earnest recordings delete --unlisted",
    )
    return 0


@command.command("home-key")
@click.argument("name")
@click.option("--new", "is_new", is_flag=True, help="Make a new key, and refuse the old one.")
@data_option
@json_option
def home_key(name: str, is_new: bool, data: Path, as_json: bool) -> int:
    """Print the key that Home Assistant asks for when a device is added to it.

    `earnest receive --home-assistant` offers the device. The key stays in a file of the receiver
    that only you may read.
    """
    id = _listed(data).named(name).id
    book = IdentityBook(data)
    identity = book.renew_key(id) if is_new else book.of(id)
    port = DEFAULT_PORT + identity.place
    facts = {"device": name, "key": identity.key_text, "port": port, "mac": identity.mac}
    say(as_json, facts, identity.key_text)
    if not as_json:
        click.echo(
            f"Add {name} to Home Assistant as an ESPHome device: port {port}, unless --home-port "
            "says otherwise, and this key.",
            err=True,
        )
    return 0


def _listed(data: Path) -> DeviceList:
    return DeviceList(data / "devices.json")
