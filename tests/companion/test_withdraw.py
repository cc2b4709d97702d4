"""Taking consent back on the page: a question, what is shown until the device confirms, and what
a full disk, old firmware or a device that is away make of it."""

import asyncio
import time

import pytest

from host_tools.receiver import owner_only_files
from host_tools.receiver.assistant import ConnectionLost
from host_tools.receiver.owner_withdrawals import FOLDER, OwnerWithdrawals
from host_tools.receiver.recording import ANYBODY_ID
from host_tools.receiver.statuses import Statuses, ToldStatus
from tests.companion.test_now import EVIL, ID, Reader, listed, next_event, show
from tests.companion.test_timeline import keep
from tests.fakes.pages import ask, csrf_of, on_page
from tests.fakes.satellites import FakeSatellite, status

PATH = f"/devices/{ID}/withdraw"
GIVEN = {"keep_recordings": True, "share_for_training": True, "withdraw": True}


def there(opened, **changes):
    """A connected kitchen, by default with consent and firmware that can be asked."""
    kitchen = FakeSatellite(ID, "kitchen", **{**GIVEN, **changes})
    opened.now.connected(kitchen)
    return kitchen


async def withdraw(opened, path=PATH):
    """Press the button; the answer's status, headers and text."""
    client = await opened.enter()
    return await ask(client, "POST", path, data={"csrf": await csrf_of(client)})


async def buttons(opened):
    client = await opened.enter()
    return (await ask(client, "GET", "/"))[2].count('id="withdraw-')


def test_it_is_offered_where_consent_may_be_and_nothing_offers_to_give_it(data):
    async def visit(opened):
        kitchen = there(opened)
        assert await buttons(opened) == 1
        shown = await show(opened)
        assert "Withdraw the consent of kitchen" in shown
        for word in ("Grant", "Give consent", "Allow"):
            assert word not in shown
        kitchen.status = status()
        assert await buttons(opened) == 0
        kitchen.status = None
        assert await buttons(opened) == 1, "it has not said"
        client = await opened.enter()
        form = {"csrf": await csrf_of(client), "keep_recordings": "true"}
        for path in ("consent", "grant", "allow", "keep"):
            assert (await ask(client, "POST", f"/devices/{ID}/{path}", data=form))[0] == 404

    on_page(data, visit)


def test_a_question_comes_first_and_changes_nothing(data):
    async def visit(opened):
        kitchen = there(opened)
        await keep(opened, time.time(), ID)
        text = (await ask(await opened.enter(), "GET", PATH))[2]
        shown = Reader(text).text
        assert "Withdraw the consent of kitchen?" in shown
        assert "1 recording today, which nobody can bring back" in shown
        assert "marks what it kept as not for training" in shown and "The device is asked" in shown
        assert "Commands are answered as before" in shown and "still gets their audio" in shown
        assert f'href="/timeline?device={ID}"' in text
        assert kitchen.asked == [] and opened.withdrawals.all() == []
        kitchen.status = status(keep_recordings=True)
        assert (
            "firmware is too old" in Reader((await ask(await opened.enter(), "GET", PATH))[2]).text
        )

    on_page(data, visit)


def test_it_is_in_force_stored_shown_and_recorded_and_then_the_device_is_asked(data):
    async def visit(opened):
        kitchen = there(opened)
        seen = []

        async def asked():
            seen.append((opened.withdrawals.is_stored(ID), OwnerWithdrawals(data).is_pending(ID)))
            return True

        kitchen.withdraw_consent = asked
        code, headers, _ = await withdraw(opened)
        assert (code, headers["Location"]) == (303, "/") and seen == [(True, True)]
        shown = await show(opened)
        assert "not confirmed by the device yet: it was asked." in shown
        assert "keeps no more recordings and words of it, whatever the device sends" in shown
        assert "May be kept nothing more: withdrawn" in shown
        assert "For training not allowed" in shown
        assert await buttons(opened) == 0
        assert opened.host.events("withdrawal-asked") == [{"device": "kitchen"}]

    on_page(data, visit)


def test_a_confirmation_shows_at_once_and_until_there_is_new_consent(data):
    async def visit(opened):
        kitchen = there(opened)
        client = await opened.enter()
        await withdraw(opened)
        async with client.get("/live") as live:
            assert "it was asked" in (await next_event(live))["html"]
            opened.withdrawals.confirm(ID, 2, is_complete=True)
            kitchen.status = status(withdraw=True)
            html = (await asyncio.wait_for(next_event(live), 2.0))["html"]
            assert "the device confirmed it on" in html and "2 recordings were deleted" in html
            assert "could be deleted" not in html and 'id="withdraw-' not in html
        opened.withdrawals.confirm(ID, 0, is_complete=False)
        assert "Not everything could be deleted" in await show(opened)
        kitchen.status = status(**GIVEN)  # its owner said Yes at the cable
        assert "confirmed it" not in await show(opened) and await buttons(opened) == 1

    on_page(data, visit)


@pytest.mark.parametrize(
    "told, words",
    [
        ({"withdraw": True}, "it is away, and is asked when it comes"),
        ({}, "its firmware is too old to be asked. At its cable: earnest provision"),
        (None, "it is away, and is asked when it comes"),
    ],
)
def test_a_device_that_is_away_is_asked_later_and_old_firmware_never(data, told, words):
    [id] = listed(data, "kitchen")
    if told is not None:
        given = status(**{"keep_recordings": True, **told})
        Statuses(data).keep(id, ToldStatus(given, time.time() - 1000))

    async def visit(opened):
        question = (await ask(await opened.enter(), "GET", f"/devices/{id}/withdraw"))[2]
        is_unknown = "does not know what may be kept" in Reader(question).text
        assert is_unknown == (told is None)
        assert (await withdraw(opened, f"/devices/{id}/withdraw"))[0] == 303
        assert words in await show(opened)
        assert OwnerWithdrawals(data).of(id).name == "kitchen"

    on_page(data, visit)


def test_a_device_that_goes_while_it_is_asked_is_asked_when_it_comes_again(data):
    async def visit(opened):
        kitchen = there(opened)

        async def gone():
            raise ConnectionLost

        kitchen.withdraw_consent = gone
        assert (await withdraw(opened))[0] == 303 and OwnerWithdrawals(data).is_pending(ID)

    on_page(data, visit)


def test_a_full_disk_is_said_and_the_device_is_asked_all_the_same(data, monkeypatch):
    write = owner_only_files.write

    def full(path, *arguments, **options):
        if path.parent.name == FOLDER:
            raise owner_only_files.HostToolError("cannot write: no space left", "make room")
        write(path, *arguments, **options)

    async def visit(opened):
        kitchen = there(opened)
        with monkeypatch.context() as patch:
            patch.setattr(owner_only_files, "write", full)
            code, _, text = await withdraw(opened)
        assert code == 500 and "no space left" in text and "make room on its disk" in text
        assert kitchen.asked == ["withdraw"] and opened.withdrawals.is_pending(ID)
        assert "This could not be stored" in await show(opened)
        assert (await withdraw(opened))[0] == 303
        assert "This could not be stored" not in await show(opened)
        assert OwnerWithdrawals(data).is_pending(ID)

    on_page(data, visit)


def test_who_cannot_be_told_from_others_or_is_not_there_is_not_withdrawn(data):
    async def visit(opened):
        opened.now.connected(FakeSatellite(ANYBODY_ID, "insecure", **GIVEN))
        assert await buttons(opened) == 0
        code, _, text = await withdraw(opened, f"/devices/{ANYBODY_ID}/withdraw")
        assert code == 409 and "cannot be told apart" in text
        for id in (ID, "..", "a" * 65):
            assert (await withdraw(opened, f"/devices/{id}/withdraw"))[0] == 404
        assert opened.withdrawals.all() == []

    on_page(data, visit)


def test_a_device_that_left_the_list_before_it_confirmed_is_said_as_text(data):
    book = OwnerWithdrawals(data)
    book.begin("fedcba9876543210", EVIL)
    book.store("fedcba9876543210")

    async def visit(opened):
        shown = await show(opened)
        assert EVIL in shown and "cannot confirm that" in shown and "--unlisted" in shown
        opened.withdrawals.confirm("fedcba9876543210", 0, is_complete=True)
        assert "cannot confirm that" not in await show(opened)

    on_page(data, visit)
