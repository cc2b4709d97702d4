"""Carries out a withdrawn consent, and judges whether its deletion may be confirmed.

Confirmed is only what was done: nothing of the device's is left, and nothing is kept that may be
the device's from before it was in the list under its present id.
"""

from __future__ import annotations

from dataclasses import dataclass

from host_tools.errors import HostToolError
from host_tools.receiver.devices import Device, DeviceList
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording import ANYBODY_ID
from host_tools.receiver.recordings import Recordings

#: Who connects in plain text, and may be any device.
ANYBODY = Device("insecure", fingerprint="", expires="", id=ANYBODY_ID)


@dataclass(frozen=True)
class Wishes:
    """The consent as it stands now."""

    keep_recordings: bool
    share_for_training: bool


@dataclass(frozen=True)
class Outcome:
    """How many recordings were deleted, and why the withdrawal may not be confirmed."""

    count: int
    doubts: tuple[str, ...] = ()


def withdraw(
    recordings: Recordings, devices: DeviceList, device: Device, wishes: Wishes
) -> Outcome:
    """Delete what was kept under this device's consent, or mark it as not for training.

    Raises:
        HostToolError: the folder or the list cannot be read; nothing may be confirmed.
    """
    if not (wishes.keep_recordings and wishes.share_for_training):
        recordings.log.add(
            "withdraw",
            keep_recordings=wishes.keep_recordings,
            share_for_training=wishes.share_for_training,
            device=device.id,
        )
    count, doubts = 0, []
    if not wishes.keep_recordings:
        done = recordings.delete_of(device.id)
        count = done.count
        doubts += [f"cannot remove {left}" for left in done.left]
    elif not wishes.share_for_training:
        doubts += recordings.unshare(device.id)
    else:
        return Outcome(0)
    listed = {other.id for other in devices.all()} if device is not ANYBODY else set()
    unknown = sum(
        count
        for owner, (count, first) in recordings.devices().items()
        if owner != device.id and owner not in listed and _may_be_of(device, owner, first)
    )
    if unknown:
        doubts.append(
            f"recordings of devices that are not in the list ({unknown}) may be earlier ones of "
            f"{device.name}; delete them: earnest recordings delete --unlisted"
        )
    return Outcome(count, tuple(doubts))


def take_back(
    recordings: Recordings, withdrawals: OwnerWithdrawals, device: str, source: str
) -> list[str]:
    """Store and record that a device's owner took its consent back here, and share nothing more
    of it; what was kept goes when the device has confirmed.

    Returns:
        What of that could not be done.  Nothing more is kept of the device in any case.
    """
    failures = []
    try:
        withdrawals.store(device)
    except HostToolError as error:
        failures.append(error.message)
    try:
        recordings.log.add("withdraw-asked", source=source, device=device)
    except HostToolError as error:
        failures.append(error.message)
    if not withdrawals.is_stored(device):  # on a full disk the log gave up what it had reserved
        try:
            withdrawals.store(device)
            del failures[0]
        except HostToolError:
            pass
    try:
        failures += recordings.unshare(device)
    except HostToolError as error:
        failures.append(error.message)
    return failures


def _may_be_of(device: Device, owner: str, first_created: str) -> bool:
    """Return whether an unlisted owner's recordings may be this device's, from before its id."""
    return owner == ANYBODY.id or not device.added or first_created <= device.added
