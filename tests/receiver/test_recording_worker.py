"""The thread of the recordings: the event loop never waits for it, and it keeps the order."""

import asyncio
import json
import time
from dataclasses import asdict

import pytest

from host_tools.errors import HostToolError
from host_tools.receiver.devices import Device, DeviceList
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.session import Stream
from host_tools.receiver.withdrawal import ANYBODY, Wishes

KITCHEN = Device("kitchen", "", "2099-01-01", "a" * 16, "2026-01-01T00:00:00Z")
NOTHING = Wishes(keep_recordings=False, share_for_training=False)


def stream():
    return Stream("0" * 16, True, True, 0, audio=bytearray(640))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


def run(folder, script):
    """Run `script(worker)`; the worker is closed afterwards."""

    async def main():
        worker = RecordingWorker(Recordings(folder), DeviceList(folder / "devices.json"))
        try:
            return await script(worker)
        finally:
            worker.close()

    return asyncio.run(main())


def test_the_event_loop_turns_while_the_disk_is_slow(folder, monkeypatch):
    monkeypatch.setattr(Recordings, "expire", lambda self: time.sleep(0.5))

    async def script(worker):
        expiring = worker.expire()
        turns = 0
        while not expiring.done():
            await asyncio.sleep(0.01)
            turns += 1
        return turns

    assert run(folder, script) > 5


def test_a_withdrawal_deletes_what_was_to_be_kept_before_it(folder, monkeypatch):
    add = Recordings.add

    def slow(self, *arguments, **facts):
        time.sleep(0.2)
        return add(self, *arguments, **facts)

    monkeypatch.setattr(Recordings, "add", slow)

    async def script(worker):
        adding = worker.add(stream(), KITCHEN)
        outcome = await worker.withdraw(KITCHEN, NOTHING)
        assert adding.done()
        return outcome

    assert run(folder, script).count == 1
    assert list(folder.glob("*.sealed")) == []


def test_what_was_begun_is_finished_at_the_end(folder):
    async def script(worker):
        worker.add(stream(), KITCHEN)

    run(folder, script)
    assert len(list(folder.glob("*.sealed"))) == len(list(folder.glob("*.json"))) == 1


def test_nothing_that_nobody_may_keep_reaches_the_disk(folder):
    async def script(worker):
        for keep, audio in ((False, bytearray(640)), (True, None)):
            with pytest.raises(AssertionError):
                worker.add(Stream("0" * 16, keep, False, 0, audio=audio), KITCHEN)

    run(folder, script)
    assert not folder.exists()


def test_who_is_anybody_is_confirmed_only_when_nothing_else_is_kept(folder):
    """In plain text nobody can tell which device withdraws."""

    async def script(worker):
        await worker.add(stream(), ANYBODY)
        outcome = await worker.withdraw(ANYBODY, NOTHING)
        assert (outcome.count, outcome.doubts) == (1, ())
        (folder / "devices.json").write_text(json.dumps([asdict(KITCHEN)]))
        await worker.add(stream(), ANYBODY)
        await worker.add(stream(), KITCHEN)
        outcome = await worker.withdraw(ANYBODY, NOTHING)
        assert outcome.count == 1 and "(1) may be earlier ones" in outcome.doubts[0]
        # And what was kept of anybody may be a device's own.
        await worker.add(stream(), ANYBODY)
        outcome = await worker.withdraw(KITCHEN, NOTHING)
        assert outcome.count == 1 and "(1) may be earlier ones" in outcome.doubts[0]

    run(folder, script)


def test_nothing_is_withdrawn_when_nothing_is_forbidden(folder):
    async def script(worker):
        await worker.add(stream(), KITCHEN)
        await worker.add(stream(), ANYBODY)
        outcome = await worker.withdraw(KITCHEN, Wishes(True, True))
        assert (outcome.count, outcome.doubts) == (0, ())

    run(folder, script)
    assert len(list(folder.glob("*.sealed"))) == 2


def test_a_list_that_cannot_be_read_confirms_nothing(folder):
    async def script(worker):
        await worker.add(stream(), KITCHEN)
        (folder / "devices.json").write_text("nonsense")
        with pytest.raises(HostToolError, match="damaged"):
            await worker.withdraw(KITCHEN, NOTHING)

    run(folder, script)
