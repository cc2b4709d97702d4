"""The receiver's own audit log: nothing is heard or deleted without a record in its chain."""

import errno
import hashlib
import json
import os
import shutil
import stat
import time
from contextlib import closing
from pathlib import Path

import pytest

from firmware.satellite import audit_record
from host_tools.errors import HostToolError
from host_tools.receiver import receiver_log, recordings
from host_tools.receiver.devices import Device, DeviceList
from host_tools.receiver.receiver_log import FOLDER, HEAD_NAME, KINDS, LOG_NAME, ReceiverLog
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.withdrawal import Wishes, withdraw
from tests.fakes.dying import beside, dying_after
from tests.fakes.receivers import earnest

KITCHEN, OFFICE = "a" * 16, "b" * 16
ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def kept(data):
    made = Recordings(data)
    yield made
    made.close()


def keep(recordings, device=KITCHEN):
    return recordings.add(
        bytes(640), device=device, share_for_training=False, preroll_ms=0, wake_word=None
    )


def lines_of(data):
    """The lines of the log, the oldest first."""
    names = sorted((data / FOLDER).glob("audit.*.jsonl"), key=lambda p: int(p.name.split(".")[1]))
    content = b"".join(path.read_bytes() for path in [*names, data / FOLDER / LOG_NAME])
    return audit_record.split(content)


def records(data, *kinds):
    """The records of these kinds, without what every record has; the chain must be intact."""
    head = (data / FOLDER / HEAD_NAME).read_bytes()
    found, problems = audit_record.verify(lines_of(data), head, KINDS)
    assert problems == []
    common = ("seq", "prev", "hash", "t_ms")
    return [
        {name: value for name, value in record.items() if name not in common}
        for record in found
        if not kinds or record["kind"] in kinds
    ]


# What is recorded.


def test_looks_exports_deletions_and_withdrawals_are_recorded(data, kept, tmp_path):
    first, second, third, fourth = (keep(kept, d) for d in (KITCHEN, KITCHEN, OFFICE, OFFICE))
    kept.wav(first, source="page")
    kept.wav(first, what="download", source="page")
    kept.export(second, tmp_path / "out.wav")
    kept.delete([first], source="page")
    kitchen = Device("kitchen", "", "2099-01-01", KITCHEN)
    withdraw(kept, DeviceList(data / "devices.json"), kitchen, Wishes(False, False))
    withdraw(kept, DeviceList(data / "devices.json"), kitchen, Wishes(True, True))
    kept.delete_all()
    ids = hashlib.sha256("".join(f"{id}\n" for id in sorted([third.id, fourth.id])).encode())
    one = {"kind": "delete", "recordings": 1}
    assert records(data, "look", "delete", "withdraw") == [
        {"kind": "look", "what": "hear", "source": "page", "recording": first.id},
        {"kind": "look", "what": "download", "source": "page", "recording": first.id},
        {"kind": "look", "what": "export", "source": "command", "recording": second.id},
        {**one, "why": "owner", "source": "page", "recording": first.id},
        {
            "kind": "withdraw",
            "keep_recordings": False,
            "share_for_training": False,
            "device": KITCHEN,
        },
        {**one, "why": "withdrawn", "source": "device", "recording": second.id, "device": KITCHEN},
        {
            "kind": "delete",
            "recordings": 2,
            "why": "owner",
            "source": "command",
            "ids": ids.hexdigest(),
        },
    ]
    assert records(data, "deleted")[-1] == {"kind": "deleted", "recordings": 2, "left": 0}
    for path in (data / FOLDER).iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_what_expires_and_what_nobody_can_say_the_consent_of_is_recorded(data, kept, monkeypatch):
    first, second = keep(kept), keep(kept)
    (data / f"{second.id}.json").write_text("nonsense")
    assert kept.clean().count == 1
    later_s = time.time() + 31 * 86400
    monkeypatch.setattr(time, "time", lambda: later_s)
    assert kept.expire().count == 1
    assert [(r["why"], r["source"], r["recording"]) for r in records(data, "delete")] == [
        ("unsound", "receiver", second.id),
        ("expired", "receiver", first.id),
    ]


def test_the_record_is_on_the_disk_before_the_key_goes(data, kept, monkeypatch):
    recording = keep(kept)
    order = []
    destroy = receiver_log.ReceiverLog.add
    monkeypatch.setattr(
        receiver_log.ReceiverLog,
        "add",
        lambda self, kind, **fields: order.append(kind) or destroy(self, kind, **fields),
    )
    unlink = os.unlink

    def noting(path, **options):
        order.append(Path(path).suffix)
        unlink(path, **options)

    monkeypatch.setattr(os, "unlink", noting)
    kept.delete([recording])
    order = [what for what in order if what in ("delete", "deleted", ".sealed", ".json")]
    assert order == ["delete", ".sealed", ".json", "deleted"]


def test_every_kind_and_field_is_documented():
    section = (ROOT / "docs" / "audit.md").read_text().split("## The receiver's own log")[1]
    for kind, (must, may) in KINDS.items():
        assert f"`{kind}`" in section
        if kind not in ("rotate", "torn"):
            [row] = [row for row in section.split("\n- ") if row.startswith(f"`{kind}`:")]
            assert all(f"`{name}`" in row for name, _ in must + may), kind
            assert all(f"[`{name}`]" in row for name, _ in may), kind
    words = (*receiver_log.LOOKS, *receiver_log.WHYS, *receiver_log.SOURCES)
    words += (*receiver_log.SESSIONS, *receiver_log.SIGN_OUTS, *receiver_log.SET_UPS)
    assert all(f"`{word}`" in section for word in words)


def test_nothing_else_removes_audio_or_a_key():
    """A deletion without a record would need one of these calls elsewhere."""
    callers = {}
    for path in (ROOT / "host_tools").rglob("*.py"):
        text = path.read_text()
        for call in ("_files.remove(", "keys.destroy(", ".destroy_file(", "_files.keys.writing("):
            if call in text:
                callers.setdefault(call, set()).add(path.name)
    assert callers["_files.remove("] == {"recordings.py"}
    assert callers["keys.destroy("] == {"recordings.py", "recording_files.py"}
    assert callers[".destroy_file("] == callers["_files.keys.writing("] == {"recordings.py"}
    assert "_recorded(" in Path(recordings.__file__).read_text()


# What cannot be recorded is not done.


def test_what_cannot_be_recorded_is_not_done(data, kept, monkeypatch, tmp_path):
    first, second = keep(kept), keep(kept)
    (data / f"{second.id}.json").write_text("nonsense")
    kitchen = Device("kitchen", "", "2099-01-01", KITCHEN)

    def full(path, *arguments, **options):
        if Path(path).name == LOG_NAME:
            raise OSError(errno.ENOSPC, "No space left on device")
        return opened(path, *arguments, **options)

    opened = os.open
    monkeypatch.setattr(os, "open", full)
    for look in (lambda: kept.wav(first), lambda: kept.export(first, tmp_path / "x.wav")):
        with pytest.raises(HostToolError, match="No space left"):
            look()
    assert not (tmp_path / "x.wav").exists()
    for delete in (
        lambda: kept.delete([first]),
        lambda: kept.delete_of(KITCHEN),
        lambda: kept.delete_all(),
        lambda: kept.clean(is_doubt_enough=True),
    ):
        done = delete()
        assert done.count == 0 and "No space left" in done.left[0]
    with pytest.raises(HostToolError, match="No space left"):
        withdraw(kept, DeviceList(data / "devices.json"), kitchen, Wishes(False, False))
    monkeypatch.undo()
    assert len(list(data.glob("*.sealed"))) == 2
    assert kept.wav(first) and kept.delete_all().count == 2


def test_a_full_disk_still_has_room_for_the_record_of_a_deletion(data, kept, monkeypatch):
    recording = keep(kept)
    reserve = data / FOLDER / receiver_log.RESERVE_NAME
    assert reserve.stat().st_size == 65536
    fsync = os.fsync

    def full(descriptor):
        if reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    assert kept.delete([recording]).count == 1
    monkeypatch.undo()
    assert records(data, "delete")[-1]["recording"] == recording.id


# The chain.


def test_what_was_changed_left_out_or_cut_off_is_named(data, kept):
    log = ReceiverLog(data)
    for number in range(6):
        log.add("look", what="hear", source="page", recording=f"{number:016x}")
    lines = lines_of(data)
    head = (data / FOLDER / HEAD_NAME).read_bytes()
    for spoiled in (
        lines[1:],
        lines[:3] + lines[4:],
        lines[:-1],
        [*lines[:2], lines[2].replace(b"hear", b"export"), *lines[3:]],
        [lines[1], lines[0], *lines[2:]],
    ):
        assert audit_record.verify(spoiled, head, KINDS)[1] != []
    assert audit_record.verify(lines, head, KINDS)[1] == []
    assert audit_record.verify(lines, head)[1] != [], "no device has such records"
    (data / FOLDER / LOG_NAME).write_bytes(b"".join(lines[:-2]))
    log.add("look", what="hear", source="page", recording="f" * 16)  # the gap stays visible
    head = (data / FOLDER / HEAD_NAME).read_bytes()
    problems = audit_record.verify(lines_of(data), head, KINDS)[1]
    assert "records 4 to 5 are missing" in problems[0][1]


def test_a_torn_record_is_cut_off_and_noted(data, kept):
    log = ReceiverLog(data)
    log.add("look", what="hear", source="page", recording="0" * 16)
    with open(data / FOLDER / LOG_NAME, "ab") as file:
        file.write(b'{"v":1,"seq":1')
    log.add("look", what="hear", source="page", recording="1" * 16)
    assert records(data)[1] == {"kind": "torn", "bytes": 14, "lost": 0, "head": "good"}
    assert len(records(data)) == 3


def test_a_death_at_any_call_leaves_an_intact_chain(data):
    ReceiverLog(data).add("look", what="hear", source="page", recording="0" * 16)
    before = data.parent / "before"
    shutil.copytree(data, before)

    def work():
        ReceiverLog(data).add("look", what="export", source="page", recording="1" * 16)
        return b""

    for points in range(99):
        shutil.rmtree(data)
        shutil.copytree(before, data)
        told = dying_after(points, work)
        ReceiverLog(data).add("look", what="hear", source="page", recording="2" * 16)
        found = [r["recording"][0] for r in records(data, "look")]
        assert found in (["0", "2"], ["0", "1", "2"]), points
        if told is not None:
            assert found == ["0", "1", "2"]
            break
    assert points > 5


def test_several_processes_write_one_chain(data):
    def work(tell):
        log = ReceiverLog(data)
        for number in range(20):
            log.add("look", what="hear", source="page", recording=f"{number:016x}")

    for end in [beside(work) for _ in range(4)]:
        end()
    assert len(records(data)) == 80


def test_files_are_rotated_and_the_oldest_go(data, monkeypatch):
    monkeypatch.setattr(receiver_log, "MAX_FILE_BYTES", 2000)
    monkeypatch.setattr(receiver_log, "MAX_FILES", 4)
    log = ReceiverLog(data)
    for number in range(120):
        log.add("look", what="hear", source="page", recording=f"{number:016x}")
    names = sorted(path.name for path in (data / FOLDER).glob("*.jsonl"))
    assert len(names) == 4 and names[-1] == LOG_NAME
    found = records(data, "look")
    assert len(found) < 60 and found[-1]["recording"] == f"{119:016x}"
    assert earnest(data, "audit", "--receiver").returncode == 0


# The command.


def test_earnest_audit_shows_and_verifies_it(data, kept, tmp_path):
    done = earnest(data, "audit", "--receiver")
    assert done.returncode == 2 and "there is no receiver's log" in done.stderr
    recording = keep(kept)
    with closing(Recordings(data)) as command:
        command.export(recording, tmp_path / "out.wav")
    assert earnest(data, "recordings", "delete", recording.id, "--yes").returncode == 0
    done = earnest(data, "audit", "--receiver")
    assert done.returncode == 0 and "OK: 3 records, hash chain intact" in done.stdout
    assert "what export" in done.stdout
    assert "since start" not in done.stdout
    document = json.loads(earnest(data, "audit", "--receiver", "--json").stdout)
    assert [record["kind"] for record in document["records"]] == ["look", "delete", "deleted"]
    assert document["whole"] and document["records"][0]["recording"] == recording.id
    assert abs(document["records"][0]["time"] - time.time()) < 60
    path = data / FOLDER / LOG_NAME
    path.write_bytes(path.read_bytes().replace(b"export", b"hear", 1))
    done = earnest(data, "audit", "--receiver")
    assert done.returncode == 1 and "record 0 was changed" in done.stdout
    done = earnest(data, "audit", "--receiver", str(data))
    assert done.returncode == 2 and "goes with no other log" in done.stderr
