"""What a device is to Home Assistant: an address that names nobody, a key, and a port.

Kept in one file that only its owner may read.  All of it hangs on the random id of the receiver's
list of devices, so it survives a renewal of the certificate and a new name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files

FILE = "home-assistant.json"
#: The first device's port, ESPHome's own; each further device has the next.
DEFAULT_PORT = 6053
_SECRET_BYTES = 32
#: Of a Noise key.
KEY_BYTES = 32
_LOCALLY_ADMINISTERED, _MULTICAST = 0x02, 0x01


@dataclass(frozen=True)
class Identity:
    #: As 02:..: an HMAC of the device's id, locally administered; stable, and no chip's own.
    mac: str
    #: For Noise, KEY_BYTES long.
    key: bytes = field(repr=False)
    #: Where it stands among the ports, from 0.
    place: int

    @property
    def key_text(self) -> str:
        """The key as Home Assistant asks for it."""
        return base64.b64encode(self.key).decode()

    @property
    def name(self) -> str:
        """A host name for the device that says no more than its address."""
        return "earnest-" + self.mac.replace(":", "")[6:]


class IdentityBook:
    """The identities in `folder`, read again at every question: another process may add one."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE

    def of(self, device_id: str) -> Identity:
        """Return the device's identity, which the first call makes; raises HostToolError."""
        book = self._read()
        devices = book["devices"]
        if device_id not in devices:
            taken = {row["place"] for row in devices.values()}
            place = next(n for n in range(len(taken) + 1) if n not in taken)
            key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
            devices[device_id] = {"place": place, "key": key}
            self._write(book)
        row = devices[device_id]
        mac = _mac(bytes.fromhex(book["secret"]), device_id)
        return Identity(mac, base64.b64decode(row["key"]), row["place"])

    def renew_key(self, device_id: str) -> Identity:
        """Give the device a new key: whoever has the old one is refused from now on."""
        self.of(device_id)
        book = self._read()
        key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        book["devices"][device_id]["key"] = key
        self._write(book)
        return self.of(device_id)

    def _read(self) -> dict[str, Any]:
        if not self._path.exists():
            return {"secret": secrets.token_hex(_SECRET_BYTES), "devices": {}}
        try:
            book: dict[str, Any] = json.loads(owner_only_files.read(self._path))
            _check(book)
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise HostToolError(
                f"{self._path} is damaged",
                "delete it: every device gets a new key, and is to be added to Home Assistant "
                "again",
            ) from error
        return book

    def _write(self, book: dict[str, Any]) -> None:
        owner_only_files.make_folder(self._path.parent)
        owner_only_files.write(self._path, json.dumps(book, indent=1).encode())


def _check(book: dict[str, Any]) -> None:
    """Raise ValueError, or what else comes of it, unless every part is as `of` needs it."""
    if len(bytes.fromhex(book["secret"])) != _SECRET_BYTES:
        raise ValueError("secret")
    places = set()
    for row in book["devices"].values():
        place = row["place"]
        if len(base64.b64decode(row["key"], validate=True)) != KEY_BYTES:
            raise ValueError("key")
        if type(place) is not int or not 0 <= place < 65536 or place in places:
            raise ValueError("place")
        places.add(place)


def _mac(secret: bytes, device_id: str) -> str:
    digest = hmac.new(secret, b"earnest home " + device_id.encode(), hashlib.sha256).digest()
    first = (digest[0] | _LOCALLY_ADMINISTERED) & ~_MULTICAST
    return ":".join(f"{byte:02X}" for byte in (first, *digest[1:6]))
