"""What an owner takes back at the receiver: in force at once, until the device confirms it."""

import contextlib
import json
import os
import shutil
import signal
import time

import pytest

from firmware.satellite import protocol
from host_tools.receiver import authority, owner_only_files, receiver_log, withdrawal
from host_tools.receiver.assistant import Assistant
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.owner_withdrawals import FOLDER, OwnerWithdrawals
from host_tools.receiver.recordings import Recordings
from host_tools.service.backup import back_up
from host_tools.service.restore import restore
from tests.fakes.dying import dying_after
from tests.fakes.receivers import (
    FORM,
    SPEECH,
    Device,
    audio_files,
    earnest,
    new_device,
    receiving,
    serving,
    streams_of,
)

ID = "0123456789abcdef"
NOTHING = {"keep_recordings": False, "share_for_training": False}


def begun(data, device=ID, name="kitchen"):
    """A withdrawal on the disk, as a receiver before this one left it."""
    book = OwnerWithdrawals(data)
    found = book.begin(device, name)
    book.store(device)
    return found


def id_of(data, name="kitchen"):
    return DeviceList(data / "devices.json").named(name).id


def test_it_is_in_force_before_it_is_stored_and_after_a_restart(data):
    book = OwnerWithdrawals(data)
    assert not book.is_pending(ID) and book.of(ID) is None
    told = []
    book.watch(lambda: told.append(book.is_pending(ID)))
    first = book.begin(ID, "kitchen")
    assert book.is_pending(ID) and not book.is_stored(ID) and told == [True]
    assert not (data / FOLDER).exists()
    book.store(ID)
    assert book.is_stored(ID) and not book.is_pending("another")
    [path] = (data / FOLDER).iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    again = OwnerWithdrawals(data)
    assert again.of(ID) == first and again.is_pending(ID) and again.is_stored(ID)
    assert again.begin(ID, "hall") == first, "the same request goes on"


def test_a_confirmation_is_kept_and_a_later_withdrawal_is_another_request(data):
    first = begun(data)
    book = OwnerWithdrawals(data)
    book.confirm(ID, 3, is_complete=False)
    book.confirm(ID, 2, is_complete=True)
    found = OwnerWithdrawals(data).of(ID)
    assert not found.is_pending and (found.deleted, found.is_complete) == (5, True)
    assert first.asked_s <= found.confirmed_s <= time.time()
    second = book.begin(ID, "kitchen")
    assert second.request != first.request and book.is_pending(ID)


def test_a_confirmation_that_cannot_be_stored_is_none(data, monkeypatch):
    begun(data)
    book = OwnerWithdrawals(data)
    with monkeypatch.context() as patch, pytest.raises(withdrawal.HostToolError):
        patch.setattr(owner_only_files, "write", full)
        book.confirm(ID, 1, is_complete=True)
    assert book.is_pending(ID) and OwnerWithdrawals(data).is_pending(ID)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_death_at_any_call_forgets_nothing_that_was_said(data):
    """What the page has said is in force at the next start; what the device confirmed may only be
    asked for once more."""
    Recordings(data).log.prepare()

    def asking():
        kept, book = Recordings(data), OwnerWithdrawals(data)
        found = book.begin(ID, "kitchen")
        assert withdrawal.take_back(kept, book, ID, "page") == []
        kept.close()
        return found.request.encode()

    def confirming():
        OwnerWithdrawals(data).confirm(ID, 1, is_complete=True)
        return b""

    seen = set()
    for calls in range(200):
        request = dying_after(calls, asking)
        seen.add((OwnerWithdrawals(data).is_pending(ID), request is not None))
        if request is not None:
            break
        shutil.rmtree(data / FOLDER, ignore_errors=True)
    assert calls > 10 and seen == {(False, False), (True, False), (True, True)}, (calls, seen)
    for calls in range(200):
        is_done = dying_after(calls, confirming) is not None
        found = OwnerWithdrawals(data).of(ID)
        assert found.request == request.decode() and (not found.is_pending or not is_done)
        if is_done:
            break
        begun_again(data, found)
    assert calls > 3 and found.deleted == 1


def begun_again(data, found):
    """The same withdrawal, pending, whatever the death before left."""
    path = data / FOLDER / f"{ID}.json"
    row = json.loads(path.read_bytes())
    assert row["request"] == found.request
    path.write_text(json.dumps({**row, "confirmed_s": None, "deleted": 0, "is_complete": False}))


def test_a_back_up_has_it(data, tmp_path):
    authority.open_or_make(data / "authority")
    wanted = begun(data)
    back_up(data, tmp_path / "saved.tar", has_recordings=False)
    restore(tmp_path / "saved.tar", tmp_path / "again")
    assert OwnerWithdrawals(tmp_path / "again").of(ID) == wanted


def full(*_, **__):
    raise withdrawal.HostToolError("cannot write: no space left", "make room")


@pytest.mark.parametrize(
    "damage", ["cut", "empty", "version", "request", "id", "time", "folder", "deep"]
)
def test_a_file_that_is_damaged_is_a_withdrawal_that_is_pending(data, damage):
    begun(data)
    book = OwnerWithdrawals(data)
    book.confirm(ID, 0, is_complete=True)
    [path] = (data / FOLDER).iterdir()
    row = json.loads(path.read_bytes())
    changed = {"version": {"v": 2}, "request": {"request": "x"}, "time": {"asked_s": "now"}}
    changed["id"] = {"device": "another"}
    content = json.dumps({**row, **changed.get(damage, {})}).encode()
    path.write_bytes(b"" if damage == "empty" else content[: 20 if damage == "cut" else None])
    if damage == "deep":
        path.write_bytes(b"[" * 100_000)
    if damage == "folder":
        path.unlink()
        path.mkdir()
    found = OwnerWithdrawals(data).of(ID)
    assert found.is_pending and len(found.request) == 16 and found.request != row["request"]


def test_the_list_of_devices_says_it(data):
    new_device(data, "kitchen")
    new_device(data, "office")
    begun(data, id_of(data))
    _, kitchen, office = earnest(data, "devices", "list").stdout.splitlines()
    assert kitchen.endswith("nothing; its consent is withdrawn, which it has yet to confirm")
    assert office.endswith("nothing")
    OwnerWithdrawals(data).confirm(id_of(data), 0, is_complete=True)
    assert "withdrawn" not in earnest(data, "devices", "list").stdout
    lines = earnest(data, "devices", "list", "--json").stdout.splitlines()
    kitchen, office = (json.loads(line)["withdrawal"] for line in lines)
    assert kitchen["asked"] <= kitchen["confirmed"] and office is None


def test_what_is_no_id_gets_no_file(data):
    book = OwnerWithdrawals(data)
    for bad in ("", "../escape", "a" * 65, "a b", "a/b"):
        with pytest.raises(withdrawal.HostToolError):
            book.begin(bad, "kitchen")
    assert book.all() == []


def test_taking_back_stores_records_and_shares_nothing_more(data):
    kept = Recordings(data)
    for device in (ID, "fedcba9876543210"):
        kept.add(SPEECH, device=device, share_for_training=True, preroll_ms=0, wake_word=None)
    book = OwnerWithdrawals(data)
    book.begin(ID, "kitchen")
    assert withdrawal.take_back(kept, book, ID, "page") == []
    shared = {each.device for each in kept.all() if each.share_for_training}
    assert shared == {"fedcba9876543210"} and len(kept.all()) == 2
    kept.close()
    lines = (data / receiver_log.FOLDER / receiver_log.LOG_NAME).read_text().splitlines()
    [record] = [r for r in map(json.loads, lines) if r["kind"] == "withdraw-asked"]
    assert (record["device"], record["source"]) == (ID, "page")
    assert OwnerWithdrawals(data).is_pending(ID)


def test_on_a_full_disk_the_log_gives_its_reserve_up_or_it_is_said(data, monkeypatch):
    kept = Recordings(data)
    kept.log.prepare()
    write, reserve = owner_only_files.write, data / receiver_log.FOLDER / receiver_log.RESERVE_NAME

    def as_if_full(path, content, **options):
        if path.parent.name == FOLDER and reserve.exists():
            full()
        write(path, content, **options)

    book = OwnerWithdrawals(data)
    book.begin(ID, "kitchen")
    with monkeypatch.context() as patch:
        patch.setattr(owner_only_files, "write", as_if_full)
        said = withdrawal.take_back(kept, book, ID, "page")
        assert len(said) == 1 and "no space left" in said[0]
        assert book.is_pending(ID) and not book.is_stored(ID), "it holds all the same"
        patch.setattr(kept.log, "add", lambda *_, **__: reserve.unlink())
        assert withdrawal.take_back(kept, book, ID, "page") == [] and book.is_stored(ID)
    kept.close()


def test_a_device_that_comes_is_asked_confirms_and_is_asked_no_more(data):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        device.say(SPEECH[:640], keep=True)
        assert receiver.wait("stream-stop")["recording"]
    wanted = begun(data, id_of(data))
    for _ in range(2):  # killed between the request and the answer
        with receiving(data) as receiver, Device(receiver.port, folder) as device:
            device.tell_status(keep_recordings=True, withdraw=True)
            request = device.expect(protocol.CONSENT_WITHDRAW).data
            assert request == {"id": wanted.request}
            receiver.process.kill()
            receiver.process.wait()
        assert len(audio_files(data)) == 1 and OwnerWithdrawals(data).is_pending(id_of(data))
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        device.say(SPEECH[:640], keep=True, share=True)  # before it can have been asked
        assert receiver.wait("stream-stop")["recording"] is None
        device.tell_status(keep_recordings=True, withdraw=True)
        request = device.expect(protocol.CONSENT_WITHDRAW).data
        device.send(protocol.CONSENT_WITHDRAWN, {**NOTHING, **request})
        assert device.expect(protocol.DELETED).data == {"count": 1}
        receiver.wait("withdrawal-confirmed", device="kitchen")
        found = OwnerWithdrawals(data).of(id_of(data))
        assert not found.is_pending and found.deleted == 1 and found.is_complete
        device.tell_status(withdraw=True, muted=True)
        receiver.wait("status", muted=True)
        device.send(protocol.PING)
        device.expect(protocol.PONG)
        receiver.end(signal.SIGTERM)
    assert audio_files(data) == []
    rows = streams_of(data, 2)
    assert [row.keep_recordings for row in rows] == [True, False]
    assert rows[1].share_for_training is False and rows[1].recording is None


def test_a_receiver_that_died_amid_it_shares_nothing_more_at_its_next_start(data):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        device.say(SPEECH[:640], keep=True, share=True)
        assert receiver.wait("stream-stop")["recording"]
    begun(data, id_of(data))  # stored, and no recording is marked
    with serving(data) as served:

        async def kept_now():
            return await served.worker.look(lambda recordings: recordings.all())

        kept = served.call(kept_now())
    assert [each.share_for_training for each in kept] == [False]


class Told(Assistant):
    def __init__(self):
        self.there = []

    def connected(self, satellite):
        self.there.append(satellite)


def press(served, name):
    """What the page does, in the receiver's loop; whether the device was asked."""
    device = id_of(served.data, name)

    async def withdraw():
        served.withdrawals.begin(device, name)
        await served.worker.take_back(served.withdrawals, device, "page")
        return await served.told_to.there[-1].withdraw_consent()

    return served.call(withdraw())


@contextlib.contextmanager
def pressed(data):
    told = Told()
    with serving(data, told) as served:
        served.told_to = told
        yield served


def test_a_stream_that_runs_is_not_kept_though_it_ends_as_agreed(data):
    folder = new_device(data, "kitchen")
    with pressed(data) as served, Device(served.port, folder) as device:
        device.tell_status(keep_recordings=True, withdraw=True)
        served.wait("status")
        device.consent(keep=True, share=True)
        device.send(protocol.AUDIO_START, FORM)
        device.audio(SPEECH[:3200])
        served.wait("stream-start")
        assert press(served, "kitchen") is True
        device.expect(protocol.CONSENT_WITHDRAW)
        assert press(served, "kitchen") is True
        device.send(protocol.PING)
        device.expect(protocol.PONG)  # and not asked again on this connection
        device.audio(SPEECH[3200:6400])
        device.send(protocol.AUDIO_STOP)
        assert served.wait("stream-stop")["recording"] is None
    assert audio_files(data) == []


def test_firmware_that_is_too_old_is_not_asked_and_its_owner_confirms_at_the_cable(data):
    folder = new_device(data, "kitchen")
    for status_comes_first in (False, True):
        with pressed(data) as served, Device(served.port, folder) as device:
            device.tell_status(keep_recordings=True)
            served.wait("status")
            assert press(served, "kitchen") is False
            device.say(SPEECH[:640], keep=True)
            assert served.wait("stream-stop")["recording"] is None
            assert served.withdrawals.is_pending(id_of(data))
        with pressed(data) as served, Device(served.port, folder) as device:
            if status_comes_first:
                device.tell_status()
            device.send(protocol.CONSENT_WITHDRAWN, NOTHING)
            device.expect(protocol.DELETED)
            if not status_comes_first:
                assert served.withdrawals.is_pending(id_of(data)), "nobody knows who said it"
                device.tell_status()
            served.wait("withdrawal-confirmed")
            assert not served.withdrawals.is_pending(id_of(data))


def test_only_the_answer_to_this_very_request_confirms(data):
    """One that was due from earlier says nothing of what the device has stored since."""
    folder = new_device(data, "kitchen")
    wanted = begun(data, id_of(data))
    with pressed(data) as served, Device(served.port, folder) as device:
        device.send(protocol.CONSENT_WITHDRAWN, NOTHING)
        device.expect(protocol.DELETED)
        device.tell_status(withdraw=True)
        assert device.expect(protocol.CONSENT_WITHDRAW).data == {"id": wanted.request}
        for answer in (
            {**NOTHING, "id": "f" * 16},
            {**NOTHING, "keep_recordings": True, "id": wanted.request},
            NOTHING,
        ):
            device.send(protocol.CONSENT_WITHDRAWN, answer)
            device.expect(protocol.DELETED)
            assert served.withdrawals.is_pending(id_of(data)), answer
        device.send(protocol.CONSENT_WITHDRAWN, {**NOTHING, "id": wanted.request})
        device.expect(protocol.DELETED)
        served.wait("withdrawal-confirmed")


def test_a_newer_connection_is_asked_and_a_renewed_certificate_is_the_same_device(data):
    kitchen = new_device(data, "kitchen")
    wanted = begun(data, id_of(data))
    with pressed(data) as served, Device(served.port, kitchen) as older:
        older.tell_status(withdraw=True)
        older.expect(protocol.CONSENT_WITHDRAW)
        with Device(served.port, kitchen) as newer:
            newer.tell_status(withdraw=True)
            assert newer.expect(protocol.CONSENT_WITHDRAW).data == {"id": wanted.request}
            with contextlib.suppress(OSError):
                older.send(protocol.CONSENT_WITHDRAWN, {**NOTHING, "id": wanted.request})
            assert older.is_hung_up() and served.withdrawals.is_pending(id_of(data))
    devices = DeviceList(data / "devices.json")
    devices.remove("kitchen")
    again = new_device(data, "other")  # and another device, which is not asked
    with pressed(data) as served, Device(served.port, again) as device:
        device.tell_status(withdraw=True)
        served.wait("status")
        device.send(protocol.PING)
        device.expect(protocol.PONG)
    assert not OwnerWithdrawals(data).is_pending(id_of(data, "other"))
    back, _ = devices.issue("kitchen", authority.open_or_make(data / "authority"))
    assert OwnerWithdrawals(data).is_pending(back.id), "whoever gets the name gets the wish"


def test_what_cannot_be_deleted_is_said_until_it_is(data, monkeypatch):
    folder = new_device(data, "kitchen")
    wanted = begun(data, id_of(data))
    answers = iter([withdrawal.Outcome(1, ("cannot remove x",)), withdrawal.Outcome(2)])
    monkeypatch.setattr("host_tools.receiver.recording_worker.withdraw", lambda *_: next(answers))
    with pressed(data) as served, Device(served.port, folder) as device:
        device.tell_status(withdraw=True)
        device.expect(protocol.CONSENT_WITHDRAW)
        device.send(protocol.CONSENT_WITHDRAWN, {**NOTHING, "id": wanted.request})
        served.wait("unconfirmed")
        served.wait("withdrawal-confirmed")
        found = served.withdrawals.of(id_of(data))
        assert (found.is_pending, found.deleted, found.is_complete) == (False, 1, False)
    with pressed(data) as served, Device(served.port, folder) as device:
        device.send(protocol.CONSENT_WITHDRAWN, NOTHING)  # due still
        device.expect(protocol.DELETED)
        served.wait("withdrawal-confirmed")
        found = served.withdrawals.of(id_of(data))
        assert (found.deleted, found.is_complete) == (3, True)
