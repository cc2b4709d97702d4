"""Delete all personal data from a board.

Place: below `earnest erase`; personal_data says which files are personal.  The configuration goes
first: without it the board knows no network and no receiver.
"""

from __future__ import annotations

from dataclasses import dataclass

from host_tools.board import personal_data
from host_tools.board.inventory import Inventory, take_inventory
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

    Raises:
        HostToolError: the line was lost, or a file is still there.
    """
    with SerialLink(port) as link, uninterrupted():
        going = in_order(take_inventory(link))  # it ran on, and may have written since
        if device is not None:  # first: without its certificate it would not be found again
            devices.remove(device.name)
        personal_data.remove(link, going)
        left = personal_data.names(link)
        link.restart_on_leave()
    remaining = [name for name in left if personal_data.is_personal(name)]
    if remaining:
        raise HostToolError(
            "still on the board: " + ", ".join(remaining), "run earnest erase again"
        )
    return Erased(going, left)


def in_order(inventory: Inventory) -> list[str]:
    """Return the personal files, configuration and keys first: a pulled plug leaves the least."""
    named = set()
    config = inventory.config
    if config is not None:
        named = {config.ssl_key, config.ssl_certificate, config.ssl_ca}
    names = [n for n in inventory.names if personal_data.is_personal(n) or n in named]

    def rank(name: str) -> int:
        if name.startswith(personal_data.CONFIG_FILE):
            return 0
        return 1 if "key" in name else 2 if ".der" in name else 3

    return sorted(names, key=lambda name: (rank(name), name))
