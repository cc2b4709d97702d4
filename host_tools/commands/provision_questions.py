"""What `earnest provision` asks, in plain words, and what it reads from a file instead.

Place: between the person and satellite.config, which checks every answer.  A password is typed
without echo and is in no text that leaves this module: not in an error, not in a listing.
"""

from __future__ import annotations

import difflib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from firmware.satellite import config as configuration
from firmware.satellite.config import Config
from host_tools.board.receiver_address import parse, this_computer
from host_tools.board.sensitivity import LEVELS, Own, setting_of, text_of
from host_tools.board.wake_words import OTHERS
from host_tools.errors import HostToolError

PASSWORD = "wifi_password"
NONE = "-"
#: Chosen by provision itself.
_OURS = ("ssl_certificate", "ssl_key", "ssl_ca")
_BOARDS = "boards"
MAX_WORDS = 4


def ask(
    current: Config, models: Mapping[str, Own | None], receiver_name: str, err: bool
) -> dict[str, Any]:
    """Return the owner's answers as fields of the configuration; Enter keeps what is in brackets.

    Args:
        current: what the board has, whose values are proposed.
        models: what the board can listen for, in the order proposed.
        receiver_name: the name in the receiver's certificate.
        err: ask on standard error, since standard output is for a program.
    """
    answers: dict[str, Any] = {}
    click.echo(f'Enter keeps what is in brackets; "{NONE}" means none.', err=err)
    answers["wifi_ssid"] = _ask_field("Wi-Fi network", "wifi_ssid", current.wifi_ssid, err)
    if answers["wifi_ssid"]:
        is_known = answers["wifi_ssid"] == current.wifi_ssid and bool(current.wifi_password)
        answers[PASSWORD] = _ask_password(current.wifi_password if is_known else "", err)
    else:
        answers[PASSWORD] = ""
    answers |= _ask_receiver(current, receiver_name, err)
    if models:
        answers |= _ask_words(current, models, err)
    click.echo(
        "\nAfter the wake word your sentence is sent to your receiver, and to nobody else. The "
        "audio is\ndiscarded when it has been answered. You may allow more. If you take that back "
        "later, what was\nkept is deleted.",
        err=err,
    )
    keep = click.confirm("May your receiver keep recordings?", current.keep_recordings, err=err)
    answers["keep_recordings"] = keep
    answers["share_for_training"] = keep and click.confirm(
        "May they be marked for training wake words? Earnest uploads nothing.",
        current.share_for_training,
        err=err,
    )
    answers["muted_on_boot"] = click.confirm(
        "Start muted at every power-on? (No: restore the last mute state.)",
        current.muted_on_boot,
        err=err,
    )
    return answers


def _ask_receiver(current: Config, receiver_name: str, err: bool) -> dict[str, Any]:
    text = "Receiver: address of the computer that runs `earnest receive`"
    default = current.receiver_host or this_computer()
    while True:
        answer = click.prompt(text, default, show_default=bool(default), err=err, type=str)
        if answer in (NONE, ""):
            return {"receiver_host": ""}
        try:
            address = parse(answer)
            break
        except HostToolError as error:
            error.show()
    answers: dict[str, Any] = {"receiver_host": address.host, "receiver_port": address.port}
    if address.port is None:
        port = current.receiver_port
        answers["receiver_port"] = _ask_field("Its port", "receiver_port", port, err)
    answers["receiver_name"] = _ask_field(
        "The name in its certificate", "receiver_name", receiver_name, err
    )
    return answers


def _ask_words(current: Config, models: Mapping[str, Own | None], err: bool) -> dict[str, Any]:
    """The wake words, of those that are on the board, and how sensitive each shall be."""
    words = words_of(current, models)
    click.echo(f"\nWake words on the board: {', '.join(models)}; {OTHERS}", err=err)
    while len(models) > 1:
        answer = click.prompt("Wake words, separated by commas", ",".join(words), err=err)
        chosen = [word.strip() for word in answer.split(",") if word.strip()]
        unknown = [word for word in chosen if word not in models]
        if chosen and not unknown and len(chosen) == len(set(chosen)):
            words = chosen
            break
        click.echo(f"error: not on the board, or named twice: {', '.join(unknown)}", err=True)
    sensitivity = {}
    for word in words:
        own, setting = models[word], current.sensitivity.get(word, {})
        if own is not None:
            now = text_of(setting, own)
            choice = click.Choice(list(dict.fromkeys([*LEVELS, now])))
            level = click.prompt(f"Sensitivity of {word}", now, type=choice, err=err)
            setting = setting if level == now else setting_of(level, own)
        if setting:
            sensitivity[word] = setting
    return {"models": words, "sensitivity": sensitivity}


def words_of(current: Config, models: Mapping[str, Own | None]) -> list[str]:
    """Return the words that the board listens for: the configuration's, if it has their models."""
    if not models or set(current.models) <= set(models):
        return list(current.models)
    return list(models)[:MAX_WORDS]


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
    if mode & 0o077 and os.name != "nt" and values.get(PASSWORD):
        raise HostToolError(
            f"others on this computer can read {path} (mode {mode:04o}) and the Wi-Fi password "
            "in it",
            f"chmod 600 {path}",
        )
    for field in values:
        if field in _OURS:
            raise HostToolError(f"{path}: {field} is chosen by provision", "remove the line")
        if field not in configuration.NAMES:
            # Its value is not shown: it may be a password under a misspelled name.
            near = difflib.get_close_matches(field, configuration.NAMES, 1)
            hint = f"did you mean {near[0]}?" if near else "docs/configuration.md has all fields"
            raise HostToolError(f"{path}: there is no field {field!r}", hint)
    return values


def checked(
    current: Config, values: Mapping[str, Any], models: Mapping[str, Own | None]
) -> Config:
    """Return the configuration with these fields changed.

    Args:
        current: what the board has.
        values: fields that were typed or read from a file.
        models: what the board can listen for; empty where nothing is installed.

    Raises:
        HostToolError: a field cannot have its value; no secret is in its text.
    """
    fields = {"models": words_of(current, models), **values}
    ssid = fields.get("wifi_ssid", current.wifi_ssid)
    if ssid != current.wifi_ssid and PASSWORD not in fields:
        if current.wifi_password:
            raise HostToolError(
                "wifi_ssid changes, and the stored password belongs to the old network",
                'give wifi_password too, "" for an open network',
            )
    if isinstance(host := values.get("receiver_host"), str) and host:
        address = parse(host)
        fields["receiver_host"] = address.host
        if address.port is not None:
            fields["receiver_port"] = address.port
    try:
        words = Config({"models": fields["models"]}).models
        missing = [word for word in words if models and word not in models]
        if missing:
            raise HostToolError(f"the board has no model {', '.join(missing)}", OTHERS)
        kept = {word: own for word, own in current.sensitivity.items() if word in words}
        return current.changed(**{"sensitivity": kept, **fields})
    except configuration.ConfigError as error:
        text = _without(values.get(PASSWORD), str(error))
        raise HostToolError(text, "docs/configuration.md has all fields") from None


def listing(config: Config, models: Mapping[str, Own | None]) -> list[tuple[str, str]]:
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
        ("at power-on", "muted" if config.muted_on_boot else "the last mute state"),
        ("pre-roll", f"{config.preroll_ms} ms"),
        ("wake words", ", ".join(config.models)),
        ("sensitivity", _sensitivity(config, models)),
        ("brightness", f"{config.brightness} of 255"),
    ]
    return rows if ssid else [row for row in rows if row[0] != "Wi-Fi password"]


def _sensitivity(config: Config, models: Mapping[str, Own | None]) -> str:
    shown = [
        f"{word} {text_of(setting, models.get(word))}"
        for word, setting in config.sensitivity.items()
    ]
    return "; ".join(shown) or "normal"


def facts(config: Config) -> dict[str, Any]:
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
