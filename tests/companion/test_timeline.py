"""The timeline, a recording heard, and deletion: what was asked for goes, and nothing else."""

import asyncio
import datetime
import io
import json
import re
import time
import wave

import numpy as np
import pytest

from host_tools.companion import archive as archives
from host_tools.companion.filters import Query, cursor
from host_tools.companion.waveform import svg
from host_tools.receiver.history_rows import EVERYTHING, Filter, StreamRow
from host_tools.receiver.traffic import Counts
from tests.companion.test_now import EVIL, Reader
from tests.fakes.pages import ask, csrf_of, on_page

KITCHEN, BEDROOM = "0123456789abcdef", "fedcba9876543210"
SPEECH = np.random.default_rng(7).integers(-9000, 9000, 16000, dtype=np.int16).tobytes()
NOON_S = datetime.datetime(2026, 5, 4, 12).timestamp()
DAY_S = 86400


def stream(began_s, device=KITCHEN, **changes):
    """The row of a stream that was not kept."""
    names = {KITCHEN: "kitchen", BEDROOM: "bedroom"}
    fields = {
        "began_s": began_s,
        "device_id": device,
        "device_name": names.get(device, "attic"),
        "wake_word": "okay_nabu",
        "duration_ms": 1000,
        "bytes": 32000,
        "sha256": "0" * 64,
        "reason": "audio-stop",
        "fates": ("dropped",),
        "keep_recordings": False,
        "share_for_training": False,
    }
    return StreamRow(**{**fields, **changes})


async def fill(opened, *rows):
    """Enter rows in the history; returns them as they are there, the newest first."""
    await opened.worker.look(lambda recordings: recordings.history.add(rows))
    return await opened.worker.look(lambda recordings: recordings.history.page(limit=1000))


async def keep(opened, began_s, device=KITCHEN, audio=SPEECH, **changes):
    """A stream that was kept; returns its row."""

    def work(recordings):
        kept = recordings.add(
            audio, device=device, share_for_training=False, preroll_ms=0, wake_word="okay_nabu"
        )
        facts = {"fates": ("kept",), "keep_recordings": True, "sha256": kept.sha256}
        row = stream(began_s, device, recording=kept.id, **facts)
        recordings.history.add([StreamRow(**{**vars(row), **changes})])
        return recordings.history.of_recording(kept.id)

    return await opened.worker.look(work)


async def kept_ids(opened):
    return {r.id for r in await opened.worker.look(lambda recordings: recordings.all())}


def numbers(html):
    """The numbers of the streams that a timeline shows, in its order."""
    links = [a["href"] for tag, a in Reader(html).tags if tag == "a" and "href" in a]
    return [
        int(link.rpartition("/")[2]) for link in links if re.fullmatch("/streams/[0-9]+", link)
    ]


def test_a_row_says_what_came_and_what_became_of_it(data):
    async def visit(opened):
        await fill(
            opened,
            stream(NOON_S, fates=("forwarded", "home"), wake_word=None),
            stream(NOON_S + 60, share_for_training=True, keep_recordings=True, deleted_s=NOON_S),
        )
        _, _, html = await ask(await opened.enter(), "GET", "/timeline")
        text = Reader(html).text
        assert "2 streams, 0 with a recording" in text
        assert "sent to speech-to-text , sent to Home Assistant" in text.replace("text,", "text ,")
        assert "recording deleted" in text and "keep: yes, training: yes" in text
        assert "1.0 s" in text and "32000" in text and "1.0 s 32000 the device" in text
        assert "Delete" not in text

    on_page(data, visit)


def test_filters_find_exactly_what_they_say(data):
    async def visit(opened):
        rows = await fill(
            opened,
            stream(NOON_S),
            stream(NOON_S + DAY_S, BEDROOM, wake_word="hey_jarvis"),
            stream(NOON_S + 2 * DAY_S, wake_word="hey_jarvis"),
        )
        row = await keep(opened, NOON_S + 3 * DAY_S)
        third, second, first = rows
        client = await opened.enter()
        for query, wanted in (
            ("", [row, third, second, first]),
            ("?device=" + BEDROOM, [second]),
            ("?word=hey_jarvis", [third, second]),
            ("?day=2026-05-04", [first]),
            ("?day=2026-05-07&kept=yes", [row]),
            ("?kept=no&device=" + KITCHEN, [third, first]),
            ("?device=nobody", []),
        ):
            status, _, html = await ask(client, "GET", "/timeline" + query)
            assert status == 200 and numbers(html) == [each.id for each in wanted], query

    on_page(data, visit)


def test_pages_follow_each_other_without_a_gap_and_quickly(data):
    async def visit(opened):
        rows = await fill(opened, *(stream(NOON_S + number // 3) for number in range(10_000)))
        client = await opened.enter()
        path, seen, slowest_s = "/timeline", [], 0.0
        for _ in range(5):
            began_s = time.perf_counter()
            _, _, html = await ask(client, "GET", path)
            slowest_s = max(slowest_s, time.perf_counter() - began_s)
            seen += numbers(html)
            [path] = [a["href"] for tag, a in Reader(html).tags if "after=" in a.get("href", "")]
        assert seen == [row.id for row in rows[: len(seen)]] and len(seen) == 5 * 50
        assert slowest_s < 1.0, slowest_s
        assert "10000 streams" in Reader(html).text

    on_page(data, visit)


@pytest.mark.parametrize(
    "query",
    [
        "day=2026-13-01",
        "day=tomorrow",
        "day=0001-01-01",
        "day=9999-12-31",
        "kept=maybe",
        "device=" + "a" * 65,
        "word=%00",
        "after=1",
        "after=nan-1",
        "after=1-1;DROP TABLE streams",
        "after=" + "9" * 400 + "-1",
    ],
)
def test_a_filter_that_makes_no_sense_is_said(data, query):
    async def visit(opened):
        status, _, text = await ask(await opened.enter(), "GET", "/timeline?" + query)
        assert status == 400 and "DROP" not in text

    on_page(data, visit)


def test_sql_in_a_filter_is_a_name_that_nobody_has(data):
    async def visit(opened):
        await fill(opened, stream(NOON_S))
        client = await opened.enter()
        for field in ("device", "word"):
            query = {field: "' OR 1=1 --"}
            status, _, html = await ask(client, "GET", "/timeline", params=query)
            assert status == 200 and numbers(html) == [] and "No stream matches" in html

    on_page(data, visit)


def test_a_recording_is_heard_whole_and_in_parts_and_downloaded(data):
    async def visit(opened):
        row = await keep(opened, NOON_S)
        client = await opened.enter()
        status, _, html = await ask(client, "GET", f"/streams/{row.id}")
        assert status == 200
        [audio] = [a for tag, a in Reader(html).tags if tag == "audio"]
        assert audio["preload"] == "none" and "controls" in audio and audio["aria-label"]

        async def bytes_of(path, **headers):
            async with client.get(path, headers=headers) as answer:
                return answer.status, answer.headers, await answer.read()

        status, headers, whole = await bytes_of(audio["src"])
        assert (status, headers["Content-Type"]) == (200, "audio/wav")
        assert headers["Cache-Control"] == "no-store"
        with wave.open(io.BytesIO(whole)) as file:
            assert file.readframes(file.getnframes()) == SPEECH
        status, headers, part = await bytes_of(audio["src"], Range="bytes=100-199")
        assert status == 206 and part == whole[100:200]
        assert headers["Content-Range"] == f"bytes 100-199/{len(whole)}"
        assert (await bytes_of(audio["src"], Range="bytes=100-"))[2] == whole[100:]
        assert (await bytes_of(audio["src"], Range=f"bytes={len(whole)}-"))[0] == 416
        assert (await bytes_of(audio["src"], Range="bytes=5-2"))[0] == 416
        for strange in ("bytes=-5", "bytes=0-1,3-4", "lines=1-2"):
            assert (await bytes_of(audio["src"], Range=strange))[0::2] == (200, whole)
        status, headers, file = await bytes_of(f"/streams/{row.id}/download")
        assert file == whole
        assert headers["Content-Disposition"] == (
            'attachment; filename="earnest-20260504-120000.wav"'
        )
        status, headers, picture = await bytes_of(f"/streams/{row.id}/waveform.svg")
        assert headers["Content-Type"] == "image/svg+xml" and picture == svg(whole)
        assert not [p for p in data.rglob("*") if p.is_file() and SPEECH[:64] in p.read_bytes()]

    on_page(data, visit)


def test_each_look_is_recorded_before_it_happens_or_it_does_not_happen(data):
    async def visit(opened):
        row = await keep(opened, NOON_S)
        words = f"what time is it {EVIL}"
        await opened.worker.look(lambda r: r.keep_transcript(row.recording, words))
        client = await opened.enter()
        paths = ["", "/waveform.svg", "/audio.wav", "/download"]
        log = data / "receiver-audit" / "audit.jsonl"
        for path in paths:
            async with client.get(f"/streams/{row.id}{path}") as answer:
                assert answer.status == 200
                if not path:
                    read = Reader(await answer.text())
                    assert words in read.text and "script" not in {tag for tag, _ in read.tags}
        looks = [json.loads(line) for line in log.read_text().splitlines()]
        looks = [look for look in looks if look["kind"] == "look"]
        assert [look["what"] for look in looks] == ["read", "hear", "download"]
        assert {(look["source"], look["recording"]) for look in looks} == {("page", row.recording)}
        await post(client, "/delete", [("row", str(row.id))])
        assert '"source":"page","recordings":1' in log.read_text()
        row = await keep(opened, NOON_S)
        log.unlink()
        log.mkdir()  # nothing can be recorded
        for path in paths[1:]:
            status, _, text = await ask(client, "GET", f"/streams/{row.id}{path}")
            assert status == 500 and "cannot" in text and "RIFF" not in text, path

    on_page(data, visit)


def test_a_hearing_is_recorded_once_however_many_parts_the_browser_asks_for(data, monkeypatch):
    async def visit(opened):
        row, other = await keep(opened, NOON_S), await keep(opened, NOON_S)
        log = data / "receiver-audit" / "audit.jsonl"
        client, stranger = await opened.enter(), await opened.enter()

        async def hear(client, row, first=0):
            headers = {"Range": f"bytes={first}-{first + 99}"}
            path = f"/streams/{row.id}/audio.wav"
            assert (await bytes_at(client, path, headers)).startswith(b"RIFF"[: 4 * (not first)])
            return log.read_text().count('"what":"hear"')

        # A part behind the beginning is a hearing as well.
        assert [await hear(client, row, at) for at in (500, 0, 100, 900)] == [1] * 4
        assert await hear(client, other) == 2
        assert await hear(stranger, row) == 3 and await hear(stranger, row, 100) == 3
        assert await asyncio.gather(*(hear(client, row) for _ in range(4))) == [3] * 4
        monkeypatch.setattr(archives, "MAX_HEARINGS", 1)
        assert await hear(client, row) == 4, "the oldest were forgotten"
        monkeypatch.setattr(archives, "HEARING_S", 0.0)
        assert [await hear(client, row) for _ in range(2)] == [5, 6]
        await post(client, "/delete", [("row", str(row.id))])
        monkeypatch.setattr(archives, "HEARING_S", 600.0)
        assert (await ask(client, "GET", f"/streams/{row.id}/audio.wav"))[0] == 404

    on_page(data, visit)


async def bytes_at(client, path, headers):
    async with client.get(path, headers=headers) as answer:
        assert answer.status == 206
        return await answer.read()


def test_the_waveform_shows_where_it_is_loud():
    quiet, loud = np.zeros(8000, np.int16), np.full(8000, 20000, np.int16)
    file = io.BytesIO()
    with wave.open(file, "wb") as made:
        made.setparams((1, 2, 16000, 0, "NONE", ""))
        made.writeframes(np.concatenate([quiet, loud]).tobytes())
    heights = [float(high) for high in re.findall(r"v([\d.]+)", svg(file.getvalue()).decode())]
    assert len(heights) == 300 and set(heights[:149]) == {1.0} and min(heights[151:]) > 50
    empty = io.BytesIO()
    with wave.open(empty, "wb") as made:
        made.setparams((1, 2, 16000, 0, "NONE", ""))
    assert svg(empty.getvalue()).count(b"M") == 300


def test_what_is_not_there_is_not_found(data):
    async def visit(opened):
        [row] = await fill(opened, stream(NOON_S))
        client = await opened.enter()
        assert (await ask(client, "GET", f"/streams/{row.id}"))[0] == 200
        for number in (row.id, row.id + 1, "0", "-1", "x", "1e3", "9" * 16, "%00", "..%2f"):
            for part in ("/audio.wav", "/download", "/waveform.svg"):
                assert (await ask(client, "GET", f"/streams/{number}{part}"))[0] == 404, number
        for number in (row.id + 1, "0", "-1", "x", "9" * 16, "%00"):
            assert (await ask(client, "GET", f"/streams/{number}"))[0] == 404, number

    on_page(data, visit)


async def post(client, path, fields):
    form = [("csrf", await csrf_of(client)), *fields]
    return await ask(client, "POST", path, data=form)


def test_one_and_a_selection_are_deleted_after_a_question(data):
    async def visit(opened):
        rows = [await keep(opened, NOON_S + number) for number in range(4)]
        client = await opened.enter()
        chosen = [("row", str(row.id)) for row in rows[:2]]
        status, _, html = await post(client, "/delete/ask", chosen)
        assert status == 200 and "Delete 2 recordings?" in html
        assert "Nobody can bring a deleted recording back." in html
        assert await kept_ids(opened) == {row.recording for row in rows}, "asking deletes nothing"
        status, _, html = await post(client, "/delete", chosen)
        assert status == 200 and "2 recordings deleted" in Reader(html).text
        assert await kept_ids(opened) == {row.recording for row in rows[2:]}
        for row in rows[:2]:
            assert (await ask(client, "GET", f"/streams/{row.id}/audio.wav"))[0] == 404
            assert "was deleted" in (await ask(client, "GET", f"/streams/{row.id}"))[2]
        _, _, html = await post(client, "/delete", chosen)
        assert "0 recordings deleted" in Reader(html).text
        assert "Nothing to delete" in (await post(client, "/delete/ask", []))[2]

    on_page(data, visit)


@pytest.mark.parametrize(
    "fields, left",
    [
        ({"day": "2026-05-04"}, [1, 2, 3]),
        ({"device": BEDROOM}, [0, 2, 3]),
        ({"device": KITCHEN, "day": "2026-05-06"}, [0, 1, 3]),
        ({"word": "okay_nabu"}, []),
        ({"word": "nobody's"}, [0, 1, 2, 3]),
        ({"kept": "no"}, [0, 1, 2, 3]),
        ({"kept": "yes"}, []),
        ({}, []),
    ],
)
def test_a_day_a_devices_and_all_are_deleted_and_nothing_else(data, fields, left, monkeypatch):
    monkeypatch.setattr(archives, "_BATCH", 1)

    async def visit(opened):
        rows = [
            await keep(opened, NOON_S),
            await keep(opened, NOON_S + DAY_S, BEDROOM),
            await keep(opened, NOON_S + 2 * DAY_S),
            await keep(opened, NOON_S + 3 * DAY_S),
        ]
        client = await opened.enter()
        form = [("all", "1"), *fields.items()]
        count = len(rows) - len(left)
        _, _, html = await post(client, "/delete/ask", form)
        assert (f"Delete {count} recording" if count else "Nothing to delete") in html
        assert len(await kept_ids(opened)) == 4
        _, _, html = await post(client, "/delete", form)
        assert f"{count} recording" in Reader(html).text
        assert await kept_ids(opened) == {rows[at].recording for at in left}

    on_page(data, visit)


def test_a_deletion_goes_on_when_the_browser_leaves(data):
    async def visit(opened):
        row = await keep(opened, NOON_S)
        page = archives.Archive(opened.worker)
        busy = opened.worker.look(lambda recordings: time.sleep(0.1))
        deleting = asyncio.create_task(page.delete([row]))
        await asyncio.sleep(0)
        deleting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deleting
        await busy
        assert await kept_ids(opened) == set()

    on_page(data, visit)


def test_deleting_needs_a_form_of_the_session(data):
    async def visit(opened):
        row = await keep(opened, NOON_S)
        client, stranger = await opened.enter(), opened.client()
        others = await csrf_of(await opened.enter())
        for who, form in (
            (client, {"row": row.id}),
            (client, {"row": row.id, "csrf": others}),
            (stranger, {"row": row.id, "csrf": await csrf_of(client)}),
        ):
            for path in ("/delete", "/delete/ask"):
                assert (await ask(who, "POST", path, data=form))[0] == 403
        many = [("row", str(number)) for number in range(101)]
        assert (await post(client, "/delete", many))[0] == 400
        for strange in ("x", "-1", "1 OR 1=1", ""):
            assert (await post(client, "/delete", [("row", strange)]))[0] == 404
        assert (await ask(client, "GET", f"/delete?row={row.id}"))[0] == 405
        assert await kept_ids(opened) == {row.recording}

    on_page(data, visit)


def test_names_and_words_of_streams_are_text(data):
    async def visit(opened):
        row = await keep(
            opened, NOON_S, device_name=EVIL, wake_word=EVIL, reason=EVIL, device_id=EVIL[:60]
        )
        client = await opened.enter()
        question = {"device": EVIL[:60]}
        pages = [
            await ask(client, "GET", "/timeline"),
            await ask(client, "GET", "/timeline", params=question),
            await ask(client, "GET", "/timeline", params={"word": EVIL[:60]}),
            await ask(client, "GET", f"/streams/{row.id}"),
            await post(client, "/delete/ask", [("row", str(row.id))]),
            await post(client, "/delete/ask", [("all", "1"), *question.items()]),
        ]
        for status, _, html in pages:
            assert status == 200
            for tag, attributes in Reader(html).tags:
                assert tag not in ("script", "iframe", "svg", "style")
                assert tag != "img" or attributes["class"] == "wave"
                assert not [name for name in attributes if name.startswith("on")]

    on_page(data, visit)


def test_what_left_is_added_up_by_day_and_device(data):
    async def visit(opened):
        now_s = datetime.datetime.combine(datetime.date.today(), datetime.time(12)).timestamp()
        await fill(
            opened,
            stream(now_s),
            stream(now_s + 1, bytes=64000),
            stream(now_s, BEDROOM, bytes=3200),
            stream(now_s - 29 * DAY_S, EVIL[:60], bytes=0),
            stream(now_s - 31 * DAY_S),
        )
        idle = {BEDROOM: Counts(201600, 100800, 5760, 12, 34), "e" * 16: Counts(70, 35, 3)}
        await opened.worker.count(idle)
        client = await opened.enter()
        _, _, html = await ask(client, "GET", "/left")
        read = Reader(html)
        rows = html.split("<tbody>")[1].split("<tr>")[1:]
        shown = [Reader(row).text.split("Beside")[0].split() for row in rows]
        today = datetime.date.today().isoformat()
        assert len(shown) == 4
        texts = [" ".join(words) for words in shown]
        assert f"{today} not in the list: {KITCHEN} 2 96000 3.0 not counted not counted" in texts
        counted = "201600, 100800 in 5760 messages 12, 34"
        assert f"{today} not in the list: {BEDROOM} 1 3200 0.1 {counted}" in texts
        assert any("0 0 0.0 70, 35 in 3 messages 0, 0" in text for text in texts), texts
        assert {a["width"] for tag, a in read.tags if tag == "rect"} == {"100", "3", "1"}
        assert not {"script", "img"} & {tag for tag, _ in read.tags}
        for link in [a["href"] for tag, a in read.tags if "day=" in a.get("href", "")]:
            status, _, html = await ask(client, "GET", link)
            assert status == 200 and numbers(html), link

    on_page(data, visit)


def test_a_filter_goes_into_links_and_comes_back_the_same():
    query = Query("0" * 16, "2026-05-04", "a&b=c d", "yes")
    assert Query().link() == "/timeline" and Query().filter() == EVERYTHING
    link = query.link((NOON_S + 0.123456, 7))
    assert "a%26b%3Dc+d" in link and cursor(link.partition("after=")[2]) == (NOON_S + 0.123456, 7)
    bounds = (NOON_S - DAY_S / 2, NOON_S + DAY_S / 2)
    assert query.filter() == Filter("0" * 16, "a&b=c d", True, *bounds)
    assert cursor("") is None
