"""Announces the devices on the local network, so that Home Assistant finds them by itself (mDNS).

An option: whoever listens on the network then learns that they exist, with their names.
"""

from __future__ import annotations

from ipaddress import ip_address

from zeroconf import ServiceInfo
from zeroconf.asyncio import AsyncZeroconf

from host_tools.errors import HostToolError
from host_tools.home.identity import Identity
from host_tools.version import installed_version

_TYPE = "_esphomelib._tcp.local."


class Neighbours:
    """What is announced from `address`, one of this machine's own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._zeroconf: AsyncZeroconf | None = None
        self._announced: dict[str, ServiceInfo] = {}

    async def announce(self, identity: Identity, friendly_name: str, port: int) -> None:
        """Announce one device, until `withdraw` or `close`."""
        if self._zeroconf is None:
            self._zeroconf = AsyncZeroconf(interfaces=[self._address])
        info = service(identity, friendly_name, self._address, port)
        self._announced[identity.mac] = info
        await (await self._zeroconf.async_register_service(info))

    async def withdraw(self, identity: Identity) -> None:
        info = self._announced.pop(identity.mac, None)
        if info is not None and self._zeroconf is not None:
            await (await self._zeroconf.async_unregister_service(info))

    async def close(self) -> None:
        """Withdraw everything."""
        if self._zeroconf is not None:
            await self._zeroconf.async_close()
            self._zeroconf = None


def check_address(address: str) -> None:
    """Raise HostToolError unless other computers can be told to connect to `address`."""
    try:
        parsed = ip_address(address)
    except ValueError:
        parsed = None
    if parsed is None or parsed.is_loopback or parsed.is_unspecified:
        raise HostToolError(
            f"--home-mdns cannot announce {address}: no other computer can connect to it",
            "name this computer's address on the network with --home-host",
        )


def service(identity: Identity, friendly_name: str, address: str, port: int) -> ServiceInfo:
    """Return what is announced of a device: the fields that Home Assistant reads."""
    properties = {
        "mac": identity.mac.replace(":", "").lower(),
        "friendly_name": friendly_name,
        "version": installed_version(),
        "platform": "earnest",
        "board": "earnest",
        "network": "wifi",
        "api_encryption": "Noise_NNpsk0_25519_ChaChaPoly_SHA256",
    }
    return ServiceInfo(
        _TYPE,
        f"{identity.name}.{_TYPE}",
        port=port,
        properties=properties,
        server=f"{identity.name}.local.",
        addresses=[ip_address(address).packed],
    )
