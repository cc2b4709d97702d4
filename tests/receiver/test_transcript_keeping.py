"""Words are kept with the recording that they were said in, sealed, and gone with it."""

import asyncio
import sqlite3
import time
from contextlib import closing

import pytest

from firmware.satellite import protocol
from host_tools.receiver import history, transcript_keeping
from host_tools.receiver.assistant import Assistant
from host_tools.receiver.devices import Device as ListedDevice
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.history import HISTORY_FILE, History
from host_tools.receiver.owner_only_database import connect
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.session import Stream
from host_tools.receiver.transcript_keeping import TranscriptKeeping
from tests.fakes.receivers import FORM, SPEECH, Device, new_device, serving, streams_of

KITCHEN = ListedDevice("kitchen", "", "2099-01-01", "a" * 16)
WORDS = "What time is it in Reykjavík?"


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def stream(number, keep=True):
    return Stream(f"{number:016x}", keep, False, 0, audio=bytearray(640) if keep else None)


def everything(data):
    return b"\n".join(path.read_bytes() for path in data.rglob("*") if path.is_file())


def run(data, script):
    async def main():
        worker = RecordingWorker(Recordings(data), DeviceList(data / "devices.json"))
        try:
            return await script(worker)
        finally:
            worker.close()

    return asyncio.run(main())


def test_words_are_sealed_under_the_recordings_key_and_go_with_it(data):
    async def script(worker):
        recording, problem = await worker.add(stream(1), KITCHEN)
        worker.heard("kitchen", f"{1:016x}", WORDS)
        assert problem is None
        words = await worker.look(lambda r: r.transcript(recording.id, source="page"))
        assert words == WORDS and WORDS.encode() not in everything(data)
        sealed = await worker.look(lambda r: r.history.transcript(recording.id))
        assert sealed in everything(data)
        await worker.look(lambda r: r.delete([recording]))
        assert await worker.look(lambda r: r.transcript(recording.id)) is None
        with closing(sqlite3.connect(data / HISTORY_FILE)) as database:
            assert database.execute("SELECT transcript FROM streams").fetchall() == [(None,)]

    run(data, script)
    assert b'"what":"read","source":"page"' in everything(data)


def test_words_come_before_the_end_or_after_it_and_never_to_another(data):
    async def script(worker):
        worker.heard("kitchen", f"{1:016x}", "early")
        worker.heard("hall", f"{1:016x}", "the hall's")
        worker.heard("kitchen", f"{3:016x}", "of a stream that is not kept")
        first, _ = await worker.add(stream(1), KITCHEN)
        second, _ = await worker.add(stream(2), KITCHEN)
        await worker.note(stream(3, keep=False), KITCHEN)
        worker.heard("kitchen", f"{2:016x}", "late")
        worker.heard("kitchen", f"{3:016x}", "of a stream that is not kept")
        found = await worker.look(lambda r: [r.transcript(x.id) for x in (first, second)])
        with closing(sqlite3.connect(data / HISTORY_FILE)) as database:
            sql = "SELECT count(*) FROM streams WHERE transcript IS NOT NULL"
            assert database.execute(sql).fetchone() == (2,)
        return found

    assert run(data, script) == ["early", "late"]


def test_words_that_come_after_the_owner_took_consent_back_are_not_kept(data):
    """Speech-to-text takes seconds; the recording goes when the device has confirmed."""

    async def script(worker):
        first, _ = await worker.add(stream(1), KITCHEN)
        other, _ = await worker.add(stream(1), ListedDevice("hall", "", "2099-01-01", "b" * 16))
        withdrawals = OwnerWithdrawals(data)
        withdrawals.begin(KITCHEN.id, KITCHEN.name)
        worker.heard("kitchen", f"{2:016x}", "of a stream that runs")
        assert await worker.take_back(withdrawals, KITCHEN.id, "page") == []
        for name in ("kitchen", "hall"):
            worker.heard(name, f"{1:016x}", WORDS)
        again, _ = await worker.add(stream(2), KITCHEN)
        return await worker.look(lambda r: [r.transcript(x.id) for x in (first, other, again)])

    assert run(data, script) == [None, WORDS, None]


def test_what_is_waited_for_is_bounded(data, monkeypatch):
    monkeypatch.setattr(transcript_keeping, "MAX_ENDED", 3)
    monkeypatch.setattr(transcript_keeping, "MAX_EARLY", 3)
    keeping = TranscriptKeeping(Recordings(data))
    for number in range(9):
        keeping.heard(("hall", str(number)), WORDS)
        keeping.ended(("kitchen", str(number)), None)
    assert len(keeping._early) == len(keeping._ended) == 3 and not data.exists()


def test_a_transcript_of_another_recording_is_not_read(data):
    with closing(Recordings(data)) as made:
        facts = {"device": "a" * 16, "share_for_training": False, "preroll_ms": 0}
        kept = [made.add(bytes(640), wake_word=None, **facts) for _ in range(2)]
        made.settle_history({})
        made.keep_transcript(kept[0].id, WORDS)
        made.history.keep_transcript(kept[1].id, made.history.transcript(kept[0].id))
        assert [made.transcript(recording.id) for recording in kept] == [WORDS, None]
        made.keep_transcript("c" * 16, WORDS)  # gone meanwhile


def test_a_history_of_the_first_version_gets_its_column(data):
    data.mkdir()
    tables = [t.replace(", transcript BLOB, labels BLOB", "") for t in history._TABLES[:-1]]
    old = connect(data / HISTORY_FILE, tables, 1)
    old.execute(
        "INSERT INTO streams VALUES (7, 5.0, 'a', 'kitchen', NULL, 1, 32, '0', 'x', 'kept', 1, 0, "
        "'c', NULL)"
    )
    old.close()
    with closing(History(data / HISTORY_FILE)) as upgraded:
        [row] = upgraded.page()
        assert (row.id, row.began_s, row.recording) == (7, 5.0, "c")
        upgraded.keep_transcript("c", b"sealed")
        assert upgraded.transcript("c") == b"sealed"
        assert upgraded.labels() == {} and upgraded.keep_labels("c", b"sealed")
        assert upgraded.labels() == {"c": b"sealed"}
    with closing(sqlite3.connect(data / HISTORY_FILE)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (history.VERSION,)


class Scribe(Assistant):
    """Understands every stream."""

    def begin(self, host):
        self.host = host

    def stream_ended(self, satellite, stream, is_complete):
        self.host.emit("transcript", device=satellite.name, stream=stream, text=WORDS)


def test_what_an_assistant_understood_is_kept_only_with_consent(data):
    folder = new_device(data, "kitchen")
    with serving(data, Scribe()) as receiver, Device(receiver.port, folder) as device:
        for number, keep in ((1, True), (2, False)):
            device.consent(keep=keep, stream=f"{number:016x}")
            device.send(protocol.AUDIO_START, FORM)
            device.audio(SPEECH[:640])
            device.send(protocol.AUDIO_STOP)
        first, second = streams_of(data, 2)
        until_s = time.monotonic() + 20
        with closing(Recordings(data)) as found:
            while (words := found.transcript(first.recording)) is None:
                assert time.monotonic() < until_s
        assert words == WORDS and second.recording is None
    with closing(sqlite3.connect(data / HISTORY_FILE)) as database:
        sql = "SELECT count(*) FROM streams WHERE transcript IS NOT NULL"
        assert database.execute(sql).fetchone() == (1,)
    assert WORDS.encode() not in everything(data)
