"""Back-up and restore: while a receiver runs, what is in it, and what is refused."""

import io
import json
import os
import sqlite3
import stat
import tarfile
import time
from contextlib import closing

import pytest

from host_tools.errors import HostToolError
from host_tools.receiver.history import HISTORY_FILE, History
from host_tools.receiver.recordings import INDEX_FILE, Recordings
from host_tools.service import backup, restore
from host_tools.service.backup_format import MANIFEST
from tests.fakes.receivers import (
    PATIENCE_S,
    SPEECH,
    Device,
    earnest,
    new_device,
    receiving,
    samples_of,
)


def entries(path):
    """What a back-up holds, by name."""
    with tarfile.open(path) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}


def written(path, files, manifest=None):
    """A tar file as somebody else would write it."""
    with tarfile.open(path, "w") as tar:
        for name, content in [*files.items(), *([(MANIFEST, manifest)] if manifest else [])]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


@pytest.fixture(scope="module")
def used(tmp_path_factory):
    """A receiver's folder with two devices and a recording of each, and back-ups of it that were
    made while the receiver ran: without recordings, and with."""
    root = tmp_path_factory.mktemp("used")
    data = root / "data"
    folders = new_device(data, "kitchen"), new_device(data, "hall")
    with receiving(data) as receiver:
        for number, folder in enumerate(folders):
            with Device(receiver.port, folder) as device:
                device.say(SPEECH[: 3200 * (number + 1)], keep=True, stream=f"{number:016x}")
                receiver.wait("stream-stop")
        for name, options in (("without", []), ("with", ["--with-recordings"])):
            done = earnest(data, "backup", root / f"{name}.tar", *options)
            assert done.returncode == 0, done.stderr
            assert f"{name} recordings, to {root / name}.tar" in done.stdout
    return root


def test_recordings_and_their_keys_are_in_it_only_if_asked_for(used):
    bare = entries(used / "without.tar")
    assert {"devices.json", HISTORY_FILE, "authority/authority.key.pem"} <= set(bare)
    with closing(History(used / "data" / HISTORY_FILE)) as history:
        ids = history.recordings()
    assert len(ids) == 2
    assert not [n for n in bare if "keys" in n or n.split(".")[0] in ids]
    assert not any(b"RIFF" in content for content in bare.values())
    whole = entries(used / "with.tar")
    assert {n.split(".")[0] for n in whole} >= ids and set(bare) < set(whole)
    for names in bare, whole:
        assert INDEX_FILE not in names and "receiver.lock" not in names
        assert not [name for name in names if name.endswith("-journal")]


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no such rights")
def test_only_its_owner_may_read_it_and_what_comes_of_it(used, tmp_path):
    assert stat.S_IMODE((used / "with.tar").stat().st_mode) == 0o600
    restore.restore(used / "with.tar", tmp_path / "new")
    for path in [tmp_path / "new", *(tmp_path / "new").rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_what_was_restored_is_a_receiver_with_its_devices_and_recordings(used, tmp_path):
    new = tmp_path / "new"
    done = earnest(new, "restore", used / "with.tar")
    assert done.returncode == 0, done.stderr
    assert "devices that may connect: kitchen, hall\n" in done.stdout
    assert "deleted or withdrawn since are back" in done.stdout
    rows = [
        json.loads(x) for x in earnest(new, "recordings", "list", "--json").stdout.split("\n")[:-1]
    ]
    assert sorted(row["name"] for row in rows) == ["hall", "kitchen"]
    for row in rows:
        assert earnest(new, "recordings", "export", row["id"], tmp_path / "a.wav", "--overwrite")
        assert samples_of(tmp_path / "a.wav") == SPEECH[: row["samples"] * 2]
    with receiving(new) as receiver, Device(receiver.port, used / "data-kitchen") as device:
        device.say(SPEECH[:640])
        receiver.wait("stream-stop")
        receiver.end(15)
    assert not [t for t in receiver.events if t["event"] in ("warning", "deleted", "ca")]


def test_what_was_restored_without_recordings_knows_the_streams_and_no_audio(used, tmp_path):
    new = tmp_path / "new"
    assert "are back" not in earnest(new, "restore", used / "without.tar").stdout
    assert earnest(new, "recordings", "list").stdout == "no recordings\n"
    with receiving(new) as receiver, closing(History(new / HISTORY_FILE)) as history:
        late_s = time.monotonic() + PATIENCE_S
        while history.recordings() and time.monotonic() < late_s:  # an end at once would stop that
            time.sleep(0.02)
        assert history.count() == 2 and history.recordings() == set()
        receiver.end(15)
    assert not [t for t in receiver.events if t["event"] in ("warning", "ca")]


def test_nothing_is_overwritten(used, tmp_path):
    kept = (used / "with.tar").read_bytes()
    done = earnest(used / "data", "backup", used / "with.tar")
    assert done.returncode == 2 and "exists already" in done.stderr
    assert (used / "with.tar").read_bytes() == kept
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "devices.json").write_text("[]")
    done = earnest(tmp_path / "new", "restore", used / "with.tar")
    assert done.returncode == 2 and "is there already" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["new", "devices.json"]
    done = earnest(used / "data", "backup", used / "data" / "x.tar")
    assert done.returncode == 2 and "lies in the receiver's folder itself" in done.stderr
    done = earnest(tmp_path / "nowhere", "backup", tmp_path / "x.tar")
    assert done.returncode == 2 and "is not a receiver's folder" in done.stderr
    assert sorted(path.name for path in used.iterdir() if path.suffix in (".tar", ".part")) == [
        "with.tar",
        "without.tar",
    ]


def test_a_damaged_back_up_restores_nothing(used, tmp_path):
    good = (used / "with.tar").read_bytes()
    files = entries(used / "with.tar")
    manifest = files.pop(MANIFEST)
    key = "authority/authority.key.pem"
    at = good.index(files[key])
    other = json.dumps({**json.loads(manifest), "version": 2}).encode()
    evil = {"bytes": 1, "sha256": "0" * 64}

    def named(name):
        facts = json.loads(manifest)
        facts["files"][name] = evil
        return json.dumps(facts).encode()

    for content, why in (
        (good[: len(good) // 2], "cut off"),
        (b"", "cut off"),
        (os.urandom(4096), "no tar file"),
        (good[:at] + b"x" + good[at + 1 :], f"{key} is not what the manifest says"),
        ((files, other), "version 2; this program knows version 1"),
        ((files, b"{}"), "its manifest is damaged"),
        ((files, None), "cut off"),
        (({**files, "extra": b"x"}, manifest), "extra is not what"),
        (({n: c for n, c in files.items() if n != key}, manifest), f"{key} is not what"),
        (({**files, "../outside": b"x"}, named("../outside")), "holds what a back-up does not"),
        (({**files, "/tmp/outside": b"x"}, manifest), "holds what a back-up does not"),
        ((files, named("../outside")), "its manifest is damaged"),
    ):
        path = tmp_path / "bad.tar"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            written(path, *content)
        done = earnest(tmp_path / "new", "restore", path)
        assert done.returncode == 2 and why in done.stderr, (why, done.stderr)
        assert len(done.stderr.splitlines()) == 2
        assert [p.name for p in tmp_path.iterdir()] == ["bad.tar"]


def test_links_and_devices_in_a_back_up_are_refused(used, tmp_path):
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
        with tarfile.open(tmp_path / "bad.tar", "w") as tar:
            member = tarfile.TarInfo("devices.json")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)
        with pytest.raises(HostToolError, match="holds what a back-up does not"):
            restore.restore(tmp_path / "bad.tar", tmp_path / "new")
        assert not (tmp_path / "new").exists()


def test_what_was_left_out_is_told(used, tmp_path):
    data = tmp_path / "data"
    restore.restore(used / "without.tar", data)
    (data / "link.json").symlink_to(tmp_path / "elsewhere.json")
    (data / "odd name").write_text("x")
    # What somebody said, or opens it: told by its name, and only in it if asked for.
    said = {"heard.wav", "keys.sqlite", "0123456789abcdef.json", "0123456789abcdef.sealed"}
    for name in said - {"keys.sqlite"}:
        (data / name).write_bytes(b"RIFF")
    with closing(sqlite3.connect(data / "keys.sqlite")) as keys:
        keys.execute("CREATE TABLE slots (key)")
    done = earnest(data, "backup", tmp_path / "a.tar")
    assert done.stderr.splitlines() == ["left out: link.json", "left out: odd name"]
    assert not said & set(entries(tmp_path / "a.tar"))
    assert earnest(data, "backup", tmp_path / "b.tar", "--with-recordings").returncode == 0
    assert said < set(entries(tmp_path / "b.tar"))


def test_what_changes_meanwhile_is_copied_in_one_state(used, tmp_path, monkeypatch):
    """A certificate that is renewed while it is read comes with its new key, not the old one."""
    data = tmp_path / "data"
    restore.restore(used / "without.tar", data)
    certificate, key = data / "authority/receiver.cert.pem", data / "authority/receiver.key.pem"
    names = ["authority/receiver.cert.pem", "authority/receiver.key.pem"]
    read, renewals = type(certificate).read_bytes, []

    def read_and_renew(path):
        content = read(path)
        if path == certificate and not renewals:
            renewals.append(path)
            for renewed in (key, certificate):
                renewed.write_bytes(b"renewed")
        return content

    monkeypatch.setattr(type(certificate), "read_bytes", read_and_renew)
    assert set(backup._read_together(data, names).values()) == {b"renewed"}


def test_a_recording_that_comes_while_the_keys_are_copied_is_in_it(used, tmp_path, monkeypatch):
    data = tmp_path / "data"
    restore.restore(used / "with.tar", data)
    recordings = Recordings(data)
    copied = backup._copied
    late = []

    def copy_after_another_came(database, beside):
        if not late:
            facts = {"device": "d" * 16, "share_for_training": False}
            late.append(recordings.add(SPEECH[:640], **facts, preroll_ms=0, wake_word=None))
        return copied(database, beside)

    monkeypatch.setattr(backup, "_copied", copy_after_another_came)
    backup.back_up(data, tmp_path / "a.tar", has_recordings=True)
    recordings.close()
    restore.restore(tmp_path / "a.tar", tmp_path / "new")
    recordings = Recordings(tmp_path / "new")
    recordings.export(recordings.find(late[0].id), tmp_path / "late.wav")
    assert samples_of(tmp_path / "late.wav") == SPEECH[:640] and len(recordings.all()) == 3
    recordings.close()


def test_a_database_in_the_middle_of_a_change_is_copied_as_it_was(used, tmp_path):
    data = tmp_path / "data"
    restore.restore(used / "without.tar", data)
    database = sqlite3.connect(data / HISTORY_FILE, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    database.execute("DELETE FROM streams")
    backup.back_up(data, tmp_path / "a.tar", has_recordings=False)
    database.execute("ROLLBACK")
    database.close()
    restore.restore(tmp_path / "a.tar", tmp_path / "new")
    with closing(History(tmp_path / "new" / HISTORY_FILE)) as history:
        assert history.count() == 2


def test_a_damaged_database_is_not_backed_up_as_if_it_were_sound(used, tmp_path):
    data = tmp_path / "data"
    restore.restore(used / "without.tar", data)
    (data / HISTORY_FILE).write_bytes(b"not a database at all" * 100)
    done = earnest(data, "backup", tmp_path / "a.tar")
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 2, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
