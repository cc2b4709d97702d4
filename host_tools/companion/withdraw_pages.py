"""Takes a device's consent back: first a question, then here, then at the device.

Nothing on the page gives consent.  What closes does so in this order: nothing more is kept, that
is stored, the page shows it, the receiver's log has it, and the device is asked.
"""

from __future__ import annotations

import asyncio
import contextlib

from aiohttp import web

from host_tools.companion.archive import Archive
from host_tools.companion.devices_now import DeviceNow, DevicesNow
from host_tools.companion.guard import SESSION, Refusal
from host_tools.companion.render import Renderer
from host_tools.receiver.assistant import ConnectionLost, Host
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording import ANYBODY_ID


class WithdrawPages:
    """`add_to` gives an application the routes."""

    def __init__(self, archive: Archive, now: DevicesNow, renderer: Renderer, host: Host) -> None:
        self._archive = archive
        self._now = now
        self._renderer = renderer
        self._host = host

    def add_to(self, application: web.Application) -> None:
        application.add_routes(
            [
                web.get("/devices/{id}/withdraw", self._ask, allow_head=False),
                web.post("/devices/{id}/withdraw", self._withdraw),
            ]
        )

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        """Say what will happen, and ask."""
        device, _ = self._device(request)
        status = device.status
        text = self._renderer.page(
            "withdraw.html",
            device=device,
            keeps=status is None or status.keep_recordings,
            trains=status is not None and status.share_for_training,
            count=await self._archive.count_of_device(device.id),
            csrf=request[SESSION].csrf,
            here="now",
        )
        return web.Response(text=text, content_type="text/html")

    async def _withdraw(self, request: web.Request) -> web.StreamResponse:
        device, withdrawals = self._device(request)
        withdrawals.begin(device.id, device.name)
        failures = await self._archive.take_back(withdrawals, device.id)
        self._host.emit("withdrawal-asked", device=device.name)
        was_asked = await self._ask_device(device.id)
        self._now.wake_watchers()
        if not failures:
            return web.Response(status=303, headers={"Location": "/"})
        text = self._renderer.page(
            "withdrawn.html",
            id=device.id,
            name=device.name,
            failures=failures,
            was_asked=was_asked,
            is_stored=withdrawals.is_stored(device.id),
            csrf=request[SESSION].csrf,
            here="now",
        )
        return web.Response(status=500, text=text, content_type="text/html")

    async def _ask_device(self, id: str) -> bool:
        """Ask the device if it is there; otherwise it is asked when it comes."""
        satellite = self._now.satellite(id)
        if satellite is not None:
            with contextlib.suppress(ConnectionLost, OSError, asyncio.TimeoutError):
                return await satellite.withdraw_consent()
        return False

    def _device(self, request: web.Request) -> tuple[DeviceNow, OwnerWithdrawals]:
        """Return the device that is meant; raises Refusal."""
        id = request.match_info["id"]
        found = next((device for device in self._now.all() if device.id == id), None)
        if found is None:
            raise Refusal(404, "There is no such device.")
        if id == ANYBODY_ID or self._now.withdrawals is None:
            raise Refusal(
                409,
                "Over plain text devices cannot be told apart. At the device's cable, `earnest "
                "provision` takes its consent back.",
            )
        return found, self._now.withdrawals
