"""Recordings at rest: sealed under keys of their own, and gone with them, whatever dies when."""

import os
import random
import resource
import shutil
import sqlite3
from contextlib import closing

import pytest

from host_tools.errors import HostToolError
from host_tools.receiver import recording_keys
from host_tools.receiver.recording import Recording
from host_tools.receiver.recording_files import wav_bytes
from host_tools.receiver.recording_keys import KEYS_FILE, RecordingKeys
from host_tools.receiver.recordings import Recordings
from tests.fakes.dying import beside, dying_after
from tests.fakes.receivers import samples_of

KINDS = ("*.sealed", "*.json", "*.wav")
KITCHEN, OFFICE = "a" * 16, "b" * 16
AUDIO = random.Random(7).randbytes(6400)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def recordings(folder):
    made = Recordings(folder, keep_days=30)
    yield made
    made.close()


def keep(recordings, device=KITCHEN, audio=AUDIO):
    return recordings.add(
        audio, device=device, share_for_training=False, preroll_ms=0, wake_word="okay_nabu"
    )


def as_before(folder, recording, audio=AUDIO):
    """What an earlier version left of a recording."""
    (folder / f"{recording.id}.sealed").unlink()
    (folder / f"{recording.id}.wav").write_bytes(wav_bytes(audio))
    with closing(RecordingKeys(folder)) as keys:
        keys.destroy([recording.id])


def everything(folder):
    """Every byte of the folder."""
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def keys_of(folder):
    with closing(RecordingKeys(folder)) as keys:
        return {id: keys.get(id) for id in keys.ids()}


def is_tidy(folder):
    """Whether each recording has its three parts, and nothing else is there."""
    sealed, facts, plain = ({path.stem for path in folder.glob(kind)} for kind in KINDS)
    return sealed == facts == keys_of(folder).keys() and not plain


def heard(folder):
    """Each recording's samples, as a program finds them that starts now."""
    with closing(Recordings(folder)) as found:
        found.clean()
        return {recording.id: samples_of(found.wav(recording)) for recording in found.all()}


# Sealed.


def test_no_audio_is_on_the_disk_in_plain_and_each_is_under_its_own_key(folder, recordings):
    kept = [keep(recordings), keep(recordings)]
    assert AUDIO[100:116] not in everything(folder)
    assert all(samples_of(recordings.wav(recording)) == AUDIO for recording in kept)
    first, second = keys_of(folder).values()
    assert len(first) == len(second) == 32 and first != second
    sealed = [(folder / f"{recording.id}.sealed").read_bytes() for recording in kept]
    assert len(sealed[0]) == 8 + 8 + 12 + 44 + len(AUDIO) + 16 and sealed[0] != sealed[1]


def test_what_was_changed_or_put_in_anothers_place_is_not_played(folder, recordings):
    kept = [keep(recordings), keep(recordings)]
    paths = [folder / f"{recording.id}.sealed" for recording in kept]
    good = paths[0].read_bytes()
    for at in (0, 9, 17, 30, len(good) - 1):
        spoiled = bytearray(good)
        spoiled[at] ^= 1
        paths[0].write_bytes(spoiled)
        with pytest.raises(HostToolError, match="damaged"):
            recordings.wav(kept[0])
    for other in (paths[1].read_bytes(), good[:-1], good[:20], b""):
        paths[0].write_bytes(other)
        with pytest.raises(HostToolError, match="damaged"):
            recordings.wav(kept[0])
    paths[0].write_bytes(good)
    assert samples_of(recordings.wav(kept[0])) == AUDIO


# Deleted.


def test_no_copy_of_a_deleted_key_is_left_in_any_file(folder):
    """SQLite copies what it moves, and its journal has what was there before."""
    folder.mkdir()
    rng = random.Random(3)
    there, gone = {}, []
    with closing(RecordingKeys(folder)) as keys:
        for number in range(240):
            with keys.writing() as slots:
                there[id] = slots.new(id := f"{number:016x}")
            if number % 3 == 2:
                ids = rng.sample(sorted(there), rng.randint(1, 2))
                keys.destroy(ids)
                gone += [there.pop(id) for id in ids]
            if number % 50 == 49:
                disk = everything(folder)
                assert not [key for key in gone if key in disk], number
        assert all(keys.get(id) == key for id, key in there.items())
    disk = everything(folder)
    assert len(gone) > 90 and not [key for key in gone if key in disk or key[:12] in disk]
    assert all(key in disk for key in there.values())


def test_the_key_goes_before_the_file_and_the_file_goes_all_the_same(folder, recordings):
    recording, other = keep(recordings), keep(recordings)
    key = keys_of(folder)[recording.id]
    stuck = folder / f"{recording.id}.sealed"
    sealed = stuck.read_bytes()
    stuck.unlink()
    stuck.mkdir()
    (stuck / "within").write_bytes(sealed)  # what a disk may still hold
    done = recordings.delete([recording])
    assert done.count == 0 and len(done.left) == 1
    assert key not in everything(folder) and [r.id for r in recordings.all()] == [other.id]
    (stuck / "within").unlink()
    assert recordings.expire().left == [] and is_tidy(folder)


def test_a_file_without_a_key_and_a_key_without_a_file_are_cleaned(folder, recordings):
    first, second, third = (keep(recordings) for _ in range(3))
    with closing(RecordingKeys(folder)) as keys:
        keys.destroy([first.id])  # as a deletion that a power loss broke off
    for kind in ("sealed", "json"):
        (folder / f"{second.id}.{kind}").unlink()
    key = keys_of(folder)[second.id]
    assert recordings.clean().count == 1
    assert heard(folder) == {third.id: AUDIO} and is_tidy(folder)
    assert key not in everything(folder)


# A power loss, or kill -9.


def crashes(folder, work, check):
    """Let `work` die at every call to the disk in turn, from the same beginning each time."""
    before = folder.with_name("before")
    shutil.copytree(folder, before)
    points = 0
    while True:
        shutil.rmtree(folder)
        shutil.copytree(before, folder)
        told = dying_after(points, work)
        check(told)
        assert is_tidy(folder), points
        if told is not None:
            return points
        points += 1


def test_an_addition_that_dies_leaves_all_of_it_or_nothing(folder, recordings):
    first = keep(recordings)
    recordings.close()
    new_audio = AUDIO[::-1]

    def work():
        return keep(Recordings(folder), audio=new_audio).id.encode()

    def check(told):
        found = heard(folder)
        assert found.pop(first.id) == AUDIO
        assert list(found.values()) in ([], [new_audio])
        if told is not None:
            assert found == {told.decode(): new_audio}

    assert crashes(folder, work, check) > 15


def test_a_deletion_that_dies_leaves_all_of_it_or_nothing(folder, recordings):
    first, second = keep(recordings), keep(recordings)
    key = keys_of(folder)[first.id]
    recordings.close()

    def work():
        return str(Recordings(folder).delete([first])).encode()

    def check(told):
        found = heard(folder)
        assert found.pop(second.id) == AUDIO
        assert found in ({}, {first.id: AUDIO})
        if told is not None:
            assert found == {}
        assert (key in everything(folder)) == (first.id in found)

    assert crashes(folder, work, check) > 15


def test_taking_in_what_an_earlier_version_left_loses_nothing_whenever_it_dies(folder, recordings):
    first, second = keep(recordings), keep(recordings)
    recordings.close()
    as_before(folder, first)
    as_before(folder, second)
    assert AUDIO in everything(folder)

    def work():
        with closing(Recordings(folder)) as again:
            assert again.clean().count == 0
            return str(again.take_in()).encode()

    def check(told):
        assert heard(folder) == {first.id: AUDIO, second.id: AUDIO}
        if told is None:
            with closing(Recordings(folder)) as again:
                again.take_in()
        else:
            assert told == b"(2, [])"
        assert heard(folder) == {first.id: AUDIO, second.id: AUDIO}
        assert AUDIO[100:116] not in everything(folder)

    assert crashes(folder, work, check) > 20


def test_killed_at_any_moment_what_was_confirmed_holds(folder):
    """Within SQLite's own writes, too."""

    def work(tell):
        recordings = Recordings(folder)
        while True:
            recording = keep(recordings, audio=AUDIO[:640])
            tell(b"kept " + recording.id.encode())
            if recording.id < "8":
                tell(b"asked " + recording.id.encode())
                recordings.delete([recording])
                tell(b"deleted " + recording.id.encode())

    rng = random.Random(11)
    told = {b"kept": set(), b"asked": set(), b"deleted": set()}
    for _ in range(12):
        for line in beside(work, (rng.randint(1, 6), rng.uniform(0, 0.03)))():
            what, id = line.split()
            told[what].add(id.decode())
        found = heard(folder).keys()
        assert told[b"kept"] - told[b"asked"] <= found
        assert not told[b"deleted"] & found and is_tidy(folder)
    assert len(told[b"kept"]) >= 12


def test_several_processes_on_one_folder_lose_nothing_and_keep_nothing_deleted(folder):
    folder.mkdir()

    def adding(tell):
        recordings = Recordings(folder)
        for number in range(12):
            recording = keep(recordings, audio=AUDIO[:640])
            if number % 3 == 0:
                assert recordings.delete([recording]).count == 1
                tell(b"deleted " + recording.id.encode())
            else:
                tell(b"kept " + recording.id.encode())

    def cleaning(tell):
        recordings = Recordings(folder)
        for _ in range(25):
            done = recordings.clean()
            tell(b"cleaned %d %d" % (done.count, len(done.left)))

    ends = [beside(work) for work in (adding, cleaning, adding, cleaning)]
    told = [line.split() for end in ends for line in end()]
    kept = {words[1].decode() for words in told if words[0] == b"kept"}
    assert len(kept) == 16
    assert heard(folder).keys() == kept and is_tidy(folder)
    assert {tuple(words[1:]) for words in told if words[0] == b"cleaned"} == {(b"0", b"0")}


# A full disk, and files that are damaged or missing.


def test_a_full_disk_keeps_all_or_nothing_and_deletes(folder, recordings):
    first, second = keep(recordings, OFFICE), keep(recordings)
    recordings.close()

    def limited(limit):
        def work():
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            with closing(Recordings(folder)) as full:
                try:
                    told = keep(full).id
                except HostToolError as error:
                    told = error.message
                return told.encode()

        return work

    for limit in (0, 512, 2048, 4096, 6000, 8192, 12288, 20480):
        told = dying_after(1 << 30, limited(limit)).decode()
        found = heard(folder)
        assert found.pop(first.id) == AUDIO and found.pop(second.id) == AUDIO
        assert found == ({told: AUDIO} if len(told) == 16 else {}), (limit, told)
        assert is_tidy(folder), limit
        with closing(Recordings(folder)) as again:
            again.delete([again.find(id) for id in found])

    def deleting():
        limit = (folder / "receiver-audit" / "audit.jsonl").stat().st_size + 1500
        assert limit < 12288  # the record of the deletion has room, and the keys have none
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        with closing(Recordings(folder)) as full:
            done = full.delete_of(KITCHEN)
            return f"{done.count} {len(done.left)}".encode()

    count, left = dying_after(1 << 30, deleting).decode().split()
    assert count == "1" and heard(folder) == {first.id: AUDIO}
    assert int(left) > 0, "the key could not be overwritten: no confirmation"
    assert is_tidy(folder)  # it is now


def test_a_damaged_key_file_loses_no_file_and_confirms_no_withdrawal(folder, recordings):
    first, second = keep(recordings), keep(recordings, OFFICE)
    recordings.close()
    good = (folder / KEYS_FILE).read_bytes()
    (folder / KEYS_FILE).write_bytes(b"nonsense" * 2000)
    with closing(Recordings(folder)) as again:
        assert again.clean().count == 0 and len(again.all()) == 2
        with pytest.raises(HostToolError, match="the keys of the recordings failed"):
            again.wav(first)
        with pytest.raises(HostToolError, match="the keys of the recordings failed"):
            keep(again)
        assert len(again.all()) == 2
    (folder / KEYS_FILE).write_bytes(good)
    assert heard(folder) == {first.id: AUDIO, second.id: AUDIO}
    (folder / KEYS_FILE).write_bytes(good[:4096] + b"nonsense" * 2000)
    with closing(Recordings(folder)) as again:
        done = again.delete_of(KITCHEN)
        assert done.count == 1 and "the keys of the recordings failed" in done.left[0]
        done = again.delete_all()
        assert (done.count, done.left) == (1, [])
        assert b"nonsense" not in (folder / KEYS_FILE).read_bytes()
        third = keep(again)
    assert heard(folder) == {third.id: AUDIO}


def test_a_missing_key_file_is_not_a_deletion(folder, recordings):
    first = keep(recordings)
    recordings.close()
    good = (folder / KEYS_FILE).read_bytes()
    (folder / KEYS_FILE).unlink()
    with closing(Recordings(folder)) as again:
        second = keep(again)  # in a new file
        assert again.clean().count == 0
        assert {r.id for r in again.all()} == {first.id, second.id}
        with pytest.raises(HostToolError, match="the key of .* is missing"):
            again.wav(first)
        assert again.delete([second]).count == 1
    (folder / KEYS_FILE).write_bytes(good)
    assert heard(folder) == {first.id: AUDIO}
    (folder / KEYS_FILE).unlink()
    with closing(Recordings(folder)) as again:
        done = again.delete_of(KITCHEN)
        assert (done.count, done.left) == (1, []) and isinstance(first, Recording)


def test_a_newer_key_file_is_refused_and_left_alone(folder, recordings):
    keep(recordings)
    recordings.close()
    with sqlite3.connect(folder / KEYS_FILE) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with closing(RecordingKeys(folder)) as keys, pytest.raises(HostToolError, match="version 99"):
        keys.ids()
    assert recording_keys.VERSION == 1
