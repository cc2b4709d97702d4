"""The assistant that offers every device of the receiver to Home Assistant.

A device's port is open from when it has told its status for the first time, also while the device
is not connected: Home Assistant then shows that it is not.
"""

from __future__ import annotations

import asyncio
import contextlib

from host_tools.errors import HostToolError
from host_tools.home.door import Door
from host_tools.home.identity import IdentityBook
from host_tools.home.neighbours import Neighbours
from host_tools.receiver.assistant import Assistant, Host, Satellite, Status
from host_tools.receiver.cancellation import within
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.history_rows import HOME
from host_tools.receiver.statuses import Statuses
from host_tools.version import installed_version

#: How soon a device that was added or removed meanwhile is noticed.
LOOK_S = 5.0
_MAX_PORT = 65535


class HomeGateway(Assistant):
    """One door for each device of the list.

    Args:
        book: Who a device is to Home Assistant.
        devices: The receiver's list.
        statuses: What each device told last.
        address: Where the doors are, 127.0.0.1 for a Home Assistant on this machine.
        port: Of the first device; 0 takes free ones.
        neighbours: Announces the doors on the network; None does not.
    """

    def __init__(
        self,
        book: IdentityBook,
        devices: DeviceList,
        statuses: Statuses,
        address: str,
        port: int,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._book = book
        self._devices = devices
        self._statuses = statuses
        self._address = address
        self._port = port
        self._neighbours = neighbours
        self._host: Host | None = None
        #: By the device's id.
        self.doors: dict[str, Door] = {}
        self._satellites: dict[str, Satellite] = {}
        self._news = asyncio.Event()

    def begin(self, host: Host) -> None:
        self._host = host
        host.start(self._run())

    def connected(self, satellite: Satellite) -> None:
        self._satellites[satellite.id] = satellite
        if door := self.doors.get(satellite.id):
            door.connected(satellite)

    def disconnected(self, satellite: Satellite) -> None:
        self._satellites.pop(satellite.id, None)
        if door := self.doors.get(satellite.id):
            door.disconnected()

    def status_changed(self, satellite: Satellite) -> None:
        if door := self.doors.get(satellite.id):
            door.status_changed()
        else:
            self._news.set()

    def sound_changed(self, satellite: Satellite) -> None:
        if door := self.doors.get(satellite.id):
            door.sound_changed()

    def stream_started(self, satellite: Satellite, stream: str, wake_word: str | None) -> None:
        if door := self.doors.get(satellite.id):
            door.stream_started(stream, wake_word)

    def stream_audio(self, satellite: Satellite, stream: str, audio: bytes) -> None:
        if door := self.doors.get(satellite.id):
            door.stream_audio(audio)

    def stream_ended(self, satellite: Satellite, stream: str, is_complete: bool) -> None:
        if door := self.doors.get(satellite.id):
            door.stream_ended(is_complete)

    def destinations(self, satellite: Satellite) -> tuple[str, ...]:
        door = self.doors.get(satellite.id)
        return (HOME,) if door is not None and door.is_answered else ()

    async def _run(self) -> None:
        """Keep a door open for each device of the list, until the receiver ends."""
        told = ""
        try:
            while True:
                try:
                    await self._keep_doors()
                    told = ""
                except HostToolError as error:
                    if error.message != told:
                        told = error.message
                        self._warn(f"{error.message}; {error.hint}")
                with contextlib.suppress(asyncio.TimeoutError):
                    await within(LOOK_S, self._news.wait())
                self._news.clear()
        finally:
            for door in self.doors.values():
                door.close()
            if self._neighbours is not None:
                await self._neighbours.close()

    async def _keep_doors(self) -> None:
        """Open the doors of devices that are new, close those of devices that are gone."""
        listed: dict[str, str] = {}
        for device in self._devices.all():  # one that is being renewed is there twice
            listed.setdefault(device.id, device.name)
        for id, door in list(self.doors.items()):
            is_same = listed.get(id) == door.name and self._book.of(id) == door.identity
            if not is_same:  # removed, or it has a new name or a new key
                door.close()
                del self.doors[id]
                if self._neighbours is not None:
                    await self._neighbours.withdraw(door.identity)
        for id, name in listed.items():
            if id not in self.doors and (known := self._known(id)):
                await self._open(id, name, known)

    def _known(self, id: str) -> Status | None:
        """Return what the device told last: Home Assistant asks what it offers only once."""
        satellite = self._satellites.get(id)
        if satellite is not None and satellite.status is not None:
            return satellite.status
        told = self._statuses.of(id)
        return told.status if told else None

    async def _open(self, id: str, name: str, known: Status) -> None:
        assert self._host is not None, "begin comes first"
        identity = self._book.of(id)
        port = self._port + identity.place if self._port else 0
        if port > _MAX_PORT:
            raise HostToolError(f"no port is left for {name}", "name a lower --home-port")
        door = Door(self._host, name, identity, installed_version(), known)
        await door.open(self._address, port)
        self.doors[id] = door
        self._host.emit("home-offered", device=name, host=self._address, port=door.port)
        if satellite := self._satellites.get(id):
            door.connected(satellite)
        if self._neighbours is not None:
            await self._neighbours.announce(identity, f"Earnest {name}", door.port)

    def _warn(self, message: str) -> None:
        assert self._host is not None, "begin comes first"
        self._host.emit("warning", message=message)
