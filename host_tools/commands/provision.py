"""`earnest provision`: tells a board its network, its receiver and its owner's consent.

One connection reads what the board has, so that it works on while its owner thinks; a second one
writes.  The parts: provision_questions (what is asked), personal_files (how it gets onto the board
whole), authority and device_list (the receiver's side).  No option takes a password.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from firmware.satellite import config as configuration
from host_tools.board import personal_data as personal_files
from host_tools.board.personal_data import CONFIG_FILE, Hidden, NotWritten
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import find_port
from host_tools.commands import provision_questions
from host_tools.commands.options import data_option, json_option, port_option, yes_option
from host_tools.errors import HostToolError
from host_tools.receiver import authority as authorities
from host_tools.receiver.devices import (
    CA_FILE,
    CERTIFICATE_FILE,
    KEY_FILE,
    Device,
    DeviceList,
)

_FIELDS = ("ssl_key", "ssl_certificate", "ssl_ca")
#: Two sets of names: a new certificate is written beside the one in use.
_FIRST = (KEY_FILE, CERTIFICATE_FILE, CA_FILE)
_SECOND = ("device.2.key.der", "device.2.cert.der", "ca.2.cert.der")
_RENEW_DAYS = 60
_PENDING = ".new"
_MAX_NAME = 40 - len(_PENDING)

EPILOG = """\b
Examples:
  earnest provision                                  asks; the board is found by its USB id
  earnest provision --port /dev/ttyACM0 --data recordings
  earnest provision --from boards.json --name kitchen --yes

Run it again to change something: Enter keeps what the board has.  The password is typed without
echo, is never an option, and is shown nowhere.  --from FILE is a JSON object with the fields of
docs/configuration.md; keep it for yourself (chmod 600), it holds the password.
"""


@dataclass(frozen=True)
class Present:
    """What the board has now; `config` is None where there is none that can be read."""

    config: Any
    text: bytes | None = field(repr=False)  # holds the password
    names: list[str]
    certificate: bytes | None
    authority: bytes | None
    has_key: bool


@click.command("provision", epilog=EPILOG)
@port_option
@click.option(
    "--from",
    "source",
    type=click.Path(dir_okay=False, path_type=Path),
    help="JSON file with the answers, for many boards; mode 0600.",
)
@data_option
@click.option("--name", help="The board's name in the receiver's list; it never leaves it.")
@click.option("--new-certificate", is_flag=True, help="Renew the certificate though it is good.")
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
    """Set a board up for its owner: Wi-Fi, receiver, certificate, consent.  Shows what will be
    written, asks, writes it whole or not at all, and reads it back."""
    say = _teller(as_json)
    given = provision_questions.from_file(source, name) if source is not None else None
    port = find_port(port)
    with SerialLink(port) as link:
        present = look(link)
    if present.config is None and present.text is not None:
        say("The board's config.json is damaged; what it said is replaced.")
    current = present.config or configuration.Config.defaults()
    authority = authorities.open_or_make(data / "authority")
    receiver_name = authority.server_context(None)[1]
    if given is None:
        given = provision_questions.ask(current, receiver_name, as_json)
    elif present.config is None:
        given.setdefault("receiver_name", receiver_name)
    installed = [name[7:-4] for name in present.names if name.startswith("models/")]
    if installed and not set(current.models) <= set(installed):
        given.setdefault("models", installed[:4])  # what `earnest install` put there
    config = provision_questions.checked(current, given)

    devices = DeviceList(data / "devices.json")
    device = devices.find(present.certificate) if present.certificate else None
    renews = bool(config.receiver_host) and (
        new_certificate
        or device is None
        or not present.has_key
        or present.authority != authority.certificate_der
        or device.days_left < _RENEW_DAYS
    )
    known_as = device.name.removesuffix(_PENDING) if device else None
    if renews:
        known_as = _choose_name(devices, known_as, name, source is None, as_json)
        named = zip(_FIELDS, _free_names(present), strict=True)
        config = config.changed(**dict(named))
    text = config.to_json().encode()
    if len(text) > configuration.MAX_BYTES:
        raise HostToolError(f"the configuration has {len(text)} bytes", "shorten its texts")

    say(f"\nThe board on {port}:")
    for what, value in provision_questions.listing(config):
        say(f"  {what:24} {value}")
    kept = f"as it is, valid until {device.expires}" if device else "none"
    say(f"  {'certificate':24} " + (f"a new one, for {known_as!r}" if renews else kept))
    facts = {"port": port, "config": provision_questions.facts(config), "device": known_as}
    if not renews and text == present.text:
        say("The board has all this already: nothing written.")
        return _end(as_json, {**facts, "written": False})
    if not is_sure and not click.confirm("Write this to the board?", True, err=as_json):
        say("nothing written")
        return _end(as_json, {**facts, "written": False})

    with SerialLink(port) as link:
        hidden = Hidden(tuple(s for s in (config.wifi_password, current.wifi_password) if s))
        if renews:
            assert known_as is not None
            signed = (devices, authority, known_as)
            device = _write_with_certificate(link, config, signed, device, hidden, say)
        else:
            personal_files.write_set(link, {CONFIG_FILE: text}, hidden, say)
        _tidy(link, config)
        link.restart_on_leave()
    say("The board starts again with it.")
    if config.receiver_host:
        say("next: earnest receive")
    return _end(
        as_json,
        {**facts, "written": True, "certificate_expires": device.expires if device else None},
    )


def look(link) -> Present:
    """Read what the board has; of the key only that it is there.  Raises HostToolError."""
    names = personal_files.names(link)
    text = link.get(CONFIG_FILE, personal_files.MAX_FILE_BYTES)
    config = None
    with contextlib.suppress(configuration.ConfigError):
        if text is not None:
            config = configuration.Config.from_json(text)
    used = config or configuration.Config.defaults()
    return Present(
        config,
        text,
        names,
        link.get(used.ssl_certificate, personal_files.MAX_FILE_BYTES),
        link.get(used.ssl_ca, personal_files.MAX_FILE_BYTES),
        used.ssl_key in names,
    )


def _choose_name(
    devices: DeviceList, known_as: str | None, name: str | None, may_ask: bool, err: bool
) -> str:
    """The device's name: given, asked for, or the one it has.  Raises HostToolError."""
    taken = {device.name.removesuffix(_PENDING) for device in devices.all()} - {known_as}
    chosen = name or known_as
    if chosen is None and may_ask:
        words = "\nA name for this board, only for your receiver's list"
        while not chosen or chosen in taken:
            if chosen:
                click.echo(f"there is a device {chosen!r} already", err=True)
            chosen = click.prompt(words, default=None if "satellite" in taken else "satellite")
    if chosen is None:
        raise HostToolError("the board needs a name in the receiver's list", "--name kitchen")
    if chosen in taken:
        raise HostToolError(
            f"there is a device {chosen!r} already",
            f"choose another --name, or earnest devices remove {chosen}",
        )
    if len(chosen) > _MAX_NAME:
        raise HostToolError(f"the name {chosen!r} is too long", f"at most {_MAX_NAME} letters")
    return chosen


def _free_names(present: Present) -> tuple[str, str, str]:
    """File names for a new certificate that the present configuration does not use."""
    if present.config is None:
        return _FIRST
    used = {getattr(present.config, field) for field in _FIELDS}
    return _SECOND if used & set(_FIRST) else _FIRST


def _write_with_certificate(
    link,
    config: Any,
    signed: tuple[DeviceList, authorities.Authority, str],
    old: Device | None,
    hidden: Hidden,
    say: Callable[[str], None],
) -> Device:
    """Sign, list, write; the old certificate is refused only when the board has the new one.

    The key is made here, lies in a folder of its own while it is copied, and is then only on the
    board.
    """
    devices, authority, name = signed
    pending = name + _PENDING
    if any(device.name == pending and device != old for device in devices.all()):
        devices.remove(pending)  # of an attempt that failed
    if old is not None and old.name == pending:
        devices.rename(pending, name)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "device"
        device = devices.add(pending, authority, folder)
        try:
            content = [(folder / file_name).read_bytes() for file_name in _FIRST]
            files = {getattr(config, f): c for f, c in zip(_FIELDS, content, strict=True)}
            files[CONFIG_FILE] = config.to_json().encode()
            personal_files.write_set(link, files, hidden, say)
        except NotWritten as error:
            if error.is_known:
                devices.remove(pending)
            raise
        except KeyboardInterrupt:
            devices.remove(pending)
            raise
    if old is not None:
        devices.remove(old.name.removesuffix(_PENDING))
    devices.rename(pending, name)
    return device


def _tidy(link, config: Any) -> None:
    """Remove certificates and keys that the configuration no longer names, and halves of files."""
    used = {CONFIG_FILE, *(getattr(config, field) for field in _FIELDS)}
    plain = {
        name: name.removesuffix(personal_files.TEMPORARY) for name in personal_files.names(link)
    }
    old = [
        name
        for name in plain
        if personal_files.is_personal(name)
        and name not in used
        and (plain[name].endswith(".der") or plain[name] in used)
    ]
    personal_files.remove(link, old)


def _teller(as_json: bool) -> Callable[[str], None]:
    return lambda text: click.echo(text, err=as_json)


def _end(as_json: bool, facts: dict[str, Any]) -> int:
    if as_json:
        click.echo(json.dumps(facts))
    return 0
