"""The pages of what came: the timeline, one stream to be heard, and what is deleted."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Mapping
from dataclasses import replace

from aiohttp import web

from host_tools.companion import waveform
from host_tools.companion.archive import Archive
from host_tools.companion.devices_now import DevicesNow
from host_tools.companion.filters import Query, cursor
from host_tools.companion.guard import SESSION, Refusal
from host_tools.companion.render import Renderer
from host_tools.receiver.history_rows import ANSWERED, DROPPED, FORWARDED, HOME, KEPT, StreamRow
from host_tools.receiver.recording_files import Deletion

FATES = {
    KEPT: "recorded",
    FORWARDED: "sent to speech-to-text",
    HOME: "sent to Home Assistant",
    ANSWERED: "answered on this computer",
    DROPPED: "dropped, not recorded",
}
#: Who ended a stream, by the reason that the history has; others are shown as they are.
ENDS = {
    "audio-stop": "the device",
    "too long": "this receiver: too long",
    "enough was heard": "this receiver: enough was heard",
    "receiver": "its owner's command",
    "timeout": "this receiver: nothing came",
    **dict.fromkeys(("lost", "cut off", "hung up"), "the connection: it was lost"),
}
#: How far back the page "What left" looks.
LEFT_DAYS = 30
#: Rows that a form may select: those of one page.
MAX_SELECTED = 100
_NUMBER = re.compile(r"[0-9]{1,15}")
_RANGE = re.compile(r"bytes=([0-9]{1,15})-([0-9]{0,15})")


class TimelinePages:
    """`add_to` gives an application the routes."""

    def __init__(self, archive: Archive, now: DevicesNow, renderer: Renderer) -> None:
        self._archive = archive
        self._now = now
        self._renderer = renderer

    def add_to(self, application: web.Application) -> None:
        application.add_routes(
            [
                web.get("/timeline", self._show, allow_head=False),
                web.get("/streams/{number}", self._show_stream, allow_head=False),
                web.get("/streams/{number}/audio.wav", self._audio, allow_head=False),
                web.get("/streams/{number}/download", self._download, allow_head=False),
                web.get("/streams/{number}/waveform.svg", self._waveform, allow_head=False),
                web.get("/left", self._show_left, allow_head=False),
                web.post("/delete/ask", self._ask),
                web.post("/delete", self._delete),
            ]
        )

    def _page(self, request: web.Request, template: str, **values: object) -> web.Response:
        values = {
            "here": "timeline",
            **values,
            "csrf": request[SESSION].csrf,
            "fates": FATES,
            "ends": ENDS,
        }
        text = self._renderer.page(template, **values)
        return web.Response(text=text, content_type="text/html")

    async def _show(self, request: web.Request) -> web.StreamResponse:
        query = _query(request.query)
        try:
            after = cursor(request.query.get("after", ""))
        except ValueError as error:
            raise Refusal(400, "Begin again at the newest stream.") from error
        found = await self._archive.excerpt(query.filter(), after)
        devices = self._now.all()
        words = {word for d in devices if d.status is not None for word in d.status.words}
        return self._page(
            request,
            "timeline.html",
            found=found,
            query=query,
            devices={device.id: device.name for device in devices},
            words=sorted(words),
            days=_days(query),
            is_later=after is not None,
            older=query.link(found.rows[-1].cursor) if found.is_more else None,
        )

    async def _show_stream(self, request: web.Request) -> web.StreamResponse:
        row = await self._row(request)
        words = await self._archive.transcript(row)
        labels = await self._archive.labels(row)
        return self._page(request, "stream.html", row=row, words=words, labels=labels)

    async def _show_left(self, request: web.Request) -> web.StreamResponse:
        """What left the devices as audio, by day; beside it what they send anyway."""
        found = await self._archive.left_per_day(LEFT_DAYS)
        devices = {device.id: device.name for device in self._now.all()}
        return self._page(
            request,
            "left.html",
            rows=found,
            most=max((row.audio.bytes for row in found), default=0),
            devices=devices,
            standings=await self._archive.standings(devices),
            days=LEFT_DAYS,
            here="left",
        )

    async def _audio(self, request: web.Request) -> web.StreamResponse:
        """The recording for the browser's player, which may ask for a part."""
        _, wav = await self._wav(request, "hear", is_played=True)
        headers = {"Accept-Ranges": "bytes"}
        match = _RANGE.fullmatch(request.headers.get("Range", ""))
        if match is None:
            return web.Response(body=wav, content_type="audio/wav", headers=headers)
        first = int(match[1])
        last = min(int(match[2] or len(wav)), len(wav) - 1)
        if first > last:
            headers["Content-Range"] = f"bytes */{len(wav)}"
            return web.Response(status=416, headers=headers)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(wav)}"
        part = wav[first : last + 1]
        return web.Response(status=206, body=part, content_type="audio/wav", headers=headers)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        row, wav = await self._wav(request, "download")
        name = time.strftime("earnest-%Y%m%d-%H%M%S.wav", time.localtime(row.began_s))
        headers = {"Content-Disposition": f'attachment; filename="{name}"'}
        return web.Response(body=wav, content_type="audio/wav", headers=headers)

    async def _waveform(self, request: web.Request) -> web.StreamResponse:
        _, wav = await self._wav(request, "hear")
        return web.Response(body=waveform.svg(wav), content_type="image/svg+xml")

    async def _ask(self, request: web.Request) -> web.StreamResponse:
        """Say what would be deleted, and ask."""
        form = await request.post()
        query = _query(form)
        if "all" in form:
            count = await self._archive.count_kept(query.filter())
            return self._page(request, "delete.html", rows=[], count=count, query=query)
        rows = [row for row in await self._selected(form) if row.recording is not None]
        return self._page(request, "delete.html", rows=rows, count=len(rows), query=query)

    async def _delete(self, request: web.Request) -> web.StreamResponse:
        form = await request.post()
        query = _query(form)
        if "all" in form:
            done = await self._archive.delete_matching(query.filter())
        else:
            done = await self._archive.delete(await self._selected(form))
        return self._deleted(request, done, query)

    def _deleted(self, request: web.Request, done: Deletion, query: Query) -> web.Response:
        return self._page(request, "deleted.html", done=done, query=query)

    async def _selected(self, form: Mapping[str, object]) -> list[StreamRow]:
        """Return the rows that a form selects; raises Refusal."""
        numbers = form.getall("row", []) if hasattr(form, "getall") else []
        if len(numbers) > MAX_SELECTED:
            raise Refusal(400, "Select fewer at a time.")
        return await self._archive.rows([number_of(number) for number in numbers])

    async def _row(self, request: web.Request) -> StreamRow:
        found = await self._archive.rows([number_of(request.match_info["number"])])
        if not found:
            raise web.HTTPNotFound
        return found[0]

    async def _wav(
        self, request: web.Request, what: str, *, is_played: bool = False
    ) -> tuple[StreamRow, bytes]:
        row = await self._row(request)
        if row.recording is None:
            raise web.HTTPNotFound
        session = request[SESSION].csrf
        return row, await self._archive.wav(row, what, session, is_played=is_played)


def number_of(text: object) -> int:
    """Return the number of a stream that a link or a form carries; raises HTTPNotFound."""
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise web.HTTPNotFound
    return int(text)


def _days(query: Query) -> list[tuple[str, str, bool]]:
    """Return links to the streams of the last days, with the rest of the filter: their words,
    their address, and whether it is this page's."""
    today = datetime.date.today()
    found = []
    for words, ago in (("Today", 0), ("Yesterday", 1)):
        day = (today - datetime.timedelta(days=ago)).isoformat()
        found.append((words, replace(query, day=day).link(), query.day == day))
    return found


def _query(fields: Mapping[str, object]) -> Query:
    try:
        return Query.of(fields)
    except ValueError as error:
        raise Refusal(400, f"The filter's field {error} cannot be read.") from error
