"""The configuration that the owner wants: from a file or from typed values, checked as a whole.

Place: below `earnest provision`, above satellite.config, which checks every field.  No text that
leaves this module holds a password.
"""

from __future__ import annotations

import difflib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from firmware.satellite import config as configuration
from firmware.satellite.config import Config
from host_tools.board.receiver_address import parse
from host_tools.board.sensitivity import Own
from host_tools.board.wake_words import OTHERS
from host_tools.errors import HostToolError

PASSWORD = "wifi_password"
#: Chosen by provision itself.
_OURS = ("ssl_certificate", "ssl_key", "ssl_ca")
_BOARDS = "boards"
MAX_WORDS = 4


def from_file(path: Path, name: str | None) -> dict[str, Any]:
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


def words_of(current: Config, models: Mapping[str, Own | None]) -> list[str]:
    """Return the words that the board listens for: the configuration's, if it has their models."""
    if not models or set(current.models) <= set(models):
        return list(current.models)
    return list(models)[:MAX_WORDS]


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
