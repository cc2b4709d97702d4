"""The device's log held against this receiver, on the page: what does not match is red, and said
in words; a copy of a log that somebody hands over is read with care."""

import asyncio
import json
import random
import time
from dataclasses import replace

import pytest
from aiohttp import FormData

from firmware.satellite import audit_record as log_format
from host_tools import cli
from host_tools.audit.results import CABLE, Results
from host_tools.companion.check_pages import MAX_FILES
from host_tools.companion.checks import STALE_DAYS, Checks
from host_tools.companion.serving import MAX_BODY_BYTES
from host_tools.receiver.anchors import Anchor, Anchors
from host_tools.receiver.authority import open_or_make
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.history import HISTORY_FILE, History
from tests.commands.test_audit_streams import BOOT, START, end, rows_of
from tests.companion.test_now import Reader
from tests.fakes.pages import ask, csrf_of, on_page
from tests.fakes.satellites import FakeSatellite

#: The name of a file that somebody hands over.
SCRIPT = "<script>alert(1)</script>.jsonl"


class House:
    """A kitchen in a receiver's list, its log, and what that receiver got of it."""

    def __init__(self, data, tmp_path):
        self.data, self.folder = data, tmp_path / "log"
        self.folder.mkdir(exist_ok=True)
        authority = open_or_make(data / "authority")
        self.device, _ = DeviceList(data / "devices.json").issue("kitchen", authority)
        previous, lines = log_format.NO_HASH, []
        events = (BOOT, START, end(320), START, end(9600))
        for n, (kind, fields) in enumerate(events):
            line, previous = log_format.encode(n, n * 60000, kind, fields, previous)
            lines.append(line)
        self.files = {
            "audit.jsonl": b"".join(lines),
            "audit.head": log_format.encode_head(len(lines) - 1, previous),
        }
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content)
        self.told(len(lines) - 1, previous, time.time() - 60)

    def told(self, seq, digest, told_s):
        Anchors(self.data).add(self.device.id, Anchor(seq, digest, told_s))

    def got(self, *sizes):
        history = History(self.data / HISTORY_FILE)
        rows = rows_of(*sizes, device=self.device.id)
        begin_s = time.time() - 300
        history.add(replace(row, began_s=begin_s + n) for n, row in enumerate(rows))
        history.close()
        return self

    def audit(self):
        return cli.run(["audit", str(self.folder), "--data", str(self.data)])


@pytest.fixture
def house(data, tmp_path):
    return House(data, tmp_path)


def left(data, action=None):
    """What the page says, as text, and its tags."""
    pages = []

    async def visit(opened):
        client = await opened.enter()
        if action is not None:
            await action(opened, client)
        status, _, html = await ask(client, "GET", "/left")
        assert status == 200
        pages.append(Reader(html))

    on_page(data, visit)
    return pages[0]


def levels(page):
    return [a["class"] for tag, a in page.tags if tag == "article"]


def test_a_device_that_was_never_checked_is_said_to_be(house):
    page = left(house.data)
    assert "Never checked." in page.text and levels(page) == ["check unknown"]


def test_what_the_command_found_stands_on_the_page(house, capsys):
    house.got(320, 9600)
    assert house.audit() == 0
    page = left(house.data)
    assert "All 2 streams matched." in page.text and levels(page) == ["check good"]
    assert "records 0 to 4 , hash chain intact".replace(" ,", ",") in page.text
    assert "2 of 2 came here" in page.text and "✔" in page.text and "✖" not in page.text


def test_a_stream_that_went_elsewhere_is_red_in_words_and_with_a_sign(house, capsys):
    house.got(320)
    assert house.audit() == 1
    now = []

    async def look(opened, client):
        opened.now.connected(FakeSatellite(house.device.id, "kitchen"))
        now.append(Reader((await ask(client, "GET", "/"))[2]).text)

    page = left(house.data, look)
    assert levels(page) == ["check bad"]
    assert "1 stream does not match. Somebody else may have got audio" in page.text
    assert "9600" in page.text and "left the device for home.lan" in page.text
    assert page.text.count("✖") == 2
    assert "✖ Its log and this receiver do not match. See what does not match" in now[0]


def test_an_anchor_that_disagrees_is_red_at_once(house, capsys):
    house.got(320, 9600)
    assert house.audit() == 0
    checks = Checks(house.data)
    assert checks.alarm(house.device.id) is None
    house.told(2, "d" * 64, time.time())
    assert checks.alarm(house.device.id) == "Its log was changed or cut."
    page = left(house.data)
    assert levels(page) == ["check bad"] and "restarted or cut between" in page.text


def test_where_nothing_can_be_compared_nothing_is_called_good(house, capsys):
    history = History(house.data / HISTORY_FILE)
    history.add(rows_of(320, device=house.device.id))  # long after what the log tells of
    history.close()
    assert house.audit() == 0
    page = left(house.data)
    assert levels(page) == ["check unknown"] and "2 are older than this" in page.text


def test_a_log_that_no_anchor_holds_is_not_called_good(house, capsys):
    house.got(320, 9600)
    (house.data / "anchors" / f"{house.device.id}.jsonl").unlink()

    async def give(opened, client):
        assert (await hand_over(client, house.files.items(), house.device.id))[0] == 303

    page = left(house.data, give)
    assert levels(page) == ["check unknown"]
    assert "All 2 streams matched, but a log that was written anew would look the" in page.text


def test_anchors_that_contradict_each_other_are_red_without_any_check(house):
    house.told(2, "d" * 64, time.time())
    page = left(house.data)
    assert levels(page) == ["check bad"] and "restarted or cut between" in page.text


def test_a_check_grows_old_and_says_what_came_since(house, capsys):
    house.got(320, 9600)
    house.audit()
    results, id = Results(house.data), house.device.id
    old_s = time.time() - (STALE_DAYS + 1) * 86400
    results.keep(id, replace(results.of(id), checked_s=old_s, source=CABLE), [])
    house.told(9, "9" * 64, time.time())
    page = left(house.data)
    assert levels(page) == ["check old"] and "31 days ago: check it again" in page.text
    assert "2 streams came; its newest record is 9" in page.text


async def hand_over(client, files, device="", csrf=None):
    form = FormData(quote_fields=False)
    form.add_field("csrf", await csrf_of(client) if csrf is None else csrf)
    form.add_field("device", device)
    for name, content in files:
        form.add_field("log", content, filename=name)
    status, headers, html = await ask(client, "POST", "/left/check", data=form)
    return status, headers.get("Location"), Reader(html).text


def test_a_copy_that_is_handed_over_is_checked_and_kept(house):
    house.got(320)

    async def give(opened, client):
        answer = await hand_over(client, house.files.items())
        assert answer[:2] == (303, f"/left#check-{house.device.id}")

    page = left(house.data, give)
    assert levels(page) == ["check bad"] and "from a copy of its log" in page.text


def test_a_copy_from_before_the_newest_anchor_is_not_called_a_cut(house):
    house.got(320, 9600).told(7, "7" * 64, time.time())

    async def give(opened, client):
        assert (await hand_over(client, house.files.items()))[0] == 303

    page = left(house.data, give)
    assert levels(page) == ["check good"]
    assert "not the newest: the receiver was told of record 7" in page.text


def test_a_form_of_another_session_hands_nothing_over(house):
    async def give(opened, client):
        assert (await hand_over(client, house.files.items(), csrf="x"))[0] == 403
        stranger = opened.client()
        assert (await hand_over(stranger, house.files.items(), csrf="x"))[0] == 403

    assert levels(left(house.data, give)) == ["check unknown"]


def test_what_is_no_log_is_refused_in_words(house):
    log = house.files["audit.jsonl"]

    async def give(opened, client):
        for files, words in (
            ([], "Choose the files"),
            ([("", b"")], "Choose the files"),
            ([("audit.jsonl", b"")], "empty"),
            ([("audit.jsonl", b"\0\xff" * 999)], "no record of an audit log"),
            ([("audit.head", b"x")], "no log file"),
            ([("a.head", b""), ("b.head", b""), ("c", log)], "two files named .head"),
            ([(f"{n}", log) for n in range(MAX_FILES + 1)], "17 files at most"),
        ):
            status, _, text = await hand_over(client, files)
            assert status == 400 and words in text, (words, text)
        status, _, text = await hand_over(client, house.files.items(), "nobody")
        assert status == 400 and "not in the list" in text
        status, _, _ = await hand_over(client, [("a", b"x" * MAX_BODY_BYTES)])
        assert status == 413
        evil = [(SCRIPT, log.replace(b'"seq":2', b'"seq":9'))]
        assert (await hand_over(client, evil, house.device.id))[0] == 303

    page = left(house.data, give)
    assert levels(page) == ["check bad"] and SCRIPT in page.text
    assert "script" not in {tag for tag, _ in page.tags}


@pytest.mark.filterwarnings("ignore")  # aiohttp tells of each bad header
def test_any_bytes_are_an_answer_and_never_a_failure(house):
    """Fuzzed: parts of the log cut, doubled, changed and mixed."""
    house.got(320, 9600)
    chosen = random.Random(11)
    log, head = house.files.values()

    def some():
        text = bytearray(chosen.choice([log, head, log + log, b"{}\n" * 9, chosen.randbytes(400)]))
        for _ in range(chosen.randrange(4)):
            at = chosen.randrange(len(text) + 1)
            text[at : at + chosen.randrange(40)] = chosen.choice(
                [b"", b"\n", b"\0", b"9" * 400, b"[" * 500, "é".encode(), chosen.randbytes(30)]
            )
        return bytes(text)

    async def give(opened, client):
        csrf = await csrf_of(client)
        seen = set()
        for _ in range(150):
            names = ["audit.jsonl", "audit.1.jsonl", "audit.head", "../x", "x" * 300, "a\u0301b"]
            files = [(chosen.choice(names), some()) for _ in range(chosen.randrange(1, 4))]
            device = chosen.choice(["", house.device.id])
            status, _, text = await hand_over(client, files, device, csrf)
            assert status in (303, 400, 409), text
            seen.add(status)
        assert seen >= {303, 400}, seen
        body = b"".join(
            b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n' % part
            for part in (
                (b"csrf", b"", csrf.encode()),
                (b"device", b"", house.device.id.encode()),
                (b"log", b'; filename="audit.jsonl"', log),
            )
        )
        body += b"--b--\r\n"
        form = {"Content-Type": "multipart/form-data; boundary=b"}
        assert (await ask(client, "POST", "/left/check", data=body, headers=form))[0] == 303
        for _ in range(150):
            at = chosen.randrange(len(body))
            part = chosen.choice(
                [b"", b"\r\n--b\r\n", b"\0", b'"', b"--b--", b"\r\n\r\n", b"\xff"]
            )
            bad = body[:at] + part + body[at + chosen.randrange(60) :]
            status, _, text = await ask(client, "POST", "/left/check", data=bad, headers=form)
            assert status in (303, 400, 403, 409, 413), (status, text)
        assert opened.host.events("warning") == []

    left(house.data, give)
    json.loads((house.data / "checks" / f"{house.device.id}.json").read_bytes())


def test_two_who_hand_over_at_once_leave_one_whole_result(house):
    house.got(320, 9600)

    async def give(opened, client):
        csrf = await csrf_of(client)
        files = house.files.items()
        done = await asyncio.gather(*(hand_over(client, files, csrf=csrf) for _ in range(4)))
        assert [status for status, *_ in done] == [303] * 4

    assert levels(left(house.data, give)) == ["check good"]
