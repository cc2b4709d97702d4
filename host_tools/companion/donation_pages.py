"""The pages of a donation: hear each recording, label it, give it or leave it out, take it away.

What is decided lies with the recordings (`donation.review`), and `donation.archive` makes the
archive, as for `earnest donate`; these pages only show it and pass it on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from aiohttp import web

from host_tools.companion.archive import Archive
from host_tools.companion.guard import SESSION, Refusal
from host_tools.companion.render import Renderer
from host_tools.companion.timeline import number_of
from host_tools.donation.archive import (
    NotMadeError,
    make_waiting,
    name_of,
    take_away,
    waiting_now,
)
from host_tools.donation.data_card import data_card
from host_tools.donation.review import (
    NotGivenError,
    Offer,
    give,
    given,
    leave_out,
    offer_of,
    offers,
)
from host_tools.receiver.history_rows import StreamRow
from host_tools.receiver.labels import MAX_TRANSCRIPT_CHARACTERS, WAKE_WORDS
from host_tools.receiver.printable import one_line
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.waiting_archive import Waiting

#: Recordings on one page.
PAGE_ROWS = 50
_MAX_PAGE = 100_000


@dataclass(frozen=True)
class Listed:
    """A recording that may be given, with its row of the history; `words` were kept or written."""

    row: StreamRow
    offer: Offer
    words: str | None = None


@dataclass(frozen=True)
class Overview:
    """What may be given and how far the review is."""

    listed: list[Listed]
    is_more: bool
    count: int
    given: int
    left_out: int
    #: The number of a stream that is not decided yet.
    next_open: int | None
    waiting: Waiting | None
    path: str
    #: How many recordings have left in an archive, and when the last did.
    gone: int
    gone_day: str | None


@dataclass(frozen=True)
class Reviewed:
    """The reviewed set, before its archive is made; `name` is that of exactly this set."""

    listed: list[Listed]
    is_more: bool
    count: int
    card: str
    name: str


class DonationPages:
    """`add_to` gives an application the routes."""

    def __init__(self, archive: Archive, renderer: Renderer) -> None:
        self._archive = archive
        self._renderer = renderer

    def add_to(self, application: web.Application) -> None:
        application.add_routes(
            [
                web.get("/donation", self._show, allow_head=False),
                web.get("/donation/review/{number}", self._show_one, allow_head=False),
                web.post("/donation/review/{number}", self._decide),
                web.get("/donation/set", self._show_set, allow_head=False),
                web.post("/donation/archive", self._make),
                web.post("/donation/download", self._download),
                web.post("/donation/remove", self._remove),
                web.post("/streams/{number}/labels", self._label),
            ]
        )

    def _page(
        self, request: web.Request, template: str, status: int = 200, **values: object
    ) -> web.Response:
        values = {"here": "donation", "csrf": request[SESSION].csrf, **values}
        text = self._renderer.page(template, **values)
        return web.Response(status=status, text=text, content_type="text/html")

    async def _show(self, request: web.Request) -> web.StreamResponse:
        number = _page_number(request)
        found = await self._archive.ask(lambda recordings: overview(recordings, number))
        return self._page(request, "donation.html", found=found, page=number)

    async def _show_set(self, request: web.Request) -> web.StreamResponse:
        number = _page_number(request)
        found = await self._archive.ask(
            lambda recordings: reviewed(recordings, number, self._archive.source)
        )
        return self._page(request, "donation_set.html", found=found, page=number)

    async def _show_one(self, request: web.Request) -> web.StreamResponse:
        return await self._review(request, None)

    async def _review(
        self,
        request: web.Request,
        problem: str | None,
        typed: tuple[str, str | None] | None = None,
    ) -> web.Response:
        """The page of one recording; with a problem, the words and the label that were typed are
        there again."""
        number, source = number_of(request.match_info["number"]), self._archive.source
        found = await self._archive.ask(lambda recordings: _one(recordings, number, source))
        if found is None:
            raise web.HTTPNotFound
        words, labels = found.words, found.offer.labels
        if typed is not None:
            words, labels = typed[0], replace(labels, wake_word=typed[1])
        status = 200 if problem is None else 409
        values = {"problem": problem, "words": words or "", "labels": labels}
        return self._page(request, "donation_one.html", status, row=found.row, **values)

    async def _decide(self, request: web.Request) -> web.StreamResponse:
        """Give a recording, or leave it out; go on to one that is not decided."""
        number = number_of(request.match_info["number"])
        form = await request.post()
        decision, words = form.get("decision"), words_of(form)
        label, source = label_of(form), self._archive.source
        if decision not in ("give", "skip"):
            raise Refusal(400, "Give it, or leave it out.")

        def work(recordings: Recordings) -> tuple[bool, int | None]:
            found = _one(recordings, number)
            if found is None:
                return False, None
            recording = found.offer.recording
            if decision == "give":
                agrees = form.get("agrees") == "yes"
                give(recordings, recording, label, words, everybody_agrees=agrees, source=source)
            else:
                leave_out(recordings, recording, source=source)
            return True, _next_open(recordings, offers(recordings), recording.id)

        try:
            is_there, following = await self._archive.ask(work)
        except NotGivenError as error:
            sentence = error.message[0].upper() + error.message[1:]
            return await self._review(request, f"{sentence}.", (words, label))
        if not is_there:
            raise web.HTTPNotFound
        where = "/donation" if following is None else f"/donation/review/{following}"
        return web.Response(status=303, headers={"Location": where})

    async def _label(self, request: web.Request) -> web.StreamResponse:
        """Keep what the owner says of a recording that is there, to be given or not."""
        number = number_of(request.match_info["number"])
        form = await request.post()
        words, label, source = words_of(form), label_of(form), self._archive.source

        def work(recordings: Recordings) -> bool:
            row = recordings.history.get(number)
            if row is None or row.recording is None:
                return False
            recording = recordings.find(row.recording)
            if label != recordings.labels.of(recording.id).wake_word:
                recordings.labels.set_wake_word(recording, label, source=source)
            if words != one_line(str(form.get("shown", ""))).strip():
                recordings.labels.correct_transcript(recording, words, source=source)
            return True

        if not await self._archive.ask(work):
            raise web.HTTPNotFound
        return web.Response(status=303, headers={"Location": f"/streams/{number}#labels"})

    async def _make(self, request: web.Request) -> web.StreamResponse:
        """Make the archive of the set that the form saw."""
        form = await request.post()
        of_set, source = str(form.get("set", "")), self._archive.source
        try:
            await self._archive.ask(
                lambda recordings: make_waiting(recordings, of_set, source=source)
            )
        except NotMadeError as error:
            sentence = error.message[0].upper() + error.message[1:]
            raise Refusal(409, f"{sentence}. {error.hint}.") from error
        return web.Response(status=303, headers={"Location": "/donation#archive"})

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """Hand the archive to the browser: from now on it has left."""
        source = self._archive.source
        content = await self._archive.ask(lambda found: take_away(found, source=source))
        if content is None:
            raise Refusal(
                409, "There is no archive any more: a recording in it was deleted or withdrawn."
            )
        headers = {"Content-Disposition": 'attachment; filename="earnest-donation.tar"'}
        return web.Response(body=content, content_type="application/x-tar", headers=headers)

    async def _remove(self, request: web.Request) -> web.StreamResponse:
        """Remove the archive from the receiver's folder."""
        if left := await self._archive.ask(lambda recordings: recordings.waiting.remove()):
            raise Refusal(409, f"It could not be removed: {left[0]}")
        return web.Response(status=303, headers={"Location": "/donation"})


def overview(recordings: Recordings, page: int) -> Overview:
    """Return one page of what may be given, from 0 on, and how far the review is."""
    found = offers(recordings)
    labels = recordings.labels.all().values()
    days = [each.left for each in labels if each.left is not None]
    return Overview(
        listed=_listed(recordings, found[page * PAGE_ROWS : (page + 1) * PAGE_ROWS]),
        is_more=len(found) > (page + 1) * PAGE_ROWS,
        count=len(found),
        given=sum(offer.is_given for offer in found),
        left_out=sum(offer.is_left_out for offer in found),
        next_open=_next_open(recordings, found),
        waiting=waiting_now(recordings),
        path=str(recordings.waiting.path),
        gone=len(days),
        gone_day=max(days, default=None),
    )


def reviewed(recordings: Recordings, page: int, source: str) -> Reviewed:
    """Return one page of the reviewed set with its words, which the log records, and its card."""
    found = given(recordings)
    part = found[page * PAGE_ROWS : (page + 1) * PAGE_ROWS]
    return Reviewed(
        listed=_listed(recordings, part, source),
        is_more=len(found) > (page + 1) * PAGE_ROWS,
        count=len(found),
        card=data_card(found),
        name=name_of(recordings, found),
    )


def label_of(form: Mapping[str, object]) -> str | None:
    """Return one of WAKE_WORDS, or None, as a form says; raises Refusal."""
    label = form.get("wake_word", "")
    if not isinstance(label, str) or label not in ("", *WAKE_WORDS):
        raise Refusal(400, "The label is not known.")
    return label or None


def words_of(form: Mapping[str, object]) -> str:
    """Return what was said, as a form says, in one line; raises Refusal."""
    words = form.get("words", "")
    if not isinstance(words, str) or len(words) > MAX_TRANSCRIPT_CHARACTERS:
        raise Refusal(400, f"A transcript has {MAX_TRANSCRIPT_CHARACTERS} characters at most.")
    return one_line(words).strip()


def _listed(recordings: Recordings, found: list[Offer], source: str | None = None) -> list[Listed]:
    """Return offers with their rows; with a source, which the log records, also their words."""
    made = []
    for offer in found:
        row = recordings.history.of_recording(offer.recording.id)
        if row is not None:  # else its row could not be entered; the next start does that
            id = offer.recording.id
            words = recordings.transcript(id, source=source) if source else None
            made.append(Listed(row, offer, words))
    return made


def _one(recordings: Recordings, number: int, source: str | None = None) -> Listed | None:
    """Return what may be given of a stream's number, if there is such a recording."""
    row = recordings.history.get(number)
    if row is None or row.recording is None:
        return None
    offer = offer_of(recordings, row.recording)
    found = _listed(recordings, [offer] if offer else [], source)
    return found[0] if found else None


def _next_open(recordings: Recordings, found: list[Offer], after: str | None = None) -> int | None:
    """Return the number of one of these that is not decided, the next one behind `after`."""
    ids = [offer.recording.id for offer in found]
    start = ids.index(after) + 1 if after in ids else 0
    for offer in (*found[start:], *found[:start]):
        if not offer.is_decided:
            row = recordings.history.of_recording(offer.recording.id)
            if row is not None:
                return row.id
    return None


def _page_number(request: web.Request) -> int:
    number = number_of(request.query.get("page", "0"))
    if number > _MAX_PAGE:
        raise web.HTTPNotFound
    return number
