"""The pages of a donation: what may be given, what was heard, and what leaves, by their forms."""

import hashlib
import io
import json
import tarfile

import pytest

from host_tools.companion import donation_pages
from host_tools.donation import archive as donations
from host_tools.errors import HostToolError
from host_tools.receiver.history_rows import row_of_recording
from host_tools.receiver.labels import GIVE, NONE, SKIP, Labels
from host_tools.receiver.receiver_log import FOLDER, LOG_NAME
from tests.companion.test_now import EVIL, Reader
from tests.companion.test_timeline import KITCHEN, SPEECH, post
from tests.fakes.pages import ask, csrf_of, on_page


async def keep(opened, share=True, wake_word="okay_nabu", words=None, audio=SPEECH):
    """A recording that was kept; returns (its row, the recording)."""

    def work(recordings):
        facts = {"device": KITCHEN, "preroll_ms": 0, "wake_word": wake_word}
        kept = recordings.add(audio, share_for_training=share, **facts)
        recordings.history.add([row_of_recording(kept, {KITCHEN: "kitchen"})])
        if words is not None:
            recordings.keep_transcript(kept.id, words)
        return recordings.history.of_recording(kept.id), kept

    return await opened.worker.look(work)


async def labels(opened, kept):
    return await opened.worker.look(lambda recordings: recordings.labels.of(kept.id))


async def transcript(opened, kept):
    return await opened.worker.look(lambda recordings: recordings.transcript(kept.id))


async def hear(client, row):
    async with client.get(f"/streams/{row.id}/audio.wav") as answer:
        assert answer.status == 200 and (await answer.read()).startswith(b"RIFF")


def decide(client, row, decision, **fields):
    form = {"wake_word": "wrong", "words": "okay Nobu", "agrees": "yes", **fields}
    path = f"/donation/review/{row.id}"
    return post(client, path, [("decision", decision), *form.items()])


async def make(client):
    """Make the archive of the set as its page shows it."""
    _, _, html = await ask(client, "GET", "/donation/set")
    fields = {a["name"]: a["value"] for tag, a in Reader(html).tags if a.get("type") == "hidden"}
    return await post(client, "/donation/archive", [("set", fields.get("set", ""))])


async def download(client):
    """Status and content of the archive."""
    form = {"csrf": await csrf_of(client)}
    async with client.post("/donation/download", data=form, allow_redirects=False) as answer:
        return answer.status, await answer.read()


def rows_of(content):
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return [json.loads(line) for line in tar.extractfile("labels.jsonl")]


def records(data, *kinds):
    lines = (data / FOLDER / LOG_NAME).read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] in kinds]


def text(html):
    return " ".join(Reader(html).text.split())


def test_the_whole_way_from_hearing_to_the_file(data):
    async def visit(opened):
        made = [await keep(opened) for _ in range(3)]
        made.sort(key=lambda each: (each[1].created, each[1].id))  # as the page has them
        (first, kept), (second, other), (third, skipped) = made
        await opened.worker.look(lambda r: r.keep_transcript(kept.id, "okay noble"))
        await keep(opened, share=False)
        client = await opened.enter()
        _, _, html = await ask(client, "GET", "/donation")
        assert "3 may be given: 0 in the set, 0 left out, 3 not decided." in text(html)
        assert "Nothing is in the set" in (await ask(client, "GET", "/donation/set"))[2]
        status, _, html = await decide(client, first, "give")
        assert status == 409 and "Hear it first" in text(html)
        assert "okay Nobu" in html, "what was typed is there again"
        assert ["wrong"] == [a["value"] for _, a in Reader(html).tags if "checked" in a]
        # The waveform shows it and lets nobody hear it.
        await ask(client, "GET", f"/streams/{first.id}/waveform.svg")
        assert (await labels(opened, kept)) == NONE
        await hear(client, first)
        assert (await labels(opened, kept)) == Labels(is_heard=True)
        status, _, html = await decide(client, first, "give", agrees="")
        assert status == 409 and "must agree" in text(html)
        _, _, html = await ask(client, "GET", f"/donation/review/{first.id}")
        assert "okay noble" in html and "You have heard it." in html
        status, headers, _ = await decide(client, first, "give")
        assert (status, headers["Location"]) == (303, f"/donation/review/{second.id}")
        assert (await labels(opened, kept)) == Labels("wrong", True, GIVE)
        assert (await transcript(opened, kept)) == "okay Nobu"
        status, headers, _ = await decide(client, third, "skip")
        assert (await labels(opened, skipped)) == Labels(donation=SKIP)
        assert headers["Location"] == f"/donation/review/{second.id}"
        await hear(client, second)
        status, headers, _ = await decide(client, second, "give", wake_word="", words="")
        assert headers["Location"] == "/donation"
        _, _, html = await ask(client, "GET", "/donation/set")
        assert "The set: 2 recordings" in text(html) and "okay Nobu" in html
        assert "2 recordings, 2 s of audio" in html and "Hear and decide" not in html
        assert not (data / "donation").exists()
        status, headers, _ = await make(client)
        assert (status, headers["Location"]) == (303, "/donation#archive")
        path = data / "donation" / "donation.tar"
        _, _, html = await ask(client, "GET", "/donation")
        assert str(path) in html and "It has not been downloaded" in text(html)
        status, content = await download(client)
        assert status == 200 and content == path.read_bytes()
        given = {
            row["sha256"]: (row["wake_word_label"], row["transcript"]) for row in rows_of(content)
        }
        assert len(rows_of(content)) == 2 and set(given.values()) <= {
            ("wrong", "okay Nobu"),
            (None, None),
        }
        _, _, html = await ask(client, "GET", "/donation")
        assert "It has left: nobody can call that copy back" in text(html)
        assert "2 recordings that are still here left in an archive" in text(html)
        _, _, html = await ask(client, "GET", f"/streams/{first.id}")
        assert "Nobody can call that copy back" in text(html)
        assert (await post(client, "/donation/remove", []))[0] == 303 and not path.exists()
        _, _, html = await ask(client, "GET", "/donation")
        assert "Nobody can call that copy back" in text(html), "it is gone here, and not there"
        assert (
            (await labels(opened, skipped)).left is None is (await labels(opened, other)).wake_word
        )
        digest = hashlib.sha256(content).hexdigest()
        [donate], [leave] = records(data, "donate"), records(data, "leave")
        for record in (donate, leave):
            assert (record["archive"], record["recordings"]) == (digest, 2)
            assert record["source"] == "page"
        hears = [r["recording"] for r in records(data, "look") if r["what"] == "hear"]
        assert hears.count(kept.id) == 1 and skipped.id not in hears  # one within a minute

    on_page(data, visit)


async def reviewed(opened, client, count=2):
    made = [await keep(opened) for _ in range(count)]
    for row, _ in made:
        await hear(client, row)
        assert (await decide(client, row, "give"))[0] == 303
    return made


@pytest.mark.parametrize("how", ["unshare", "delete"])
def test_withdrawn_in_the_middle(data, how):
    """Between hearing and giving, set and archive, archive and download."""

    async def visit(opened):
        client = await opened.enter()
        made = await reviewed(opened, client, 4)

        async def close(index):
            def work(recordings):
                kept = made[index][1]
                if how == "delete":
                    return recordings.delete([kept]).left
                left = recordings.unshare(KITCHEN)
                for _, other in made[:index]:  # the device withdrew, and these are of another
                    recordings._rewrite([other])
                return left

            assert await opened.worker.look(work) == []

        _, _, html = await ask(client, "GET", "/donation/set")
        fields = {a["name"]: a["value"] for _, a in Reader(html).tags if a.get("type") == "hidden"}
        await close(3)
        row = made[3][0]
        status, _, html = await post(client, "/donation/archive", [("set", fields["set"])])
        assert status == 409 and "look at it again" in text(html)
        assert (await ask(client, "GET", f"/donation/review/{row.id}"))[0] == 404
        for decision in ("give", "skip"):
            assert (await decide(client, row, decision))[0] == 404
        assert (await make(client))[0] == 303
        assert (data / "donation" / "donation.tar").exists()
        await close(2)
        assert not (data / "donation").exists()
        status, content = await download(client)
        assert status == 409 and b"There is no archive any more" in content
        assert "The archive" not in (await ask(client, "GET", "/donation"))[2].split("<h2")[1]
        assert (await make(client))[0] == 303
        status, content = await download(client)
        assert status == 200 and len(rows_of(content)) == 2
        await close(1)  # too late: the page says so
        _, _, html = await ask(client, "GET", "/donation")
        assert "Nobody can call that copy back" in text(html)
        assert not (data / "donation").exists(), "what lay here went all the same"

    on_page(data, visit)


def test_an_archive_is_made_of_what_was_seen_and_once(data):
    async def visit(opened):
        client = await opened.enter()
        made = await reviewed(opened, client)
        for wrong in ("", "0" * 64, "'"):
            assert (await post(client, "/donation/archive", [("set", wrong)]))[0] == 409
        assert (await make(client))[0] == (await make(client))[0] == 303
        assert len(records(data, "donate")) == 1
        path = data / "donation" / "donation.tar"
        before = path.read_bytes()
        await decide(client, made[0][0], "skip")
        assert path.read_bytes() == before, "what was made is as it was seen"
        assert (await make(client))[0] == 303 and len(rows_of(path.read_bytes())) == 1
        _, _, html = await ask(client, "GET", "/donation/set")
        fields = [a["value"] for _, a in Reader(html).tags if a.get("name") == "set"]
        await decide(client, made[0][0], "give")  # in another tab
        assert (await post(client, "/donation/archive", [("set", fields[0])]))[0] == 409

    on_page(data, visit)


def test_numbers_of_other_recordings_and_strange_fields(data):
    async def visit(opened):
        client = await opened.enter()
        unshared, kept = await keep(opened, share=False)
        shared, _ = await keep(opened)
        await hear(client, unshared)
        for number in (unshared.id, 99, "0", "-1", "x", "9" * 16, "%00", "..%2f1"):
            path = f"/donation/review/{number}"
            assert (await ask(client, "GET", path))[0] == 404, number
            form = [("decision", "give"), ("agrees", "yes")]
            assert (await post(client, path, form))[0] == 404, number
            if number != unshared.id:
                assert (await post(client, f"/streams/{number}/labels", []))[0] == 404, number
        assert (await labels(opened, kept)) == Labels(is_heard=True)
        for fields in (
            {"decision": "sell"},
            {"decision": ""},
            {"decision": "skip", "wake_word": "perhaps"},
            {"decision": "skip", "words": "x" * 1001},
        ):
            form = {"wake_word": "", "words": "", **fields}
            answer = await post(client, f"/donation/review/{shared.id}", list(form.items()))
            assert answer[0] == 400, fields
        for page in ("x", "-1", "999999999"):
            for path in ("/donation", "/donation/set"):
                assert (await ask(client, "GET", path, params={"page": page}))[0] == 404
        assert (await post(client, "/donation/remove", []))[0] == 303
        assert (await download(client))[0] == 409

    on_page(data, visit)


def test_words_and_labels_are_text_wherever_they_are_shown(data):
    async def visit(opened):
        client = await opened.enter()
        row, kept = await keep(opened, wake_word=EVIL[:60], words=EVIL)
        await hear(client, row)
        evil = EVIL + "</textarea></pre>\x1b[2J\u202e"
        problem = await decide(client, row, "give", agrees="", words=evil)
        assert problem[0] == 409
        assert (await decide(client, row, "give", words=evil))[0] == 303
        assert (await make(client))[0] == 303
        pages = [problem]
        for path in (
            "/donation",
            "/donation/set",
            f"/donation/review/{row.id}",
            f"/streams/{row.id}",
        ):
            pages.append(await ask(client, "GET", path))
        for _, _, html in pages:
            assert "\x1b" not in html and "\u202e" not in html
            for tag, attributes in Reader(html).tags:
                assert tag not in ("script", "iframe", "svg", "style")
                assert tag != "img" or attributes["class"] == "wave"
                assert not [name for name in attributes if name.startswith("on")]
        [given] = rows_of((await download(client))[1])
        assert given["transcript"] == (await transcript(opened, kept))
        assert "\x1b" not in given["transcript"] and given["transcript"].startswith("<")

    on_page(data, visit)


def test_a_false_wake_is_labelled_on_its_own_page(data):
    async def visit(opened):
        client = await opened.enter()
        row, kept = await keep(opened, share=False, words="what thyme is it")
        path = f"/streams/{row.id}/labels"

        def form(label, words, shown="what thyme is it"):
            return [("wake_word", label), ("words", words), ("shown", shown)]

        status, headers, _ = await post(client, path, form("wrong", "what thyme is it"))
        assert (status, headers["Location"]) == (303, f"/streams/{row.id}#labels")
        assert (await labels(opened, kept)) == Labels("wrong")
        _, _, html = await ask(client, "GET", f"/streams/{row.id}")
        checked = [a["value"] for tag, a in Reader(html).tags if "checked" in a]
        assert checked == ["wrong"] and "what thyme is it" in html
        count = len(records(data, "label"))
        await post(client, path, form("wrong", "what thyme is it"))
        assert len(records(data, "label")) == count == 1, "nothing changed"
        await post(client, path, form("", "what time is it"))
        assert (await labels(opened, kept)) == NONE
        assert (await transcript(opened, kept)) == "what time is it"
        await post(client, path, form("", "", "what time is it"))
        assert (await transcript(opened, kept)) is None
        # Words that came after the page was shown are not removed by its empty field.
        late, other = await keep(opened, words="late")
        await post(client, f"/streams/{late.id}/labels", form("right", "", ""))
        assert (await transcript(opened, other)) == "late"
        await opened.worker.look(lambda recordings: recordings.delete([kept]))
        assert (await post(client, path, form("right", "")))[0] == 404

    on_page(data, visit)


def test_a_full_disk_is_said_and_nothing_is_given_by_it(data, monkeypatch):
    async def visit(opened):
        client = await opened.enter()
        row, kept = await keep(opened)
        full = HostToolError("the history failed: disk is full", "check the free space")

        def fail(*arguments, **options):
            raise full

        with monkeypatch.context() as patch:
            patch.setattr(opened.recordings.history, "keep_labels", fail)
            await hear(client, row)  # nobody is kept from hearing
            assert (await labels(opened, kept)) == NONE
            status, _, html = await decide(client, row, "skip")
            assert status == 500 and "disk is full" in html
        await hear(client, row)
        await decide(client, row, "give")
        with monkeypatch.context() as patch:
            patch.setattr(opened.recordings.waiting, "write", fail)
            status, _, html = await make(client)
            assert status == 500 and "disk is full" in html
        assert (await download(client))[0] == 409
        assert (await make(client))[0] == 303
        with monkeypatch.context() as patch:
            patch.setattr(opened.recordings.log, "add", fail)
            status, content = await download(client)
            assert status == 500 and b"disk is full" in content, "what cannot be recorded"
        assert (await labels(opened, kept)).left is None

    on_page(data, visit)


def test_many_recordings_come_in_pages(data, monkeypatch):
    monkeypatch.setattr(donation_pages, "PAGE_ROWS", 2)

    async def visit(opened):
        client = await opened.enter()
        made = await reviewed(opened, client, 5)
        for path in ("/donation", "/donation/set"):
            seen = []
            for page in range(3):
                _, _, html = await ask(client, "GET", f"{path}?page={page}")
                links = [a.get("href", "") for _, a in Reader(html).tags]
                seen += [link for link in links if "/review/" in link]
                assert ("Later" in html) == (page < 2) and ("Earlier" in html) == (page > 0)
            assert sorted(seen) == sorted(f"/donation/review/{row.id}" for row, _ in made)

    on_page(data, visit)


def test_a_set_of_more_than_an_hour_is_for_the_command(data, monkeypatch):
    monkeypatch.setattr(donations, "MAX_SAMPLES", 1)

    async def visit(opened):
        client = await opened.enter()
        await reviewed(opened, client, 1)
        status, _, html = await make(client)
        assert status == 409 and "earnest donate FILE" in html

    on_page(data, visit)
