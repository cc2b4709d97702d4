"""The page in a real browser: Debian's Chromium, by keyboard, dark, small and without script.

Skipped where Playwright or Chromium is missing.  With EARNEST_PICTURES=1 it writes the pictures
of docs/companion.md.
"""

import asyncio
import os
import shutil
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from host_tools.audit.results import CABLE, Result, Results
from host_tools.audit.stream_check import Mismatch
from host_tools.receiver.traffic import Counts
from host_tools.shared_firmware import ROOT
from tests.companion.test_timeline import fill, keep, kept_ids, stream
from tests.fakes.pages import opened
from tests.fakes.satellites import FakeSatellite, status

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is missing")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("Chromium is missing: apt-get install chromium", allow_module_level=True)

KITCHEN, BEDROOM = "0123456789abcdef", "fedcba9876543210"
#: Loud and quiet in turns, as speech is.
_S = np.arange(48000) / 16000
WORDS = (6000 * np.sin(2 * np.pi * 220 * _S) * np.sin(7 * _S) ** 2).astype("<i2").tobytes()
WIDE, PHONE = {"width": 1100, "height": 800}, {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def chromium():
    with sync_api.sync_playwright() as playwright:
        # As root, in a container, Chromium's own sandbox cannot be had.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class House:
    """A page in a thread of its own, with a kitchen that listens and a muted bedroom."""

    def __init__(self, data):
        self._data = data
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    async def _run(self):
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        async with opened(self._data) as self.page:
            heard = {"words": ("okay_nabu", "hey_jarvis"), "cutoffs": (848, 900)}
            self.kitchen = FakeSatellite(KITCHEN, "kitchen", **heard)
            off = {"muted": True, "listening": False, "off_by": "button", "cutoffs": (848,)}
            self.bedroom = FakeSatellite(BEDROOM, "bedroom", **off)
            for satellite in (self.kitchen, self.bedroom):
                self.page.now.connected(satellite)
                self.page.now.status_changed(satellite)
            self._ready.set()
            await self._over.wait()

    def do(self, work):
        """Do something in the page's loop."""

        async def done():
            work()

        asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    def wait(self, coroutine):
        """The result of a coroutine that runs in the page's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def says(self, satellite, **changes):
        def tell():
            satellite.status = status(**changes)
            self.page.now.status_changed(satellite)

        self.do(tell)

    def link(self):
        return f"{self.page.address}/enter?ticket={self.page.tickets.issue()}"

    def end(self):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)


@pytest.fixture
def house(data):
    made = House(data)
    yield made
    made.end()


@contextmanager
def visiting(chromium, house, refusals=0, **options):
    """A tab that used a ticket; whatever the browser complains of, but for so many refusals of the
    page, or asks of others fails."""
    context = chromium.new_context(viewport=WIDE, **options)
    tab = context.new_page()
    complaints = []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on(
        "request",
        lambda asked: asked.url.startswith(house.page.address) or complaints.append(asked.url),
    )
    tab.goto(house.link())
    tab.wait_for_url(house.page.address + "/")
    yield tab
    context.close()
    refused = "Failed to load resource: the server responded with a status of 409 (Conflict)"
    assert complaints == refusals * [refused]


def picture(tab, name):
    if os.environ.get("EARNEST_PICTURES"):
        tab.screenshot(path=ROOT / "docs" / f"companion-{name}.png")


def until(tab, condition):
    """Wait for a condition; Playwright's own way to do so is refused by the page's policy."""
    late_s = time.monotonic() + 10
    while not tab.evaluate(condition):
        assert time.monotonic() < late_s, condition
        tab.wait_for_timeout(50)


def violations(tab):
    """What axe finds, in a few words."""
    found = axe.Axe().run(tab).response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


def test_a_press_shows_in_the_browser_and_the_mute_button_works_by_keyboard(chromium, house):
    with visiting(chromium, house) as tab:
        card = tab.locator(f"#device-{KITCHEN}")
        sync_api.expect(card).to_contain_text("green, breathing")
        sync_api.expect(tab.locator("#live")).to_have_text("Live.")
        picture(tab, "now")
        for _ in range(12):
            tab.keyboard.press("Tab")
            focus = tab.evaluate("document.activeElement.textContent.trim()")
            if focus == "Mute kitchen":
                break
        assert focus == "Mute kitchen"
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert tab.evaluate(outline) == "solid"
        tab.keyboard.press("Enter")
        sync_api.expect(card).to_contain_text("has not confirmed it")
        assert house.kitchen.asked == ["mute"]
        house.says(house.kitchen, muted=True, listening=False)
        sync_api.expect(card).to_contain_text("red, steady", timeout=1000)
        sync_api.expect(tab.locator("#said")).to_contain_text("kitchen: light red")
        assert tab.get_by_role("button", name="Mute").count() == 0
        house.do(lambda: house.page.now.stream_started(house.bedroom, "0" * 16, None))


def test_news_takes_nobody_from_where_they_are(chromium, house):
    with visiting(chromium, house) as tab:
        sync_api.expect(tab.locator("#live")).to_have_text("Live.")
        tab.locator(f"#mute-{KITCHEN}").focus()
        house.says(house.bedroom)
        sync_api.expect(tab.locator(f"#device-{BEDROOM}")).to_contain_text("green, breathing")
        focus = "document.activeElement.id"
        assert tab.evaluate(focus) == f"mute-{KITCHEN}"
        house.says(house.kitchen, firmware="0.2")
        sync_api.expect(tab.locator(f"#device-{KITCHEN}")).to_contain_text("0.2")
        assert tab.evaluate(focus) == f"mute-{KITCHEN}"
        house.says(house.kitchen, muted=True, listening=False)
        sync_api.expect(tab.locator(f"#device-{KITCHEN}")).to_contain_text("red, steady")
        assert tab.evaluate(focus) == f"name-{KITCHEN}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_is_wider_than_a_phone(chromium, house, scheme):
    house.do(lambda: house.page.now.stream_started(house.kitchen, "0" * 16, "okay_nabu"))
    with visiting(chromium, house, color_scheme=scheme) as tab:
        sync_api.expect(tab.locator("#live")).to_have_text("Live.")
        assert violations(tab) == []
        ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
        tab.set_viewport_size(PHONE)
        assert violations(tab) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        if scheme == "dark":
            picture(tab, "now-phone-dark")
        tab.get_by_role("button", name="Leave").click()
        sync_api.expect(tab.locator("h1")).to_have_text("You left the page.")
        assert violations(tab) == []
    assert (sum(map(int, ground[4:-1].split(", "))) < 100) == (scheme == "dark"), ground


def test_without_script_everything_is_there_and_mute_works(chromium, house):
    with visiting(chromium, house, java_script_enabled=False) as tab:
        text = tab.locator("main").inner_text()
        for words in ("kitchen", "okay_nabu, hey_jarvis", "bedroom", "red, steady", "Look again"):
            assert words in text
        tab.get_by_role("button", name="Mute kitchen").click()
        sync_api.expect(tab.locator(f"#device-{KITCHEN}")).to_contain_text("has not confirmed it")
        assert house.kitchen.asked == ["mute"]


def test_last_nights_false_wake_is_found_heard_and_deleted_by_keyboard(chromium, house):
    night_s = time.time() - 3600
    row = house.wait(keep(house.page, night_s, audio=WORDS))
    house.wait(fill(house.page, *(stream(night_s - 600 * n) for n in range(1, 7))))
    house.wait(keep(house.page, night_s - 90000, BEDROOM))
    house.do(lambda: house.page.worker.count({KITCHEN: Counts(141120, 141120, 8064, 9310, 0)}))
    with visiting(chromium, house) as tab:
        tab.get_by_role("link", name="Timeline").focus()
        tab.keyboard.press("Enter")
        expect = sync_api.expect
        expect(tab.locator("h1")).to_have_text("Timeline")
        expect(tab.get_by_role("status")).to_have_text("8 streams, 2 with a recording.")
        assert violations(tab) == []
        tab.get_by_role("link", name="What left").press("Enter")
        expect(tab.locator("h1")).to_have_text("What left")
        assert violations(tab) == []
        picture(tab, "left")
        tab.go_back()
        tab.get_by_label("Device").select_option("kitchen")
        tab.get_by_label("Recording", exact=True).select_option("kept")
        tab.keyboard.press("Enter")
        tab.get_by_role("button", name="Show").press("Enter")
        expect(tab.get_by_role("status")).to_have_text("1 stream, 1 with a recording.")
        tab.get_by_role("link", name="Hear the recording of").press("Enter")
        wave = tab.get_by_role("img", name="Waveform")
        expect(wave).to_be_visible()
        until(tab, "document.querySelector('img').naturalWidth > 0")
        player = tab.locator("audio")
        player.focus()
        tab.keyboard.press("Space")
        until(tab, "document.querySelector('audio').currentTime > 0.05")
        assert violations(tab) == []
        tab.set_viewport_size(PHONE)
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        with tab.expect_download() as download:
            tab.get_by_role("link", name="Download").press("Enter")
        assert download.value.suggested_filename.endswith(".wav")
        tab.get_by_role("button", name="Delete this recording").press("Enter")
        expect(tab.locator("h1")).to_have_text("Delete 1 recording?")
        assert violations(tab) == [] and house.wait(kept_ids(house.page)) > {row.recording}
        tab.get_by_role("button", name="Delete 1 recording").press("Enter")
        expect(tab.locator("h1")).to_have_text("1 recording deleted")
        assert violations(tab) == [] and row.recording not in house.wait(kept_ids(house.page))
        tab.get_by_role("link", name="Back to the timeline").press("Enter")
        tab.get_by_label("Device").select_option("all")
        tab.get_by_role("button", name="Show").press("Enter")
        expect(tab.get_by_role("status")).to_have_text("8 streams, 1 with a recording.")
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        tab.get_by_role("button", name="Delete all 1 recordings of this filter").press("Enter")
        tab.get_by_role("button", name="Delete 1 recording").press("Enter")
        expect(tab.locator("h1")).to_have_text("1 recording deleted")
        assert house.wait(kept_ids(house.page)) == set()


def test_somebody_new_finds_a_false_wake_hears_it_deletes_it_and_withdraws(chromium, house):
    """With the mouse, from the first page on, by what the page itself says."""
    given = {"keep_recordings": True, "withdraw": True, "cutoffs": (848, 900)}
    house.says(house.kitchen, words=("okay_nabu", "hey_jarvis"), **given)
    night_s = time.time() - 1800
    day = "Today" if time.localtime(night_s)[2] == time.localtime()[2] else "Yesterday"
    false_wake = {"wake_word": "hey_jarvis", "duration_ms": 3000, "bytes": 96000}
    row = house.wait(keep(house.page, night_s, audio=WORDS, **false_wake))
    for ago in range(1, 7):
        house.wait(fill(house.page, stream(night_s - 7 * ago, fates=("answered",))))
        house.wait(keep(house.page, night_s - 86400 * ago))
    expect = sync_api.expect
    with visiting(chromium, house) as tab:
        expect(tab.locator("#live")).to_have_text("Live.")
        tab.locator(f"#device-{KITCHEN}").get_by_role("link", name="sent").click()
        expect(tab.get_by_role("status")).to_have_text("13 streams, 7 with a recording.")
        picture(tab, "timeline")
        tab.get_by_role("link", name=day, exact=True).click()
        tab.get_by_label("Wake word").fill("hey_jarvis")
        tab.get_by_role("button", name="Show").click()
        expect(tab.get_by_role("status")).to_have_text("1 stream, 1 with a recording.")
        tab.get_by_role("link", name="Hear the recording of").click()
        until(tab, "document.querySelector('img').naturalWidth > 0")
        tab.locator("audio").press("Space")
        until(tab, "document.querySelector('audio').currentTime > 0.05")
        picture(tab, "stream")
        tab.get_by_role("button", name="Delete this recording").click()
        expect(tab.locator("main")).to_contain_text("Nobody can bring a deleted recording back.")
        picture(tab, "delete")
        tab.get_by_role("button", name="Delete 1 recording").click()
        expect(tab.locator("h1")).to_have_text("1 recording deleted")
        assert row.recording not in house.wait(kept_ids(house.page))
        tab.get_by_role("link", name="Back to the timeline").click()
        expect(tab.locator("tbody tr").first).to_contain_text("recording deleted")
        tab.get_by_role("link", name="Now", exact=True).click()
        tab.get_by_role("button", name="Withdraw the consent of kitchen").click()
        expect(tab.locator("main")).to_contain_text("6 recordings today")
        tab.get_by_role("button", name="Withdraw the consent of kitchen").click()
        card = tab.locator(f"#device-{KITCHEN}")
        expect(card).to_contain_text("not confirmed by the device yet: it was asked.")
        house.says(house.kitchen, withdraw=True)
        house.do(lambda: house.page.withdrawals.confirm(KITCHEN, 6, is_complete=True))
        expect(card).to_contain_text("the device confirmed it on")
        expect(card).to_contain_text("6 recordings were deleted.")


def check_of(*mismatches):
    """What the check of a log with nine streams found, a minute and a half ago."""
    now_s = time.time()
    return Result(
        checked_s=now_s - 90,
        source=CABLE,
        first_seq=0,
        last_seq=412,
        last_hash="a" * 64,
        broken=(),
        behind=None,
        unanchored=None,
        anchor_seq=410,
        anchor_told_s=now_s - 120,
        sent=9,
        matched=9 - len(mismatches),
        older=0,
        mismatches=mismatches,
    )


def test_audio_that_went_elsewhere_is_red_on_every_page_that_tells_of_it(chromium, house, data):
    elsewhere = Mismatch(48000, time.time() - 7200, 371, "e" * 64, "evil.lan")
    Results(data).keep(BEDROOM, check_of(), [])
    Results(data).keep(KITCHEN, check_of(elsewhere), [])
    expect = sync_api.expect
    warning = "getComputedStyle(document.querySelector('.check.bad .verdict')).color"
    colours = []
    for scheme in ("dark", "light"):
        with visiting(chromium, house, color_scheme=scheme) as tab:
            card = tab.locator(f"#device-{KITCHEN}")
            expect(card).to_contain_text("✖ Its log and this receiver do not match.")
            expect(tab.locator("#live")).to_have_text("Live.")
            assert violations(tab) == []
            card.get_by_role("link", name="See what does not match").press("Enter")
            shown = tab.get_by_role("article", name="kitchen")
            expect(shown).to_contain_text("✖ 1 stream does not match.")
            expect(shown.locator("tbody")).to_contain_text("left the device for evil.lan")
            expect(tab.get_by_role("article", name="bedroom")).to_contain_text("✔ All 9 streams")
            colours.append([int(part) for part in tab.evaluate(warning)[4:-1].split(",")])
            assert violations(tab) == []
            tab.set_viewport_size(PHONE)
            assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
            tab.set_viewport_size(WIDE)
            picture(tab, "checked")
    assert all(r > g + 80 and r > b + 80 for r, g, b in colours), colours


def test_a_link_that_was_used_and_a_name_that_is_script(chromium, house):
    evil = "<img src=x onerror=document.title='owned'><script>document.title='owned'</script>"
    house.do(lambda: house.page.now.connected(FakeSatellite("b" * 16, evil, words=(evil,))))
    with visiting(chromium, house) as tab:
        sync_api.expect(tab.locator("#live")).to_have_text("Live.")
        house.says(house.kitchen, firmware=evil)
        sync_api.expect(tab.locator(f"#device-{KITCHEN}")).to_contain_text("onerror")
        assert tab.title() == "Now - Earnest" and tab.locator("img").count() == 0
    link = house.link()
    context = chromium.new_context()
    tab = context.new_page()
    tab.goto(link)
    tab.wait_for_url(house.page.address + "/")
    context.close()
    other = chromium.new_context().new_page()
    other.goto(link)
    sync_api.expect(other.locator("main")).to_contain_text("earnest companion")
    assert violations(other) == []


def test_consent_is_withdrawn_by_keyboard_and_its_confirmation_shows_live(chromium, house):
    given = {"keep_recordings": True, "share_for_training": True, "withdraw": True}
    house.says(house.kitchen, **given)
    house.wait(keep(house.page, time.time() - 600, audio=WORDS))
    expect = sync_api.expect
    with visiting(chromium, house) as tab:
        card = tab.locator(f"#device-{KITCHEN}")
        expect(tab.locator("#live")).to_have_text("Live.")
        expect(tab.locator(f"#device-{BEDROOM}")).not_to_contain_text("Withdraw")
        assert violations(tab) == []
        tab.get_by_role("button", name="Withdraw the consent of kitchen").press("Enter")
        expect(tab.locator("h1")).to_have_text("Withdraw the consent of kitchen?")
        expect(tab.locator("main")).to_contain_text("1 recording today, which nobody can bring")
        assert violations(tab) == [] and house.page.withdrawals.all() == []
        picture(tab, "withdraw")
        tab.get_by_role("link", name="Leave it as it is").press("Enter")
        expect(tab.locator("h1")).to_have_text("Now")
        tab.get_by_role("button", name="Withdraw the consent of kitchen").press("Enter")
        tab.get_by_role("button", name="Withdraw the consent of kitchen").press("Enter")
        expect(card).to_contain_text("not confirmed by the device yet: it was asked.")
        assert house.kitchen.asked == ["withdraw"]
        expect(tab.locator("#live")).to_have_text("Live.")
        assert violations(tab) == []
        picture(tab, "withdrawing")
        house.says(house.kitchen, withdraw=True)
        house.do(lambda: house.page.withdrawals.confirm(KITCHEN, 1, is_complete=True))
        expect(card).to_contain_text("the device confirmed it on", timeout=1000)
        expect(card).to_contain_text("1 recording was deleted.")
        assert card.get_by_role("button", name="Withdraw").count() == 0
        tab.set_viewport_size(PHONE)
        assert violations(tab) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    house.says(house.bedroom, keep_recordings=True, muted=True, listening=False)
    with visiting(chromium, house, java_script_enabled=False) as tab:
        card = tab.locator(f"#device-{BEDROOM}")
        tab.get_by_role("button", name="Withdraw the consent of bedroom").click()
        expect(tab.locator("main")).to_contain_text("too old to be asked over the network")
        tab.get_by_role("button", name="Withdraw the consent of bedroom").click()
        expect(card).to_contain_text("its firmware is too old to be asked. At its cable:")
