"""What a board has of its owner now: configuration, certificates and the names of its files.

Place: below provisioner and eraser, which begin with it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field

from firmware.satellite.config import Config, ConfigError
from host_tools.board import personal_data
from host_tools.board.personal_data import CONFIG_FILE
from host_tools.board.serial_link import SerialLink

MODEL_FOLDER = "models/"
MODEL_ENDING = ".ewm"


@dataclass(frozen=True)
class Inventory:
    """`config` is None where there is none that can be read; of the key only that it is there."""

    config: Config | None
    text: bytes | None = field(repr=False)  # of config.json; it holds the password
    names: list[str]  # of all files
    certificate: bytes | None
    ca: bytes | None
    has_key: bool

    @property
    def models(self) -> list[str]:
        """Names of the models on the board, sorted."""
        return [
            name.removeprefix(MODEL_FOLDER).removesuffix(MODEL_ENDING)
            for name in self.names
            if name.startswith(MODEL_FOLDER) and name.endswith(MODEL_ENDING)
        ]


def read_config(link: SerialLink) -> tuple[bytes | None, Config | None]:
    """Return the text of config.json and what it says; None where there is none or it is damaged.
    Raises HostToolError."""
    text = link.get(CONFIG_FILE, personal_data.MAX_FILE_BYTES)
    with contextlib.suppress(ConfigError):
        if text is not None:
            return text, Config.from_json(text)
    return text, None


def take_inventory(link: SerialLink) -> Inventory:
    """Read what the board has.  Raises HostToolError."""
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
    )
