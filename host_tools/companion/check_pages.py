"""A copy of a device's log, handed to the page and held against this receiver."""

from __future__ import annotations

from aiohttp import web

from host_tools.audit.cross_check import FILES
from host_tools.companion.archive import Archive
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.guard import Refusal
from host_tools.errors import HostToolError
from host_tools.receiver.printable import one_line

#: The files of a log: 16, and its head.
MAX_FILES = 17
MAX_NAME = 64


class CheckPages:
    """`add_to` gives an application the route."""

    def __init__(self, archive: Archive, now: DevicesNow) -> None:
        self._archive = archive
        self._now = now

    def add_to(self, application: web.Application) -> None:
        application.add_routes([web.post("/left/check", self._check)])

    async def _check(self, request: web.Request) -> web.StreamResponse:
        """Check a log that a form carries, keep the result, and show it."""
        form = await request.post()
        files = [
            (one_line(field.filename)[:MAX_NAME], field.file.read())
            for field in form.getall("log", [])
            if isinstance(field, web.FileField) and field.filename
        ]
        if not files:
            raise Refusal(400, "Choose the files of the log: audit.jsonl and those beside it.")
        if len(files) > MAX_FILES:
            raise Refusal(400, f"A device's log has {MAX_FILES} files at most.")
        device = form.get("device", "")
        names = {each.id: each.name for each in self._now.all()}
        if not isinstance(device, str) or (device and device not in names):
            raise Refusal(400, "The device is not in the list.")
        try:
            checked = await self._archive.cross_check(files, names.get(device))
        except HostToolError as error:
            raise Refusal(400, f"{error.message}: {error.hint}") from error
        if not checked.log.records:
            raise Refusal(400, "The log is empty.")
        if checked.anchors.id is None:
            raise Refusal(409, "It is not known whose log this is. Choose the device.")
        if not await self._archive.keep_check(checked, FILES):
            raise Refusal(409, "A log that reaches further was checked before. It still counts.")
        where = {"Location": f"/left#check-{checked.anchors.id}"}
        return web.Response(status=303, headers=where)
