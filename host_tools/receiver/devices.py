"""The devices that may connect: a name chosen by the owner beside each certificate's fingerprint.

The list is the receiver's own; names never travel.  A certificate that the CA signed and that is
not listed any more is refused; a running receiver also ends that device's connection.  Each
device has a random id, to which its recordings are tied: it outlives every certificate.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import re
import secrets
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from cryptography import x509

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.receiver import authority, owner_only_files, recording

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")
#: What a device gets, in DER as MicroPython reads it.
KEY_FILE = "device.key.der"
CERTIFICATE_FILE = "device.cert.der"
CA_FILE = "ca.cert.der"


@dataclass(frozen=True)
class Device:
    name: str
    #: SHA-256 of the DER certificate, hexadecimal.
    fingerprint: str
    #: The certificate's last day, as 2031-05-04.
    expires: str
    #: Random; stays the same over every renewal of the certificate.  Recordings carry it.
    id: str = ""
    #: Since when this id stands for this device, UTC; empty in lists of earlier versions.
    added: str = ""
    #: Removed: its certificate is refused; its name, given again, gets its recordings.
    is_removed: bool = False

    @property
    def days_left(self) -> int:
        """Days until the certificate expires; negative afterwards."""
        return (datetime.date.fromisoformat(self.expires) - datetime.date.today()).days


@dataclass(frozen=True)
class Credentials:
    """What a device gets, in DER.  The key is the device's own: nobody else keeps it."""

    key: bytes = field(repr=False)
    certificate: bytes
    ca: bytes


def check_name(name: str) -> None:
    """Raise HostToolError if `name` cannot be a device's name."""
    if not _NAME.fullmatch(name):
        raise HostToolError(
            f"{name!r} cannot be a device's name",
            "1 to 40 letters, digits, '.', '_' and '-', as in kitchen",
        )


class DeviceList:
    """The list in `path`, read again at every question: another process may add and remove."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> list[Device]:
        """Return the devices that may connect; raises HostToolError."""
        return [device for device in self._rows() if not device.is_removed]

    def find(self, certificate_der: bytes) -> Device | None:
        """Return the device that this certificate was made for, unless it was removed."""
        wanted = authority.fingerprint(certificate_der)
        return next((d for d in self.all() if d.fingerprint == wanted), None)

    def named(self, name: str) -> Device:
        """Return the device of this name; raises HostToolError."""
        for device in self.all():
            if device.name == name:
                return device
        raise _nobody(name)

    def issue(
        self,
        name: str,
        signer: authority.Authority,
        *,
        renews: Device | None = None,
        known_as: str | None = None,
    ) -> tuple[Device, Credentials]:
        """List a device and return it with its key and certificates, which only memory holds.

        Args:
            name: Its name in the list, until it is renamed.
            signer: The CA.
            renews: The same device with its certificate so far, whose id it keeps.
            known_as: The name under which it may have been in the list before, if not `name`.

        Raises:
            HostToolError: the name cannot be one, or another device has it.
        """
        rows = self._rows()
        check_name(name)
        if any(device.name == name and not device.is_removed for device in rows):
            raise HostToolError(
                f"there is a device {name!r} already",
                "choose another name, or earnest devices remove " + name,
            )
        key_der, certificate_der = signer.sign_device()
        certificate = x509.load_der_x509_certificate(certificate_der)
        id, added = _identity(rows, renews, {name, known_as})
        fingerprint = authority.fingerprint(certificate_der)
        device = Device(name, fingerprint, authority.expiry(certificate), id, added)
        self._write([*(d for d in rows if not (d.is_removed and d.id == id)), device])
        return device, Credentials(key_der, certificate_der, signer.certificate_der)

    def add(self, name: str, signer: authority.Authority, folder: Path) -> Device:
        """`issue`, and write what it gave into `folder`; raises HostToolError."""
        owner_only_files.make_folder(folder)
        for file_name in (KEY_FILE, CERTIFICATE_FILE, CA_FILE):
            if (folder / file_name).exists():
                raise HostToolError(
                    f"{folder} holds the certificate of a device already",
                    "name another folder with -o",
                )
        device, credentials = self.issue(name, signer)
        owner_only_files.write(folder / KEY_FILE, credentials.key)
        owner_only_files.write(folder / CERTIFICATE_FILE, credentials.certificate)
        owner_only_files.write(folder / CA_FILE, credentials.ca)
        return device

    def remove(self, name: str) -> Device:
        """Refuse a device's certificate from now on; raises HostToolError.

        Its name and id stay, unless another entry has the id: whoever gets the name again can
        still withdraw its consent to what was kept.
        """
        rows = self._rows()
        for device in rows:
            if device.name == name and not device.is_removed:
                rest = [d for d in rows if d is not device]
                if not any(d.id == device.id for d in rest):
                    rest.append(replace(device, is_removed=True))
                self._write(rest)
                return device
        raise _nobody(name)

    def remove_every(self, name: str) -> Device:
        """`remove` a device with every certificate of its id: a renewal that broke off may have
        left two in the list, and it is not known which of them the board has."""
        listed = self.all()
        ids = {device.id for device in listed if device.name == name}
        for other in listed:
            if other.id in ids and other.name != name:
                self.remove(other.name)
        return self.remove(name)  # the last, for whoever gets the name again

    def rename(self, old: str, new: str) -> None:
        """Give a device the name `new`, in place of the device that has it now, if any."""
        rows = [d for d in self._rows() if d.name != new or (d.is_removed and old != new)]
        is_meant = [d.name == old and not d.is_removed for d in rows]
        self._write(
            [replace(d, name=new) if meant else d for d, meant in zip(rows, is_meant, strict=True)]
        )

    def _rows(self) -> list[Device]:
        """Return every entry, those of removed devices too."""
        if not self._path.exists():
            return []
        try:
            rows = json.loads(owner_only_files.read(self._path))
            if not isinstance(rows, list):
                raise TypeError
            return [_device(row) for row in rows]
        except (ValueError, TypeError, AttributeError, KeyError) as error:
            raise HostToolError(
                f"{self._path} is damaged", "restore it, or remove it and renew every device"
            ) from error

    def _write(self, devices: list[Device]) -> None:
        rows = json.dumps([asdict(device) for device in devices], indent=1)
        owner_only_files.write(self._path, rows.encode())
        with contextlib.suppress(OSError):
            atomic_file.sync_folder(self._path.parent)  # who was removed must not come back


def _nobody(name: str) -> HostToolError:
    return HostToolError(
        f"there is no device {name!r}",
        "`earnest devices list` shows those that there are; `earnest provision` adds one",
    )


def _device(row: dict[str, Any]) -> Device:
    """Read an entry; one of an earlier version has the id that its certificate gives it."""
    is_removed = row.pop("is_removed", False)
    fields = {name: str(value) for name, value in row.items()}
    if not fields.get("id"):
        digest = hashlib.sha256(b"earnest device" + fields["fingerprint"].encode())
        fields["id"] = digest.hexdigest()[:16]
    device = Device(**fields, is_removed=bool(is_removed))
    datetime.date.fromisoformat(device.expires)
    return device


def _identity(
    rows: list[Device], renews: Device | None, names: set[str | None]
) -> tuple[str, str]:
    """Return the id of a new entry, and since when it stands for that device."""
    if renews is not None:
        return renews.id, renews.added
    now = recording.text(time.time())
    former = [device.id for device in rows if device.is_removed and device.name in names]
    return former[-1] if former else secrets.token_hex(8), now
