"""Delete all personal data from a board.

Place: below `earnest erase`; personal_data says which files are personal.  The configuration goes
first: without it the board knows no network and no receiver.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware.satellite.config import Config
from host_tools.board import personal_data
from host_tools.board.inventory import Inventory, take_inventory
from host_tools.board.personal_data import CONFIG_FILE, WITHDRAWN_FILE, Hidden
from host_tools.board.raw_repl import uninterrupted
from host_tools.board.serial_link import SerialLink
from host_tools.errors import HostToolError
from host_tools.receiver.devices import Device, DeviceList


@dataclass(frozen=True)
class Erased:
    """Names of the files that were deleted, and of those that are left."""

    removed: list[str]
    left: list[str]


def erase(port: str, devices: DeviceList, device: Device | None) -> Erased:
    """Delete the personal files and strike `device` off the list of devices.

    Where the board listens for other words than the default, a configuration stays that says so
    and nothing else: without it the firmware would look for a model that is not there.

    Raises:
        HostToolError: the line was lost, or a file is still there.
    """
    with SerialLink(port) as link, uninterrupted():
        present = take_inventory(link)  # it ran on, and may have written since
        going = in_order(present)
        staying = _words_only(present)
        if device is not None:  # first: without its certificate it would not be found again
            devices.remove(device.name)
        if staying is not None and CONFIG_FILE in going:
            personal_data.write_set(link, {CONFIG_FILE: staying}, Hidden(()), lambda text: None)
            going.remove(CONFIG_FILE)
        personal_data.remove(link, going)
        left = take_inventory(link)
        link.restart_on_leave()
    if remaining := in_order(left):
        raise HostToolError(
            "still on the board: " + ", ".join(remaining), "run earnest erase again"
        )
    return Erased(going, left.names)


def in_order(inventory: Inventory) -> list[str]:
    """Return the personal files, configuration and keys first: a pulled plug leaves the least.

    A withdrawn consent goes last: no configuration outlives it.
    """
    named = set()
    config = inventory.config
    if config is not None:
        named = {config.ssl_key, config.ssl_certificate, config.ssl_ca}
    names = [n for n in inventory.names if personal_data.is_personal(n) or n in named]
    if inventory.text is not None and inventory.text == _words_only(inventory):
        names.remove(CONFIG_FILE)

    def rank(name: str) -> int:
        if name.startswith(CONFIG_FILE):
            return 0
        if name == WITHDRAWN_FILE:
            return 4
        return 1 if "key" in name else 2 if ".der" in name else 3

    return sorted(names, key=lambda name: (rank(name), name))


def _words_only(inventory: Inventory) -> bytes | None:
    """Return a configuration of the wake words alone; None where the default has its model."""
    default = Config.defaults()
    models = inventory.models
    words = default.models if inventory.config is None else inventory.config.models
    if not models or set(default.models) <= set(models) and words == default.models:
        return None
    kept = [word for word in words if word in models] or list(models)[:4]
    return Config({"models": kept}).to_json().encode()
