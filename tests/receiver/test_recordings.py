"""Recordings on disk and their index: what survives, what goes, and what is said of the rest."""

import errno
import json
import os
import sqlite3
import stat
import time
from dataclasses import asdict, replace

import pytest

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.receiver.recording import Recording, from_json, text
from host_tools.receiver.recording_index import RecordingIndex
from host_tools.receiver.recordings import INDEX_FILE, Recordings
from host_tools.receiver.withdrawal import ANYBODY

AUDIO = bytes(640)
DAY_S = 86400.0
KITCHEN, OFFICE = "a" * 16, "b" * 16


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def recordings(folder):
    made = Recordings(folder, keep_days=30)
    yield made
    made.close()


def keep(recordings, device=KITCHEN, share=False):
    return recordings.add(
        AUDIO, device=device, share_for_training=share, preroll_ms=0, wake_word="okay_nabu"
    )


def ids(recordings):
    return {recording.id for recording in recordings.all()}


def files_of(folder):
    return sorted(p.name for p in folder.iterdir() if p.suffix in (".sealed", ".json", ".wav"))


def change(folder, recording, **changes):
    """Write other facts, as another program might."""
    path = folder / f"{recording.id}.json"
    path.write_bytes(replace(recording, **changes).to_json())


# What is on disk is the truth.


def test_a_missing_damaged_or_foreign_index_is_made_again(folder, recordings):
    kept = {keep(recordings).id for _ in range(3)}
    recordings.close()
    index = folder / INDEX_FILE

    def damage_nothing():
        pass

    def remove():
        index.unlink()

    def write_nonsense():
        index.write_bytes(b"nonsense" * 1000)

    def damage_a_page():
        with open(index, "r+b") as file:
            file.seek(4096)
            file.write(os.urandom(8192))

    def leave_another_version():
        with sqlite3.connect(index) as database:
            database.execute("PRAGMA user_version = 99")
        database.close()

    for spoil in (damage_nothing, remove, write_nonsense, damage_a_page, leave_another_version):
        spoil()
        again = Recordings(folder)
        assert ids(again) == kept, spoil.__name__
        assert again.delete_of(OFFICE).count == 0, spoil.__name__
        again.close()
        assert len(files_of(folder)) == 6, spoil.__name__
    assert stat.S_IMODE(index.stat().st_mode) == 0o600
    with sqlite3.connect(index) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (1,)
    database.close()


def test_an_index_from_a_backup_brings_nothing_back_and_deletes_nothing(folder, recordings):
    first = keep(recordings)
    recordings.close()
    old = (folder / INDEX_FILE).read_bytes()
    second = keep(recordings)
    assert recordings.delete([first]).count == 1
    recordings.close()
    for suffix in ("-wal", "-shm"):
        (folder / (INDEX_FILE + suffix)).unlink(missing_ok=True)
    (folder / INDEX_FILE).write_bytes(old)
    again = Recordings(folder)
    assert ids(again) == {second.id}
    assert again.delete_of(KITCHEN).count == 1
    again.close()
    assert files_of(folder) == []


def test_a_crash_between_files_and_index_loses_nothing(folder, recordings, monkeypatch):
    def crash(self, *_):
        raise sqlite3.OperationalError("database or disk is full")

    keep(recordings)
    with monkeypatch.context() as patch:
        patch.setattr("host_tools.receiver.recording_index.RecordingIndex.put", crash)
        unknown = keep(recordings)  # is kept all the same
    assert unknown.id in ids(recordings)
    with monkeypatch.context() as patch:
        patch.setattr("host_tools.receiver.recording_index.RecordingIndex.remove", crash)
        assert recordings.delete([unknown]).count == 1
    assert unknown.id not in ids(recordings)


def test_what_the_index_could_not_take_expires_all_the_same(recordings, monkeypatch, clocks):
    def crash(self, *_):
        raise sqlite3.OperationalError("database or disk is full")

    assert recordings.expire().count == 0
    with monkeypatch.context() as patch:
        patch.setattr("host_tools.receiver.recording_index.RecordingIndex.put", crash)
        keep(recordings)
    clocks.pass_days(31)
    assert recordings.expire().count == 1


def test_only_files_that_changed_are_read_again(folder, recordings, monkeypatch):
    """What makes a start with 100,000 recordings quick, and the event loop free."""
    kept = [keep(recordings) for _ in range(20)]
    recordings.close()
    read = []
    monkeypatch.setattr(
        "host_tools.receiver.recording_files.from_json",
        lambda content, id: read.append(id) or from_json(content, id),
    )
    again = Recordings(folder, keep_days=30)
    assert len(ids(again)) == 20 and again.expire().count == 0 and read == []
    change(folder, kept[0], share_for_training=True)
    assert again.unshare(KITCHEN) == [] and read == [kept[0].id]
    again.close()


def test_facts_that_are_not_sound_are_no_consent(folder, recordings):
    good = keep(recordings)
    facts = asdict(good)
    for name, value in (
        *(("version", 9), ("version", True), ("id", "c" * 16), ("share_for_training", "yes")),
        *(("samples", "1"), ("wake_word", 5), ("device", None), ("created", "yesterday")),
        *(("expires", 5), ("extra", 1)),
    ):
        spoiled = json.dumps({**facts, name: value}).encode()
        assert from_json(spoiled, good.id) is None, name
    assert from_json(b"[]", good.id) is None and from_json(b"{", good.id) is None
    assert from_json(json.dumps(facts).encode(), good.id) == good


def test_a_command_and_the_receiver_work_on_one_folder(folder, recordings):
    first = keep(recordings)
    command = Recordings(folder)
    assert ids(command) == {first.id}
    second = keep(recordings)
    assert command.delete(command.all()).count == 2
    assert recordings.delete_of(KITCHEN).count == 0 and ids(recordings) == set()
    third = keep(recordings)
    assert ids(command) == ids(recordings) == {third.id} != {second.id}
    command.close()


# Deletion goes on, and says what is left.


def test_deletion_goes_on_past_what_it_cannot_remove(folder, recordings):
    kept = [keep(recordings) for _ in range(5)]
    names = [recording.id for recording in kept]
    target = folder.parent / "elsewhere.sealed"
    target.write_bytes(b"")
    (folder / f"{names[0]}.sealed").unlink()
    (folder / f"{names[0]}.sealed").symlink_to(folder / "nowhere")  # a dangling link
    (folder / f"{names[1]}.sealed").unlink()
    (folder / f"{names[1]}.sealed").symlink_to(target)  # audio that would stay
    (folder / f"{names[2]}.sealed").unlink()
    (folder / f"{names[2]}.sealed").mkdir()
    (folder / f"{names[2]}.sealed" / "within").touch()
    (folder / f"{names[3]}.json").unlink()
    (folder / f"{names[3]}.json").mkdir()  # facts that cannot be read
    (folder / ("d" * 16 + ".json")).mkdir()
    other = keep(recordings, OFFICE)
    done = recordings.delete_of(KITCHEN)
    assert done.count == 3, done
    assert len(done.left) == 2 and names[1] in done.left[0] + done.left[1], done.left
    assert any(f"{names[2]}.sealed" in left for left in done.left), done.left
    assert files_of(folder) == sorted(
        f"{id}.{kind}" for id in (names[1], names[2], other.id) for kind in ("json", "sealed")
    )


def test_a_start_does_not_judge_what_it_cannot_read(folder, recordings):
    """A disk that fails for a moment must not cost a recording; a withdrawal may."""
    recording = keep(recordings)
    facts = (folder / f"{recording.id}.json").read_bytes()
    (folder / f"{recording.id}.json").unlink()
    (folder / f"{recording.id}.json").mkdir()
    done = recordings.clean()
    assert done.count == 0 and "cannot be read" in done.left[0]
    (folder / f"{recording.id}.json").rmdir()
    (folder / f"{recording.id}.json").write_bytes(facts)
    assert recordings.clean().left == [] and ids(recordings) == {recording.id}


def test_a_full_disk_leaves_nothing_of_a_dropped_stream(folder, recordings, monkeypatch):
    write = atomic_file.write

    def full(path, content, **options):
        if path.suffix == ".sealed":
            raise HostToolError("cannot write: No space left on device")
        write(path, content, **options)

    keep(recordings, OFFICE)
    with monkeypatch.context() as patch:
        patch.setattr(atomic_file, "write", full)
        with pytest.raises(HostToolError, match="No space left"):
            keep(recordings)
    assert len(files_of(folder)) == 2
    # What a crash leaves there goes with the withdrawal.
    recording = keep(recordings)
    (folder / f"{recording.id}.sealed").unlink()
    assert recordings.delete_of(KITCHEN).left == []
    assert len(files_of(folder)) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows syncs no folder")
def test_what_was_deleted_is_gone_for_good_before_anybody_is_told(folder, recordings, monkeypatch):
    """A file that was unlinked is there again after a power loss, until its folder was synced."""
    fsync, seen = os.fsync, []

    def note(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            seen.append(len(list(folder.glob("*.sealed"))))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    keep(recordings)
    assert recordings.delete_of(KITCHEN).left == [] and seen[-1] == 0
    keep(recordings, share=True)
    seen.clear()
    assert recordings.unshare(KITCHEN) == [] and seen == [1]

    def fail(descriptor):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    assert "not certain to last" in recordings.delete_of(KITCHEN).left[0]


def test_a_full_disk_keeps_nobody_from_deleting(folder, recordings, monkeypatch, clocks):
    """SQLite cannot even read where it has no room; withdrawals and retention go on."""
    first, second = keep(recordings), keep(recordings, device=OFFICE)
    third = keep(recordings, device=OFFICE)
    connect = sqlite3.connect

    def full(place, **options):
        if place != ":memory:":
            raise sqlite3.OperationalError("disk I/O error")
        return connect(place, **options)

    recordings.close()
    with monkeypatch.context() as now:
        now.setattr(sqlite3, "connect", full)
        assert ids(recordings) == {first.id, second.id, third.id}
        assert recordings.delete_of(KITCHEN).count == 1
        assert recordings.delete([second]).count == 1
        assert ids(recordings) == {third.id}
        (folder / INDEX_FILE).unlink()
    assert recordings.expire().count == 0 and (folder / INDEX_FILE).stat().st_size > 0

    advance = RecordingIndex.advance_clock  # and where the disk fills up while it runs

    def take_no_more(index):
        if index._path is not None:
            raise sqlite3.OperationalError("database or disk is full")
        return advance(index)

    monkeypatch.setattr(RecordingIndex, "advance_clock", take_no_more)
    clocks.pass_days(31)
    assert recordings.expire().count == 1
    assert list(folder.glob("*.sealed")) == []


def test_what_cannot_be_marked_is_said(folder, recordings, monkeypatch):
    kept = [keep(recordings, share=True) for _ in range(3)]
    write = atomic_file.write

    def failing(path, content, **options):
        if path.stem == kept[1].id:
            raise HostToolError(f"cannot write {path}: {os.strerror(errno.EIO)}")
        write(path, content, **options)

    with monkeypatch.context() as patch:
        patch.setattr(atomic_file, "write", failing)
        left = recordings.unshare(KITCHEN)
    assert len(left) == 1 and kept[1].id in left[0]
    assert [r.id for r in recordings.all() if r.share_for_training] == [kept[1].id]
    assert recordings.unshare(KITCHEN) == []


# Retention.


class Clocks:
    """The computer's two clocks, set by hand."""

    def __init__(self, monkeypatch):
        self.wall_s, self.monotonic_s = 1_800_000_000.0, 1000.0
        monkeypatch.setattr(time, "time", lambda: self.wall_s)
        monkeypatch.setattr(time, "monotonic", lambda: self.monotonic_s)

    def pass_days(self, days):
        self.wall_s += days * DAY_S
        self.monotonic_s += days * DAY_S


@pytest.fixture
def clocks(monkeypatch):
    return Clocks(monkeypatch)


def test_retention_is_enforced_when_listing_and_exporting(folder, recordings, clocks):
    old = keep(recordings)
    clocks.pass_days(29)
    new = keep(recordings)
    assert ids(recordings) == {old.id, new.id}
    clocks.pass_days(1)
    by_command = Recordings(folder)  # as `earnest recordings` opens it, without the days
    with pytest.raises(HostToolError, match="no recording"):
        by_command.find(old.id)
    assert ids(by_command) == {new.id} and len(files_of(folder)) == 2
    by_command.close()


def test_what_expired_and_cannot_be_removed_is_not_listed(folder, recordings, clocks):
    recording = keep(recordings)
    (folder / f"{recording.id}.sealed").unlink()
    (folder / f"{recording.id}.sealed").mkdir()
    (folder / f"{recording.id}.sealed" / "within").touch()
    clocks.pass_days(31)
    assert recordings.all() == [] and recordings.expire().left != []


def test_shorter_retention_holds_for_what_was_kept_before(folder, recordings, clocks):
    keep(recordings)
    clocks.pass_days(11)
    recordings.close()
    shorter = Recordings(folder, keep_days=10)
    assert shorter.expire().count == 1
    shorter.close()


@pytest.mark.parametrize("keep_days", [30, None])
def test_a_clock_that_is_set_back_makes_no_life_longer(folder, recordings, clocks, keep_days):
    keep(recordings)
    recordings.close()
    running = Recordings(folder, keep_days)
    clocks.pass_days(10)
    assert running.expire().count == 0
    clocks.wall_s -= 400 * DAY_S
    clocks.pass_days(19)
    assert running.expire().count == 0
    clocks.pass_days(1.1)
    assert running.expire().count == 1
    running.close()


def test_a_clock_that_is_set_back_between_two_runs_makes_no_life_longer(
    folder, recordings, clocks
):
    keep(recordings)
    clocks.pass_days(20)
    assert recordings.expire().count == 0
    recordings.close()
    clocks.wall_s, clocks.monotonic_s = clocks.wall_s - 400 * DAY_S, 5.0
    again = Recordings(folder, keep_days=30)
    assert again.expire().count == 0
    clocks.pass_days(10.1)
    assert again.expire().count == 1
    again.close()


def test_a_recording_of_a_wrong_future_does_not_stay_until_then(folder, recordings, clocks):
    clocks.wall_s += 4000 * DAY_S
    keep(recordings)
    clocks.wall_s -= 4000 * DAY_S
    clocks.pass_days(29)
    assert recordings.expire().count == 0
    (folder / INDEX_FILE).unlink()  # nor without what the index knew: 30 days more at most
    recordings.close()
    again = Recordings(folder)
    assert again.expire().count == 0
    clocks.pass_days(30.1)
    assert again.expire().count == 1
    again.close()


def test_a_clock_that_starts_in_1970_deletes_nothing_too_early(folder, recordings, clocks):
    """A small computer without a clock of its own, before it has asked for the time."""
    keep(recordings)
    clocks.pass_days(5)
    assert recordings.expire().count == 0
    recordings.close()
    right_s, clocks.wall_s = clocks.wall_s + 3600, 60.0
    again = Recordings(folder, keep_days=30)
    assert again.expire().count == 0
    clocks.wall_s = right_s
    assert again.expire().count == 0
    clocks.pass_days(24)
    assert again.expire().count == 0
    clocks.pass_days(1.1)
    assert again.expire().count == 1
    again.close()


def test_an_index_that_is_wrong_about_a_date_deletes_nothing(folder, recordings):
    recording = keep(recordings)
    recordings.close()
    with sqlite3.connect(folder / INDEX_FILE) as database:
        early = json.dumps({**asdict(recording), "expires": "2001-01-01T00:00:00Z"})
        database.execute(
            "UPDATE recordings SET expires = '2001-01-01T00:00:00Z', facts = ?", (early,)
        )
    database.close()
    again = Recordings(folder, keep_days=30)
    assert again.expire().count == 0 and ids(again) == {recording.id}
    again.close()


def test_times_are_texts_that_sort():
    assert text(0) == "1970-01-01T00:00:00Z" and text(1e9) < text(1e9 + 1)


def test_a_folder_that_is_not_there_is_empty_and_is_not_made(folder, recordings):
    assert recordings.all() == [] and recordings.delete_all().count == 0
    assert not folder.exists()


def test_a_version_1_file_is_read_with_its_tag_as_owner(recordings):
    recording = keep(recordings)
    facts = asdict(recording)
    del facts["device"]
    old = from_json(
        json.dumps({**facts, "version": 1, "consent": "0" * 16}).encode(), recording.id
    )
    assert old == replace(recording, device="v1-" + "0" * 16)
    assert isinstance(old, Recording)
    plain = {**facts, "version": 1, "consent": ANYBODY.id}
    assert from_json(json.dumps(plain).encode(), recording.id).device == ANYBODY.id
