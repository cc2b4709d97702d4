"""What `earnest provision` asks, in plain words, and what it reads from a file instead.

Place: between the person and satellite.config, which checks every answer.  A password is typed
without echo and is in no text that leaves this module: not in an error, not in a listing.
"""

from __future__ import annotations

import difflib
import json
import socket
import stat
from pathlib import Path
from typing import Any

import click

from firmware.satellite import config as configuration
from host_tools.errors import HostToolError

PASSWORD = "wifi_password"
NONE = "-"
#: Chosen by provision itself.
_OURS = ("ssl_certificate", "ssl_key", "ssl_ca")
_BOARDS = "boards"
_HINTS = {"receiver_host": "no spaces; an IP address is surest"}


def ask(current: Any, receiver_name: str, err: bool) -> dict[str, Any]:
    """The owner's answers as fields of the configuration; Enter keeps what is in brackets."""
    answers: dict[str, Any] = {}
    click.echo(f'Enter keeps what is in brackets; "{NONE}" means none.', err=err)
    answers["wifi_ssid"] = _ask_field("Wi-Fi network", "wifi_ssid", current.wifi_ssid, err)
    if answers["wifi_ssid"]:
        is_known = answers["wifi_ssid"] == current.wifi_ssid and bool(current.wifi_password)
        answers[PASSWORD] = _ask_password(current.wifi_password if is_known else "", err)
    else:
        answers[PASSWORD] = ""
    host = current.receiver_host or _this_computer()
    words = "Receiver: address of the computer that runs `earnest receive`"
    answers["receiver_host"] = _ask_field(words, "receiver_host", host, err)
    if answers["receiver_host"]:
        port = current.receiver_port
        answers["receiver_port"] = _ask_field("Its port", "receiver_port", port, err)
        answers["receiver_name"] = _ask_field(
            "The name in its certificate", "receiver_name", receiver_name, err
        )
    click.echo(
        "\nAfter the wake word your sentence goes to your receiver, and to nobody else. When it "
        "is\nanswered, the sound is forgotten. You may allow more; you can take it back later, "
        "and\nwhat was kept is then deleted.",
        err=err,
    )
    keep = click.confirm(
        "May your receiver keep recordings on its disk?", current.keep_recordings, err=err
    )
    answers["keep_recordings"] = keep
    answers["share_for_training"] = keep and click.confirm(
        "May they be marked as usable for training wake words? Nothing is uploaded by Earnest.",
        current.share_for_training,
        err=err,
    )
    answers["muted_on_boot"] = click.confirm(
        "Shall it start muted whenever it gets power? (No: as it was before.)",
        current.muted_on_boot,
        err=err,
    )
    return answers


def from_file(path: Path, name: str | None, err: bool = True) -> dict[str, Any]:
    """The fields that a JSON file gives for the board `name`; raises HostToolError.

    {"wifi_ssid": ..., "boards": {"kitchen": {"brightness": 20}}}: the fields for all boards, and
    those of one board over them.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        with path.open("rb") as file:
            text = file.read(1 << 20)
    except OSError as error:
        raise HostToolError(f"cannot read {path}: {error.strerror}", "name a JSON file") from None
    if mode & 0o077:
        click.echo(
            f"warning: others on this computer may read {path} (mode {mode:04o}), and the Wi-Fi "
            f"password in it\nhint: chmod 600 {path}",
            err=True,
        )
    try:
        values = json.loads(text.decode("utf-8"), object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise HostToolError(
            f"{path} is not JSON: {where}", 'as in {"wifi_ssid": "my network"}'
        ) from None
    except (ValueError, RecursionError):
        raise HostToolError(f"{path} is not JSON in UTF-8", "") from None
    boards = values.pop(_BOARDS, {}) if isinstance(values, dict) else {}
    if not isinstance(values, dict) or not isinstance(boards, dict):
        raise HostToolError(
            f"{path} must hold one JSON object", 'as in {"wifi_ssid": "my network"}'
        )
    if boards and name not in boards:
        words = (
            f"there is no board {name!r} in {path}" if name else f"which of the boards in {path}?"
        )
        raise HostToolError(words, "--name with one of: " + ", ".join(boards))
    own = boards.get(name, {})
    if not isinstance(own, dict):
        raise HostToolError(f"{path}: boards.{name} must be a JSON object", "")
    values = {**values, **own}
    for field in values:
        if field in _OURS:
            raise HostToolError(f"{path}: {field} is chosen by provision", "remove the line")
        if field not in configuration.NAMES:
            # Its value is not shown: it may be a password under a misspelled name.
            near = difflib.get_close_matches(field, configuration.NAMES, 1)
            hint = f"did you mean {near[0]}?" if near else "docs/configuration.md has all fields"
            raise HostToolError(f"{path}: there is no field {field!r}", hint)
    return values


def checked(current: Any, values: dict[str, Any]) -> Any:
    """The configuration with these fields changed; raises HostToolError that shows no secret."""
    ssid = values.get("wifi_ssid", current.wifi_ssid)
    if ssid != current.wifi_ssid and PASSWORD not in values:
        if current.wifi_password:
            raise HostToolError(
                "wifi_ssid changes, and the stored password belongs to the old network",
                'give wifi_password too, "" for an open network',
            )
    try:
        return current.changed(**values)
    except configuration.ConfigError as error:
        words = _without(values.get(PASSWORD), str(error))
        raise HostToolError(words, _HINTS.get(error.field, "")) from None


def listing(config: Any) -> list[tuple[str, str]]:
    """(what, value) of the configuration for people; the password is hidden."""
    ssid, host = config.wifi_ssid, config.receiver_host
    where = f"{host}, port {config.receiver_port}, certificate name {config.receiver_name}"
    if config.insecure:
        where = f"{host}, port {config.receiver_port}, INSECURE: anybody on the way can listen"
    rows = [
        ("Wi-Fi network", ssid or "none: the board stays offline"),
        ("Wi-Fi password", "(hidden)" if config.wifi_password else "none"),
        ("receiver", where if host else "none: nothing is ever sent"),
        ("recordings", "may be kept" if config.keep_recordings else "not kept"),
        ("training", "allowed" if config.share_for_training else "not allowed"),
        ("at power-on", "muted" if config.muted_on_boot else "muted or not, as it was"),
        ("pre-roll", f"{config.preroll_ms} ms"),
        ("wake words", ", ".join(config.models)),
        ("brightness", f"{config.brightness} of 255"),
    ]
    return rows if ssid else [row for row in rows if row[0] != "Wi-Fi password"]


def facts(config: Any) -> dict[str, Any]:
    """All fields for `--json`, secrets hidden."""
    secret = configuration.SECRETS
    values = {name: getattr(config, name) for name in configuration.NAMES}
    return {k: "(hidden)" if k in secret and v else v for k, v in values.items()}


def _ask_field(words: str, field: str, current: Any, err: bool) -> Any:
    """Ask until the answer is one that the configuration allows."""
    while True:
        shown = bool(current)
        answer = click.prompt(words, default=current, show_default=shown, err=err, type=str)
        value: Any = "" if answer == NONE else answer
        if field == "receiver_port" and str(value).isdecimal():
            value = int(value)
        try:
            configuration.Config({field: value})
            return value
        except configuration.ConfigError as error:
            click.echo(f"error: {error}", err=True)
            if field in _HINTS:
                click.echo(f"hint: {_HINTS[field]}", err=True)


def _ask_password(current: str, err: bool) -> str:
    """Ask without echo until it can be a password."""
    known = "Enter keeps the one on the board" if current else "Enter for an open network"
    while True:
        words = f"Wi-Fi password, not shown ({known})"
        answer = click.prompt(
            words, default="", show_default=False, hide_input=True, err=err, type=str
        )
        value = current if not answer else "" if answer == NONE else answer
        try:
            configuration.Config({"wifi_ssid": "x", PASSWORD: value})
            return value
        except configuration.ConfigError as error:
            click.echo(f"error: {error}", err=True)


def _this_computer() -> str:
    """This computer's address in its network, "" when there is none; sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
            return str(probe.getsockname()[0])
        except OSError:
            return ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key stands twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise HostToolError(f"{twice} is given twice", "leave one of them")
    return found


def _without(secret: Any, text: str) -> str:
    return text.replace(secret, "(hidden)") if isinstance(secret, str) and secret else text
