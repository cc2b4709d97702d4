"""The devices that may connect: a name chosen by the owner beside each certificate's fingerprint.

The list is the receiver's own; names never travel.  A certificate that the authority signed and
that is not listed any more is refused, so removing a device takes effect at its next connection.
"""

from __future__ import annotations

import datetime
import json
import re
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cryptography import x509

from host_tools.errors import HostToolError
from host_tools.receiver import authority, owner_only_files

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


class DeviceList:
    """The list in `path`, read again at every question: another process may add and remove."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def all(self) -> list[Device]:
        if not self._path.exists():
            return []
        try:
            rows = json.loads(owner_only_files.read(self._path))
            return [Device(**{k: str(v) for k, v in row.items()}) for row in rows]
        except (ValueError, TypeError, AttributeError) as error:
            raise HostToolError(
                f"{self._path} is damaged", "restore it, or remove it and renew every device"
            ) from error

    def find(self, certificate_der: bytes) -> Device | None:
        """The device that this certificate was made for, unless it was removed."""
        wanted = authority.fingerprint(certificate_der)
        return next((d for d in self.all() if d.fingerprint == wanted), None)

    def issue(self, name: str, signer: authority.Authority) -> tuple[Device, Credentials]:
        """List a new device and return it with its key and certificates, which only memory holds.

        Raises:
            HostToolError: the name cannot be one, or another device has it.
        """
        devices = self.all()
        if not _NAME.fullmatch(name):
            raise HostToolError(
                f"{name!r} cannot be a device's name",
                "1 to 40 letters, digits, '.', '_' and '-', as in kitchen",
            )
        if any(device.name == name for device in devices):
            raise HostToolError(
                f"there is a device {name!r} already",
                "choose another name, or earnest devices remove " + name,
            )
        key_der, certificate_der = signer.sign_device()
        certificate = x509.load_der_x509_certificate(certificate_der)
        device = Device(
            name, authority.fingerprint(certificate_der), authority.expiry(certificate)
        )
        self._write([*devices, device])
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
        """Forget a device: its certificate is refused from now on.  Raises HostToolError."""
        devices = self.all()
        for device in devices:
            if device.name == name:
                self._write([d for d in devices if d is not device])
                return device
        raise HostToolError(
            f"there is no device {name!r}", "earnest devices list shows those there are"
        )

    def rename(self, old: str, new: str) -> None:
        """Give a device the name `new`, in place of the device that has it now, if any."""
        devices = [device for device in self.all() if device.name != new]
        self._write([replace(d, name=new) if d.name == old else d for d in devices])

    def _write(self, devices: list[Device]) -> None:
        rows = json.dumps([asdict(device) for device in devices], indent=1)
        owner_only_files.write(self._path, rows.encode())
