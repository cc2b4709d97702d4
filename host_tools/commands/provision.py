"""`earnest provision`: tell a board its network, its receiver and its owner's consent.

One connection reads what the board has, so that it works on while its owner thinks; a second one
writes.  No option takes a password.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from firmware.satellite.config import Config
from host_tools.board.inventory import Inventory, take_inventory
from host_tools.board.provisioner import Receiver, carry_out, plan
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import find_port
from host_tools.board.wanted_config import checked, from_file
from host_tools.commands import provision_questions
from host_tools.commands.options import data_option, json_option, port_option, yes_option
from host_tools.errors import HostToolError
from host_tools.places import earnest
from host_tools.receiver import authority
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.owner_withdrawals import OwnerWithdrawal, OwnerWithdrawals

EPILOG = """\b
Examples:
  earnest provision                                  (asks)
  earnest provision --port /dev/ttyACM0 --data /srv/earnest
  earnest provision --from boards.json --name kitchen --yes

Run it again to change something: Enter keeps what the board has.  The password is typed without
echo, cannot be given as an option, and is shown nowhere.  --from FILE is a JSON object with the
fields of docs/configuration.md.  A file with the password in it must be readable only by you:
chmod 600.
"""


@click.command("provision", epilog=EPILOG)
@port_option
@click.option(
    "--from",
    "source",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file with the answers, for many boards; readable only by you (mode 0600).",
)
@data_option
@click.option("--name", help="The board's name in the receiver's list; it is never sent.")
@click.option(
    "--new-certificate", is_flag=True, help="Renew the certificate even if it is still valid."
)
@yes_option
@json_option
def command(
    port: str | None,
    source: Path | None,
    data: Path,
    name: str | None,
    new_certificate: bool,
    is_sure: bool,
    as_json: bool,
) -> int:
    """Set a board up for its owner: Wi-Fi, receiver, wake words, consent, certificate.

    Shows what will be written, asks, writes all of it or nothing, and verifies it.
    """

    def say(text: str) -> None:
        click.echo(text, err=as_json)

    given = from_file(source, name) if source is not None else None
    port = find_port(port)
    with SerialLink(port) as link:
        present = take_inventory(link)
    if present.config is None and present.text is not None:
        say("The board's config.json is damaged and will be replaced.")
    current = present.config or Config.defaults()
    receiver = Receiver(
        authority.open_or_make(data / "authority"), DeviceList(data / "devices.json")
    )
    if receiver.ca.is_new:
        say(
            f"Made a new CA in {receiver.ca.folder}; "
            "boards provisioned with another CA do not connect to it."
        )
    receiver_name = receiver.ca.server_context(None)[1]
    waiting, is_its = _waiting(data, receiver.devices, present)
    if given is None:
        taken_back = _taken_back(present, waiting, is_its)
        given = provision_questions.ask(
            current, present.models, receiver_name, present.has_speaker, taken_back, as_json
        )
    else:
        if present.is_withdrawn:
            _leave_withdrawn(given)
        if present.config is None:
            given.setdefault("receiver_name", receiver_name)
    config = checked(current, given, present.models)
    planned = plan(present, config, receiver, _name_chooser(name, source is None), new_certificate)

    say(f"\nThe board on {port}:")
    listing = provision_questions.listing(planned.config, present.models, present.has_speaker)
    for what, value in listing:
        say(f"  {what:24} {value}")
    kept = f"as it is, valid until {planned.device.expires}" if planned.device else "none"
    say(
        f"  {'certificate':24} " + (f"a new one, for {planned.name!r}" if planned.renews else kept)
    )
    if planned.gives_again:
        say("Consent was withdrawn; you give it again.")
    if waiting is not None and planned.config.keep_recordings:
        if is_its or waiting.name == planned.name:
            say(
                "A withdrawal on the receiver's page waits for this board: it takes the consent "
                "back when the\nboard connects.  Answer again after that."
            )
    facts = {
        "port": port,
        "config": provision_questions.facts(planned.config),
        "device": planned.name,
    }
    if planned.is_nothing:
        say("The board has all this already: nothing written.")
        return _end(as_json, {**facts, "written": False})
    if not is_sure and not click.confirm("Write this to the board?", True, err=as_json):
        say("nothing written")
        return _end(as_json, {**facts, "written": False})
    device = carry_out(port, planned, receiver, say)
    say("Restarting the board with the new configuration.")
    if planned.config.receiver_host:
        say(f"next: {earnest()} receive")
    expires = device.expires if device else None
    return _end(as_json, {**facts, "written": True, "certificate_expires": expires})


def _waiting(
    data: Path, devices: DeviceList, present: Inventory
) -> tuple[OwnerWithdrawal | None, bool]:
    """Return a withdrawal on the page that has yet to reach this board, and whether it is this
    board's for sure: one of a device that is not in the list any more may be."""
    device = devices.find(present.certificate) if present.certificate else None
    pending = [asked for asked in OwnerWithdrawals(data).all() if asked.is_pending]
    for asked in pending:
        if device is not None and asked.device == device.id:
            return asked, True
    listed = {other.id for other in devices.all()}
    return next((asked for asked in pending if asked.device not in listed), None), False


def _taken_back(present: Inventory, waiting: OwnerWithdrawal | None, is_its: bool) -> str | None:
    """Say how consent was taken back since it was given, if it was."""
    if present.is_withdrawn:
        return "This board's consent was withdrawn over the network."
    if waiting is None:
        return None
    whose = "This board's consent" if is_its else f"The consent of {waiting.name}"
    maybe = "" if is_its else ", which is not in the list any more, and may be this board"
    return f"{whose} was withdrawn on the receiver's page{maybe}."


def _leave_withdrawn(given: dict[str, Any]) -> None:
    """A file is no answer at the cable: leave it taken back; raises HostToolError."""
    for name in ("keep_recordings", "share_for_training"):
        if given.setdefault(name, False) is True:
            raise HostToolError(
                f"{name}: this board's consent was withdrawn; a file cannot give it again",
                "answer at the cable: `earnest provision` without --from",
            )


def _name_chooser(given: str | None, may_ask: bool) -> Callable[[set[str], str | None], str]:
    """Return what chooses the device's name: the given one, the one it has, or an answer."""

    def choose(taken: set[str], known_as: str | None) -> str:
        chosen = given or known_as
        if chosen is None and may_ask:
            text = "\nA name for this board, only for your receiver's list"
            while not chosen or chosen in taken:
                if chosen:
                    click.echo(f"there is a device {chosen!r} already", err=True)
                chosen = click.prompt(text, default=None if "satellite" in taken else "satellite")
        if chosen is None:
            raise HostToolError("the board needs a name in the receiver's list", "--name kitchen")
        return chosen

    return choose


def _end(as_json: bool, facts: dict[str, Any]) -> int:
    if as_json:
        click.echo(json.dumps(facts))
    return 0
