"""The page "Now": what it says of a device, at once, and that whatever a device says is text."""

import asyncio
import json
import re
import time
from html.parser import HTMLParser

import pytest

from firmware.satellite import protocol
from host_tools.companion import devices_now, pages
from host_tools.companion.devices_now import AWAY, DevicesNow
from host_tools.receiver.assistant import ConnectionLost
from host_tools.receiver.authority import open_or_make
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.statuses import Statuses, ToldStatus
from tests.fakes.pages import ask, csrf_of, on_page
from tests.fakes.satellites import STREAM, FakeSatellite, status

ID = "0123456789abcdef"
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&{{7*7}}"


class Reader(HTMLParser):
    """What a page consists of: its tags with their attributes, and its text."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


async def show(opened):
    return Reader((await ask(await opened.enter(), "GET", "/"))[2]).text


def listed(data, *names):
    """The ids of devices of a new list."""
    devices, signer = DeviceList(data / "devices.json"), open_or_make(data / "authority")
    return [devices.issue(name, signer)[0].id for name in names]


@pytest.mark.parametrize(
    "changes, is_streaming, light, microphone",
    [
        ({"is_speaking": True}, False, "white", "not known"),
        ({"is_speaking": True}, True, "blue", "on"),
        ({"is_speaking": True, "muted": True, "listening": False}, False, "red", "off"),
        ({}, False, "green", "on"),
        ({}, True, "blue", "on"),
        ({"muted": True, "listening": False}, False, "red", "off"),
        ({"muted": True, "switch": True, "listening": False}, False, "red", "off"),
        ({"muted": True, "listening": False}, True, "red", "off"),
        ({"listening": False}, False, "yellow", "off"),
    ],
)
def test_the_light_is_as_the_device_shows_it(data, changes, is_streaming, light, microphone):
    async def visit(opened):
        is_speaking = changes.pop("is_speaking", False)
        satellite = FakeSatellite(ID, "kitchen", **changes)
        opened.now.connected(satellite)
        watch = opened.now.watch()
        satellite.is_speaking = is_speaking
        opened.now.sound_changed(satellite)
        assert watch.is_set()
        if is_streaming:
            opened.now.stream_started(satellite, STREAM, "okay_nabu")
        [now] = opened.now.all()
        assert (now.light.kind, now.microphone) == (light, microphone)
        shown = await show(opened)
        assert f"Light: {now.light.shows}." in shown and f"Microphone {microphone}" in shown

    on_page(data, visit)


@pytest.mark.parametrize(
    "off_by, words",
    [
        ("fault", "Off by a fault"),
        ("switch", "Muted by its switch"),
        ("button", "Muted by its button 2"),
        ("network", "Muted by a request over the network"),
        ("stored", "Muted by the state that it kept"),
        ("setting", "Muted by its configuration"),
        ("unknown", "Muted by doubt"),
        (None, "Muted by its button, or a request over the network"),
    ],
)
def test_what_keeps_the_microphone_off_is_said_as_the_device_tells_it(data, off_by, words):
    async def visit(opened):
        told = {"muted": off_by != "fault", "listening": False, "switch": off_by == "switch"}
        kitchen = FakeSatellite(ID, "kitchen", off_by=off_by, cutoffs=(848,), **told)
        opened.now.connected(kitchen)
        shown = (await show(opened)).replace("button Wake", "button 2 Wake")
        assert words in shown and ("two flashes a second" in shown) == (off_by == "fault")
        assert opened.now.all()[0].microphone == "off"

    on_page(data, visit)


@pytest.mark.parametrize("off_by", protocol.OFF_REASONS)
def test_every_reason_of_the_protocol_has_words(off_by):
    assert devices_now.OFF_BY[off_by]


def test_the_sensitivity_of_each_word_is_shown_and_never_guessed(data):
    async def visit(opened):
        words = {"words": ("okay_nabu", "alexa")}
        kitchen = FakeSatellite(ID, "kitchen", cutoffs=(848, 990), **words)
        opened.now.connected(kitchen)
        assert "Sensitivity okay_nabu 0.85, alexa 0.99" in await show(opened)
        for cutoffs in (None, (848,)):  # of an older device; of one that makes no sense
            kitchen.status = status(cutoffs=cutoffs, **words)
            assert "Sensitivity not known" in await show(opened)

    on_page(data, visit)


def test_what_is_not_known_is_not_guessed(data):
    """A device that is away, or has just come, shows no light of an earlier time."""
    [id] = listed(data, "kitchen")
    Statuses(data).keep(id, ToldStatus(status(), time.time() - 1000))

    async def visit(opened):
        [now] = opened.now.all()
        assert now.light is AWAY and now.microphone == "not known"
        shown = await show(opened)
        assert "not connected" in shown and "Wake words okay_nabu" in shown and "Mute" not in shown
        satellite = FakeSatellite(id, "kitchen")
        satellite.status = None
        opened.now.connected(satellite)
        [now] = opened.now.all()
        assert now.light is devices_now.UNTOLD and now.status is None
        satellite.status = status(muted=True, listening=False)
        opened.now.status_changed(satellite)
        assert opened.now.all()[0].light is devices_now.MUTED
        opened.now.disconnected(satellite)
        assert opened.now.all()[0].light is AWAY

    on_page(data, visit)


def test_a_newer_connection_takes_the_place_of_an_older_one(data):
    now = DevicesNow(DeviceList(data / "devices.json"), Statuses(data))
    old, new = FakeSatellite(ID, "kitchen"), FakeSatellite(ID, "kitchen", muted=True)
    now.connected(old)
    now.stream_started(old, STREAM, None)
    now.disconnected(old)
    now.connected(new)
    [shown] = now.all()
    assert not shown.is_streaming and shown.light is devices_now.MUTED
    assert now.satellite(ID) is new
    now.disconnected(new)
    assert now.satellite(ID) is None and now.all() == []


def test_mute_is_asked_until_the_device_confirms_and_there_is_no_unmute(data):
    async def visit(opened):
        kitchen = FakeSatellite(ID, "kitchen")
        opened.now.connected(kitchen)
        client = await opened.enter()
        form = {"csrf": await csrf_of(client)}
        assert (await ask(client, "POST", f"/devices/{ID}/mute", data=form))[0] == 303
        assert kitchen.asked == ["mute"]
        _, _, text = await ask(client, "GET", "/")
        assert "has not confirmed it" in text and "/mute" not in text
        kitchen.status = status(muted=True, listening=False)
        opened.now.status_changed(kitchen)
        _, _, text = await ask(client, "GET", "/")
        assert "has not confirmed it" not in text and "/mute" not in text
        assert "Only a person at the device may let it listen again" in text
        kitchen.status = status()
        opened.now.status_changed(kitchen)
        _, _, text = await ask(client, "GET", "/")
        assert f'action="/devices/{ID}/mute"' in text
        for path in ("unmute", "listen", "start"):
            assert (await ask(client, "POST", f"/devices/{ID}/{path}", data=form))[0] == 404
        assert kitchen.asked == ["mute"]

    on_page(data, visit)


def test_a_device_that_goes_while_it_is_muted_is_said(data):
    class Gone(FakeSatellite):
        async def mute(self):
            raise ConnectionLost

    async def visit(opened):
        opened.now.connected(Gone(ID, "kitchen"))
        client = await opened.enter()
        form = {"csrf": await csrf_of(client)}
        code, _, text = await ask(client, "POST", f"/devices/{ID}/mute", data=form)
        assert code == 409 and "Press its button" in text
        assert not opened.now.all()[0].is_mute_asked

    on_page(data, visit)


async def next_event(live):
    while True:
        lines = (await live.content.readuntil(b"\n\n")).decode()
        if lines.startswith("data: "):
            return json.loads(lines[len("data: ") :])


def test_a_press_is_shown_within_a_second_and_only_news_is_sent(data):
    async def visit(opened):
        kitchen = FakeSatellite(ID, "kitchen")
        opened.now.connected(kitchen)
        client = await opened.enter()
        async with client.get("/live") as live:
            assert live.headers["Content-Type"] == "text/event-stream"
            first = await next_event(live)
            assert first["said"] == "kitchen: light green, breathing."
            kitchen.status = status(muted=True, listening=False)
            pressed_s = time.monotonic()
            opened.now.status_changed(kitchen)
            second = await asyncio.wait_for(next_event(live), 1.0)
            assert time.monotonic() - pressed_s < 1.0
            assert second["said"] == "kitchen: light red, steady." and "Muted" in second["html"]
            opened.now.wake_watchers()
            assert (await live.content.readuntil(b"\n\n")).startswith(b": ")
        _, _, page = await ask(client, "GET", "/")
        assert Reader(second["html"]).text in Reader(page).text

    on_page(data, visit)


def test_a_browser_that_leaves_is_forgotten_and_too_many_are_refused(data):
    async def visit(opened):
        client = await opened.enter()
        views = [await client.get("/live").__aenter__() for _ in range(16)]
        assert [view.status for view in views] == [200] * 16
        assert (await ask(client, "GET", "/live"))[0] == 409
        for view in views:
            view.close()
        for _ in range(100):
            async with client.get("/live") as live:
                if live.status == 200:
                    break
            await asyncio.sleep(0.02)
        assert live.status == 200

    on_page(data, visit)


def test_live_views_leave_the_event_loop_to_the_audio(data, monkeypatch):
    """However many devices change all the time: 20 ms stand for what 100 of them cost."""
    taken = []

    def all_of(now):
        taken.append(time.sleep(0.02))
        return []

    async def visit(opened):
        client = await opened.enter()
        monkeypatch.setattr(DevicesNow, "all", all_of)
        views = [await client.get("/live").__aenter__() for _ in range(8)]
        taken.clear()
        began_s = time.monotonic()
        while time.monotonic() - began_s < 1.5:
            opened.now.wake_watchers()
            await asyncio.sleep(0.005)
        share = 0.02 * len(taken) / (time.monotonic() - began_s)
        for view in views:
            view.close()
        assert 0.0 < share < 0.5, share

    on_page(data, visit)


def test_a_browser_that_does_not_read_makes_way(data, monkeypatch):
    """As a phone that fell asleep; or one that wants to keep all live views for itself."""
    monkeypatch.setattr(pages, "STUCK_S", 0.2)
    monkeypatch.setattr(pages, "TOGETHER_S", 0.0)
    monkeypatch.setattr(pages, "REST", 0)

    async def visit(opened):
        for number in range(40):  # so that news is long, and what the system keeps is full soon
            opened.now.connected(FakeSatellite(f"{number:016x}", "kitchen" * 9))
        client = await opened.enter()
        async with client.get("/live") as live:
            assert live.status == 200
            live.connection.transport.pause_reading()
            kitchen = FakeSatellite(ID, "kitchen")
            for turn in range(400):
                opened.now.connected(kitchen) if turn % 2 else opened.now.disconnected(kitchen)
                await asyncio.sleep(0.002)
                if turn and not opened.now._watchers:
                    break
            assert not opened.now._watchers, f"it holds its place after {turn} turns"

    on_page(data, visit)


def test_what_devices_and_people_name_is_text(data):
    async def visit(opened):
        satellite = FakeSatellite(ID, EVIL, words=(EVIL, "okay\x1b[31m\u202e"), firmware=EVIL)
        opened.now.connected(satellite)
        client = await opened.enter()
        _, _, page = await ask(client, "GET", "/")
        async with client.get("/live") as live:
            card = (await next_event(live))["html"]
        for html in (page, card):
            read = Reader(html)
            assert not {tag for tag, _ in read.tags} & {"img", "iframe", "style", "svg"}
            scripts = [attributes for tag, attributes in read.tags if tag == "script"]
            assert all(set(attributes) == {"src", "defer"} for attributes in scripts)
            for _, attributes in read.tags:
                assert not [name for name in attributes if name.startswith("on")]
                assert "style" not in attributes
            assert read.text.count(EVIL) >= 3 and "\x1b" not in html and "\u202e" not in html
        assert not re.search(r"<script(?! src=\"/static/[a-z]+\.js\" defer>)", page)

    on_page(data, visit)


def test_a_damaged_list_is_said_and_does_not_end_the_page(data):
    listed(data, "kitchen")

    async def visit(opened):
        client = await opened.enter()
        (data / "devices.json").write_text("[{")
        code, _, text = await ask(client, "GET", "/")
        assert code == 500 and "is damaged" in text
        async with client.get("/live") as live:
            assert "is damaged" in (await next_event(live))["said"]
        (data / "devices.json").write_text("[]")
        assert (await ask(client, "GET", "/"))[0] == 200

    on_page(data, visit)
