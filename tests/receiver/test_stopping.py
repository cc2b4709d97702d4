"""The receiver ends amid long work: soon, with nothing confirmed that is not done, and what was
deleted is gone after the next start."""

import asyncio
import shutil
import time

import pytest

from host_tools.errors import HostToolError
from host_tools.receiver import recording_catalogue, stopping
from host_tools.receiver import recordings as modules
from host_tools.receiver.devices import Device, DeviceList
from host_tools.receiver.history_rows import row_of_recording
from host_tools.receiver.recording_files import Deletion, RecordingFiles
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.session import Stream
from host_tools.receiver.stopping import Stopped
from host_tools.receiver.withdrawal import Wishes, withdraw
from tests.receiver.test_recordings import KITCHEN, OFFICE, files_of, ids, keep

COUNT = 12
DEVICE = Device("kitchen", "", "2099-01-01", KITCHEN, "2026-01-01T00:00:00Z")
NOTHING = Wishes(keep_recordings=False, share_for_training=False)
NO_TRAINING = Wishes(keep_recordings=True, share_for_training=False)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(stopping, "STEPS", 1)


@pytest.fixture(scope="module")
def twelve(tmp_path_factory):
    """A folder with twelve recordings of a kitchen and one of an office."""
    folder = tmp_path_factory.mktemp("twelve") / "data"
    made = Recordings(folder)
    for _ in range(COUNT):
        keep(made, share=True)
    keep(made, OFFICE)
    made.history.add(row_of_recording(each, {}) for each in made.all())
    made.close()
    return folder


@pytest.fixture
def folder(twelve, tmp_path):
    return shutil.copytree(twelve, tmp_path / "data")


@pytest.fixture
def recordings(folder):
    made = Recordings(folder)
    yield made
    made.close()


def of_kitchen(recordings):
    return [each for each in recordings.all() if each.device == KITCHEN]


def start_again(folder):
    """What a receiver does when it starts; returns the recordings that are there."""

    async def main():
        worker = RecordingWorker(Recordings(folder), DeviceList(folder / "devices.json"))
        await worker.clean()
        there = await worker.look(ids), await worker.look(lambda r: r.history.recordings())
        worker.close()
        return there

    there, known = asyncio.run(main())
    assert there == known
    return there


def stop_after(monkeypatch, recordings, count, method="remove"):
    """End the receiver when so many files were removed."""
    real, seen = getattr(RecordingFiles, method), []

    def counted(self, *arguments):
        seen.append(arguments)
        if len(seen) == count:
            recordings.stopping.begin()
        return real(self, *arguments)

    monkeypatch.setattr(RecordingFiles, method, counted)
    return seen


def test_a_deletion_ends_soon_is_silent_at_once_and_is_finished_at_the_next_start(
    folder, recordings, monkeypatch
):
    monkeypatch.setattr(modules, "_FEW", 1)
    deleted = of_kitchen(recordings)
    seen = stop_after(monkeypatch, recordings, 5)
    done = recordings.delete(deleted)
    assert len(seen) == done.count == 5
    [left] = done.left
    assert left.startswith("files of 7 recordings: nobody can hear them any more")
    for recording in deleted:
        with pytest.raises(HostToolError):
            recordings.wav(recording)
    recordings.close()
    assert len(files_of(folder)) == 2 * (COUNT - 5) + 2
    assert len(start_again(folder)) == 1 and len(files_of(folder)) == 2


def test_keys_go_in_batches_and_what_was_not_deleted_is_said_and_stays(
    folder, recordings, monkeypatch
):
    monkeypatch.setattr(modules, "_KEYS_BATCH", 5)
    destroy = Recordings._destroy_keys

    def once(self, some):
        problem = destroy(self, some)
        self.stopping.begin()
        return problem

    monkeypatch.setattr(Recordings, "_destroy_keys", once)
    wanted = of_kitchen(recordings)
    done = recordings.delete(wanted)
    assert done.count == 5
    assert done.left == ["7 recordings: the receiver ends; delete them again"]
    recordings.close()
    assert start_again(folder) >= {each.id for each in wanted[5:]}
    assert len(start_again(folder)) == 8


def test_a_few_are_deleted_to_the_end(folder, recordings):
    wanted = of_kitchen(recordings)
    recordings.stopping.begin()
    done = recordings.delete(wanted)
    assert (done.count, done.left) == (COUNT, [])
    recordings.close()
    assert len(files_of(folder)) == 2 and len(start_again(folder)) == 1


def test_a_plain_recording_of_an_earlier_version_is_removed_all_the_same(
    folder, recordings, monkeypatch
):
    """Nothing but its removal silences it."""
    monkeypatch.setattr(modules, "_FEW", 1)
    wanted = of_kitchen(recordings)
    last = wanted[-1].id
    (folder / f"{last}.wav").write_bytes(recordings.wav(wanted[-1]))
    (folder / f"{last}.sealed").unlink()
    recordings._destroy_keys([last])
    stop_after(monkeypatch, recordings, 3)
    done = recordings.delete(wanted)
    assert done.count == 4 and not (folder / f"{last}.wav").exists()


def test_a_withdrawal_that_was_cut_short_is_not_confirmed_and_the_next_one_is(
    folder, recordings, monkeypatch
):
    monkeypatch.setattr(modules, "_FEW", 1)
    devices = DeviceList(folder / "devices.json")
    with monkeypatch.context() as patched:
        stop_after(patched, recordings, 3)
        with pytest.raises(Stopped):  # where it would look for what else is to go
            withdraw(recordings, devices, DEVICE, NOTHING)
    recordings.close()
    again = Recordings(folder)
    assert withdraw(again, devices, DEVICE, NOTHING).doubts == ()
    assert len(ids(again)) == 1 and len(files_of(folder)) == 2
    again.close()


def test_a_withdrawal_of_training_that_was_cut_short_is_not_confirmed(
    folder, recordings, monkeypatch
):
    devices = DeviceList(folder / "devices.json")
    with monkeypatch.context() as patched:
        stop_after(patched, recordings, 4, "write_facts")
        outcome = withdraw(recordings, devices, DEVICE, NO_TRAINING)
    assert outcome.doubts == ("the receiver ends; not all of them are changed",)
    recordings.close()
    again = Recordings(folder)
    assert sum(each.share_for_training for each in of_kitchen(again)) == COUNT - 4
    assert withdraw(again, devices, DEVICE, NO_TRAINING).doubts == ()
    assert not any(each.share_for_training for each in of_kitchen(again))
    again.close()


def test_looking_through_the_folder_stops_and_what_it_found_stays(folder, recordings, monkeypatch):
    monkeypatch.setattr(recording_catalogue, "_BATCH", 2)
    (folder / "index.sqlite").unlink()
    stop_after(monkeypatch, recordings, 3, "read_facts")
    with pytest.raises(Stopped):
        recordings.reconcile()
    recordings.close()
    assert len(start_again(folder)) == COUNT + 1


def test_cleaning_stops_before_it_looks_and_between_two_removals(folder, recordings, monkeypatch):
    for path in list(folder.glob("*.json"))[:6]:
        path.write_bytes(b"damaged")
    stop_after(monkeypatch, recordings, 2)
    assert recordings.clean().left == [
        "what nobody can say the consent of: it goes at the next start"
    ]
    with pytest.raises(Stopped):
        recordings.clean()
    recordings.close()
    assert len(start_again(folder)) == COUNT + 1 - 6


def test_a_worker_that_is_closed_amid_a_deletion_keeps_what_came_before(folder, monkeypatch):
    """As at SIGTERM: the stream that ended is on disk, and the deletion does not hold it up."""
    monkeypatch.setattr(modules, "_FEW", 1)
    remove = RecordingFiles.remove

    def slow(self, *arguments):
        time.sleep(0.2)
        return remove(self, *arguments)

    monkeypatch.setattr(RecordingFiles, "remove", slow)

    async def main():
        worker = RecordingWorker(Recordings(folder), DeviceList(folder / "devices.json"))
        await worker.look(ids)
        deleting = worker.withdraw(DEVICE, NOTHING)
        keeping = worker.add(Stream("0" * 16, True, True, 0, audio=bytearray(640)), DEVICE)
        await asyncio.sleep(0.5)
        began_s = time.monotonic()
        worker.close()
        took_s = time.monotonic() - began_s
        with pytest.raises(Stopped):
            await deleting
        return took_s, (await keeping)[0].id

    took_s, kept = asyncio.run(main())
    assert took_s < 1.5, took_s
    monkeypatch.undo()
    there = start_again(folder)
    assert kept in there and len(there) == 2 and len(files_of(folder)) == 4


def test_what_is_short_is_done_to_its_end(folder, recordings, monkeypatch):
    monkeypatch.setattr(stopping, "STEPS", 500)
    recordings.stopping.begin()
    recordings.reconcile()
    assert recordings.delete_of(KITCHEN) == Deletion(COUNT, [])
    assert recordings.clean() == Deletion()


# One recording is looked for by itself.


def test_a_whole_id_is_found_without_a_look_at_the_whole_folder(recordings, monkeypatch):
    wanted = recordings.all()
    monkeypatch.setattr(RecordingFiles, "scan", lambda *_: 1 / 0)
    for recording in wanted:
        assert recordings.find(recording.id) == recording
    assert recordings.these([each.id for each in wanted] + ["0" * 16, "../../etc"]) == wanted


def test_what_is_found_by_its_id_is_what_is_there_now(folder, recordings):
    first, second, third, fourth, *_ = recordings.all()
    (folder / f"{first.id}.sealed").unlink()
    recordings._destroy_keys([second.id])
    (folder / f"{third.id}.json").write_bytes(b"damaged")
    change = fourth.to_json().replace(
        b'"share_for_training": true', b'"share_for_training": false'
    )
    (folder / f"{fourth.id}.json").write_bytes(change)
    for gone in (first, second, third):
        with pytest.raises(HostToolError, match="no recording"):
            recordings.find(gone.id)
    assert not recordings.find(fourth.id).share_for_training


def test_what_is_past_its_day_is_not_found_by_its_id(folder):
    recordings = Recordings(folder, keep_days=1e-9)
    for path in folder.glob("*.json"):
        with pytest.raises(HostToolError, match="no recording"):
            recordings.find(path.stem)
    recordings.close()
