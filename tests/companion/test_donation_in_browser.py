"""A donation in a real browser: hear, label, give, see the set, make the archive, take it away.

Skipped where Playwright or Chromium is missing.  With EARNEST_PICTURES=1 it writes the pictures
of docs/donation.md.
"""

import json
import os
import tarfile
import time

from host_tools.receiver.labels import GIVE, SKIP, Labels
from host_tools.shared_firmware import ROOT
from tests.companion.test_browser import (
    PHONE,
    WIDE,
    WORDS,
    chromium,
    house,
    sync_api,
    until,
    violations,
    visiting,
)
from tests.companion.test_donation_pages import keep, labels

__all__ = ["chromium", "house"]  # fixtures
expect = sync_api.expect


def picture(tab, name):
    if os.environ.get("EARNEST_PICTURES"):
        path = "~/.local/share/earnest/donation/donation.tar"  # not the test's
        tab.evaluate(
            "for (const c of document.querySelectorAll('code'))"
            f" if (c.textContent.endsWith('donation.tar')) c.textContent = '{path}'"
        )
        tab.evaluate("window.scrollTo(0, 0)")
        tab.screenshot(
            path=ROOT / "docs" / f"donation-{name}.png", full_page=name in ("set", "hear")
        )


def is_sound(tab):
    """axe finds nothing, and nothing is wider than a phone."""
    assert violations(tab) == []
    tab.set_viewport_size(PHONE)
    assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    tab.set_viewport_size(WIDE)


def hear(tab):
    tab.locator("audio").focus()
    tab.keyboard.press("Space")
    until(tab, "document.querySelector('audio').currentTime > 0.05")


def press(tab, name):
    tab.get_by_role("button", name=name).press("Enter")


def follow(tab, name):
    tab.get_by_role("link", name=name, exact=True).press("Enter")


def ask(house, question):
    """What the recordings answer, as another part of the receiver asks."""

    async def asked():
        return await house.page.worker.look(question)

    return house.wait(asked())


def three(house):
    """Three recordings that may be given, in the order of the page."""
    made = [house.wait(keep(house.page, audio=WORDS)) for _ in range(3)]
    made.sort(key=lambda each: (each[1].created, each[1].id))
    return made


def test_recordings_are_heard_labelled_given_and_taken_away_by_keyboard(
    chromium, house, data, tmp_path
):
    (_, first), (_, second), (third_row, third) = three(house)
    ask(house, lambda recordings: recordings.keep_transcript(first.id, "okay noble"))
    with visiting(chromium, house, refusals=3) as tab:
        follow(tab, "Donate")
        expect(tab.locator("h1")).to_have_text("Donate recordings")
        expect(tab.get_by_role("status")).to_contain_text("3 may be given: 0 in the set")
        is_sound(tab)
        picture(tab, "begin")
        follow(tab, "Hear and decide")
        expect(tab.get_by_label("What was said")).to_have_value("okay noble")
        tab.get_by_label("Everybody who can be heard in it agrees").check()
        press(tab, "Put it into the set")
        expect(tab.get_by_role("alert")).to_contain_text("Hear it first")
        is_sound(tab)
        hear(tab)
        tab.get_by_label("Wrong").check()
        tab.get_by_label("What was said").fill("okay Nobu, dinner is ready")
        press(tab, "Put it into the set")
        expect(tab.get_by_role("alert")).to_contain_text("must agree")
        expect(tab.get_by_label("What was said")).to_have_value("okay Nobu, dinner is ready")
        expect(tab.get_by_label("Wrong")).to_be_checked()
        expect(tab.locator("main")).to_contain_text("You have heard it.")
        tab.get_by_label("Everybody who can be heard in it agrees").check()
        press(tab, "Put it into the set")
        expect(tab.get_by_role("alert")).to_have_count(0)
        expect(tab.locator("main")).to_contain_text("nobody had heard it yet")
        press(tab, "Leave it out")
        expect(tab.get_by_role("button", name="Leave it out")).to_be_visible()
        tab.wait_for_url(f"**/donation/review/{third_row.id}")
        hear(tab)
        tab.get_by_label("Right").check()
        tab.get_by_label("What was said").fill("what time is it")
        tab.get_by_label("Everybody who can be heard in it agrees").check()
        picture(tab, "hear")
        press(tab, "Put it into the set")
        expect(tab.get_by_role("status")).to_contain_text("2 in the set, 1 left out, 0 not")
        decided = [house.wait(labels(house.page, each)) for each in (first, second, third)]
        assert decided == [
            Labels("wrong", True, GIVE),
            Labels(donation=SKIP),
            Labels("right", True, GIVE),
        ]
        follow(tab, "See the set and make the archive")
        expect(tab.locator("h1")).to_have_text("The set: 2 recordings")
        expect(tab.locator("tbody")).to_contain_text("okay Nobu, dinner is ready")
        expect(tab.get_by_role("region", name="Data card")).to_contain_text("2 recordings, 6 s")
        is_sound(tab)
        picture(tab, "set")
        press(tab, "Make the archive")
        expect(tab.locator("main")).to_contain_text("It has not been downloaded.")
        picture(tab, "archive")
        # Before it leaves: a deletion elsewhere removes it, and the browser gets nothing.
        ask(house, lambda recordings: recordings.delete([third]))
        press(tab, "Download the archive")
        expect(tab.locator("main")).to_contain_text("There is no archive any more")
        tab.goto(house.page.address + "/donation/set")
        expect(tab.locator("h1")).to_have_text("The set: 1 recording")
        press(tab, "Make the archive")
        with tab.expect_download() as download:
            press(tab, "Download the archive")
        download.value.save_as(tmp_path / "given.tar")
        with tarfile.open(tmp_path / "given.tar") as tar:
            [row] = [json.loads(line) for line in tar.extractfile("labels.jsonl")]
        assert (row["wake_word_label"], row["transcript"]) == (
            "wrong",
            "okay Nobu, dinner is ready",
        )
        follow(tab, "Donate")
        expect(tab.locator("main")).to_contain_text("It has left: nobody can call that copy back")
        is_sound(tab)
        picture(tab, "left")
        press(tab, "Remove it from this folder")
        expect(tab.get_by_role("button", name="Download the archive")).to_have_count(0)
        expect(tab.locator("main")).to_contain_text("Nobody can call that copy back")
        assert not (data / "donation").exists()


def test_a_false_wake_is_labelled_on_its_page_and_the_review_needs_no_script(chromium, house):
    (row, kept), *_ = three(house)
    evil = "<img src=x onerror=document.title='owned'></textarea><script>1</script>"
    with visiting(chromium, house, java_script_enabled=False) as tab:
        tab.goto(f"{house.page.address}/streams/{row.id}")
        tab.get_by_label("Not said").check()
        tab.get_by_label("What was said").fill(evil)
        press(tab, "Keep this")
        tab.wait_for_url(f"**/streams/{row.id}#labels")
        expect(tab.get_by_label("Not said")).to_be_checked()
        expect(tab.get_by_label("What was said")).to_have_value(evil)
        assert tab.locator("main img").count() == 1, "the waveform"
        assert house.wait(labels(house.page, kept)) == Labels("not-said")
        tab.goto(f"{house.page.address}/donation/review/{row.id}")
        tab.locator("audio").focus()
        tab.keyboard.press("Space")
        late_s = time.monotonic() + 10
        while not house.wait(labels(house.page, kept)).is_heard:
            assert time.monotonic() < late_s
            tab.wait_for_timeout(50)
        tab.get_by_label("Everybody who can be heard in it agrees").check()
        press(tab, "Put it into the set")
        tab.goto(f"{house.page.address}/donation/set")
        expect(tab.locator("tbody")).to_contain_text(evil)
        press(tab, "Make the archive")
        with tab.expect_download() as download:
            press(tab, "Download the archive")
        assert download.value.suggested_filename == "earnest-donation.tar"
        assert house.wait(labels(house.page, kept)).left is not None
