"""Signing in from another computer, in a real browser over TLS; see test_browser.

The browser ignores whose certificate it is; test_network_page checks that.
"""

import asyncio
import threading
import time

import pytest

from tests.companion.test_browser import (
    PHONE,
    WIDE,
    chromium,  # noqa: F401 - a fixture
    picture,
    sync_api,
    violations,
)
from tests.fakes.network_pages import PASSPHRASE, network_opened
from tests.fakes.satellites import FakeSatellite


class Home:
    """The page for other computers, in a thread of its own."""

    def __init__(self, data):
        self._data = data
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(20)

    async def _run(self):
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        async with network_opened(self._data) as self.page:
            self.page.now.connected(FakeSatellite("0123456789abcdef", "kitchen"))
            self._ready.set()
            await self._over.wait()

    def end(self):
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)


@pytest.fixture
def home(data):
    made = Home(data)
    yield made
    made.end()


def test_signing_in_by_keyboard_on_a_phone_without_script(chromium, home):  # noqa: F811
    context = chromium.new_context(
        viewport=PHONE, color_scheme="dark", ignore_https_errors=True, java_script_enabled=False
    )
    expect = sync_api.expect
    tab = context.new_page()
    tab.goto(home.page.address + "/")
    expect(tab.locator("h1")).to_have_text("Sign in")
    picture(tab, "sign-in")
    tab.keyboard.press("Tab")  # past "To the content"
    tab.keyboard.press("Tab")
    tab.keyboard.type("not the passphrase")
    tab.keyboard.press("Tab")
    tab.keyboard.type("000000")
    tab.keyboard.press("Enter")
    expect(tab.get_by_role("alert")).to_have_text(
        "The passphrase or the code is wrong. A code counts once."
    )
    tab.get_by_label("Passphrase").fill(PASSPHRASE)
    tab.get_by_label("Code").fill(home.page.clock.code())
    tab.get_by_role("button", name="Sign in").press("Enter")
    expect(tab.locator("h1")).to_have_text("Now")
    assert tab.url == home.page.address + "/"
    expect(tab.locator("main")).to_contain_text("kitchen")
    [cookie] = context.cookies()
    assert cookie["secure"] and cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    assert cookie["name"].startswith("__Host-") and cookie["domain"] == "127.0.0.1"
    tab.get_by_role("button", name="Leave").press("Enter")
    expect(tab.locator("h1")).to_have_text("You left the page.")
    assert context.cookies() == []
    context.close()


@pytest.mark.parametrize("scheme, size", [("light", WIDE), ("dark", PHONE)])
def test_axe_finds_nothing_and_nothing_is_too_wide(chromium, home, scheme, size):  # noqa: F811
    context = chromium.new_context(viewport=size, color_scheme=scheme, ignore_https_errors=True)
    tab = context.new_page()
    complaints = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on(
        "request",
        lambda asked: asked.url.startswith(home.page.address) or complaints.append(asked.url),
    )

    def look():
        assert violations(tab) == []
        assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]

    tab.goto(home.page.address + "/sign-in")
    look()
    for code in ("000000", home.page.clock.code()):
        tab.get_by_label("Passphrase").fill(PASSPHRASE)
        tab.get_by_label("Code").fill(code)
        tab.get_by_role("button", name="Sign in").click()
        if code == "000000":
            sync_api.expect(tab.get_by_role("alert")).to_be_visible()
            look()
    sync_api.expect(tab.locator("#live")).to_have_text("Live.")
    home.page.access.sessions.begin(time.monotonic(), address="127.0.0.1")
    tab.get_by_role("link", name="Who is in").click()
    sync_api.expect(tab.get_by_role("row")).to_have_count(3)
    look()
    if scheme == "light":
        picture(tab, "sessions")
    tab.get_by_role("button", name="Sign out everywhere").click()
    sync_api.expect(tab.locator("h1")).to_have_text("Everybody was signed out.")
    look()
    tab.get_by_role("link", name="Back").click()
    sync_api.expect(tab.locator("h1")).to_have_text("Sign in")
    context.close()
    assert complaints == []
