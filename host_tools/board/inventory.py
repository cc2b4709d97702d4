"""What a board has of its owner now: configuration, certificates and the names of its files.

Place: below provisioner and eraser, which begin with it.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass, field

from firmware.satellite.config import Config, ConfigError
from firmware.wakeword import model_format
from host_tools.board import file_set, personal_data
from host_tools.board.build import MANIFEST
from host_tools.board.personal_data import CONFIG_FILE
from host_tools.board.sensitivity import Own
from host_tools.board.serial_link import SerialLink
from host_tools.shared_firmware import FIRMWARE

#: The models in the order in which they were installed, and the header of each.
_MODELS = """import os, json, binascii
_order, _found = [], []
try:
 with open("installed.json") as _f:
  _order = json.load(_f)["models"]
except (OSError, ValueError, KeyError, TypeError):
 pass
try:
 _names = os.listdir("models")
except OSError:
 _names = []
for _n in _names:
 if _n.endswith(".ewm"):
  with open("models/" + _n, "rb") as _f:
   _found.append([_n[:-4], binascii.hexlify(_f.read(HEADER_BYTES)).decode()])
print(json.dumps([_order, _found]))
"""
#: Whether the board that board.py describes has a loudspeaker; a damaged one has none.
_HAS_SPEAKER = """import json
try:
 import board
except Exception:
 board = None
print(json.dumps([getattr(board, "SPEAKER_SD", None) is not None]))
"""
_CUTOFF_AT = 12  # in the header's fields; the window follows


@dataclass(frozen=True)
class Inventory:
    """`config` is None where there is none that can be read; of the key only that it is there."""

    config: Config | None
    text: bytes | None = field(repr=False)  # of config.json; it holds the password
    names: list[str]  # of all files
    certificate: bytes | None
    ca: bytes | None
    has_key: bool
    #: Models on the board, as they were installed; None for one whose file is damaged.
    models: dict[str, Own | None]
    has_speaker: bool

    @property
    def is_withdrawn(self) -> bool:
        """Whether the network took consent back: until a person at the cable gives it again,
        nothing may be kept, whatever `config` says."""
        return personal_data.WITHDRAWN_FILE in self.names


def read_config(link: SerialLink) -> tuple[bytes | None, Config | None]:
    """Return the text of config.json and what it says; None where there is none or it is damaged.
    Raises HostToolError."""
    text = link.get(CONFIG_FILE, personal_data.MAX_FILE_BYTES)
    with contextlib.suppress(ConfigError):
        if text is not None:
            return text, Config.from_json(text)
    return text, None


def take_inventory(link: SerialLink) -> Inventory:
    """Read what the board has.  Raises HostToolError.

    An installation that was cut off when all was there is finished first: it may bring a
    configuration, which at the next start would take the place of the one that is read here, and
    of a newer one.
    """
    names = personal_data.names(link)
    if f"{file_set.STAGE}/{MANIFEST}" in names:
        file_set.finish_interrupted(link, (FIRMWARE / "boot.py").read_bytes())
        names = personal_data.names(link)
    text, config = read_config(link)
    used = config or Config.defaults()
    return Inventory(
        config,
        text,
        names,
        link.get(used.ssl_certificate, personal_data.MAX_FILE_BYTES),
        link.get(used.ssl_ca, personal_data.MAX_FILE_BYTES),
        used.ssl_key in names,
        read_models(link),
        link.exec_json(_HAS_SPEAKER) == [True],
    )


def read_models(link: SerialLink) -> dict[str, Own | None]:
    """Return the names of the models on a board with their own values, in the order in which they
    were installed.  Raises HostToolError."""
    order, found = link.exec_json(f"HEADER_BYTES = {model_format.HEADER_BYTES}\n{_MODELS}")
    headers = {name: bytes.fromhex(header) for name, header in found}
    known = [name for name in order if name in headers] if isinstance(order, list) else []
    names = [*known, *(name for name in sorted(headers) if name not in known)]
    return {name: _own_values(headers[name]) for name in names}


def _own_values(header: bytes) -> Own | None:
    if len(header) < model_format.HEADER_BYTES or not header.startswith(model_format.MAGIC):
        return None
    cutoff, window = struct.unpack_from(model_format.HEADER, header)[_CUTOFF_AT:][:2]
    return Own(cutoff, window)
