"""The history of streams: every one is there, found by an index, and does not outlive its time."""

import asyncio
import datetime
import itertools
import json
import sqlite3
import stat
import time
from dataclasses import asdict, replace

import pytest

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import history as histories
from host_tools.receiver.devices import Device as ListedDevice
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.history import HISTORY_FILE, History
from host_tools.receiver.history_rows import Filter, StreamRow, day_bounds_s
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.receiver.session import Stream
from host_tools.receiver.transcripts import Transcripts
from tests.fakes.receivers import FORM, SPEECH, Device, new_device, receiving, serving

NOW_S = 1_800_000_000.0
DAY_S = 86400.0
KITCHEN, OFFICE = "a" * 16, "b" * 16
ROW = StreamRow(
    *(NOW_S, KITCHEN, "kitchen", "okay_nabu", 1000, 32000, "0" * 64, "audio-stop", ("dropped",)),
    keep_recordings=False,
    share_for_training=False,
)


@pytest.fixture
def history(tmp_path):
    made = History(tmp_path / "data" / HISTORY_FILE)
    yield made
    made.close()


def many(count):
    """Rows as a few devices make them in a year, and every seventh of them kept."""
    return (
        replace(
            ROW,
            began_s=NOW_S - number * 300,
            device_id=(KITCHEN, OFFICE)[number % 2],
            wake_word=("okay_nabu", "hey_jarvis", None)[number % 3],
            recording=f"{number:016x}" if number % 7 == 0 else None,
            fates=("kept",) if number % 7 == 0 else ("dropped",),
        )
        for number in range(count)
    )


def test_what_was_entered_is_there_for_the_owner_alone(history, tmp_path):
    assert history.page() == [] and history.count() == 0 and not (tmp_path / "data").exists()
    row = replace(ROW, fates=("kept", "home"), keep_recordings=True, recording="c" * 16)
    history.add([row, ROW])
    [second, first] = history.page()
    assert (replace(first, id=0), replace(second, id=0)) == (row, ROW)
    assert history.get(first.id) == first == history.of_recording("c" * 16)
    assert history.get(99) is None and history.of_recording("d" * 16) is None
    for path in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    history.add([row])  # as a start after a crash might
    assert history.count() == 2


def test_pages_show_each_row_once_whatever_comes_meanwhile(history):
    rows = list(many(25))
    rows[3] = replace(rows[3], began_s=rows[4].began_s)  # of one instant
    history.add(rows)
    seen, after = [], None
    while page := history.page(after=after, limit=4):
        seen += page
        after = page[-1].cursor
        history.add([replace(ROW, began_s=NOW_S + len(seen))])
    assert [row.id for row in seen] == sorted(
        range(1, 26), key=lambda id: (-rows[id - 1].began_s, -id)
    )


def test_a_filter_takes_what_it_names_and_nothing_else(history):
    rows = list(many(60))
    history.add(rows)
    day_s = day_bounds_s(datetime.date.fromtimestamp(NOW_S - 3600))
    for device, word, kept, day in itertools.product(
        (None, OFFICE), (None, "hey_jarvis"), (None, True, False), (None, day_s)
    ):
        since_s, until_s = day or (None, None)
        wanted = Filter(device, word, kept, since_s, until_s)
        expected = [
            row
            for row in rows
            if (device is None or row.device_id == device)
            and (word is None or row.wake_word == word)
            and (kept is None or (row.recording is not None) == kept)
            and (day is None or since_s <= row.began_s < until_s)
        ]
        assert [replace(row, id=0) for row in history.page(wanted, limit=99)] == expected
        assert history.count(wanted) == len(expected)


def test_a_hundred_thousand_rows_are_found_by_an_index_and_none_is_sorted(history, figure):
    history.add(many(100_000))
    assert history.count() == 100_000
    statements = []
    history._opened.set_trace_callback(statements.append)
    worst_s = 0.0
    for device, word, kept, since_s in itertools.product(
        (None, OFFICE), (None, "hey_jarvis"), (None, True), (None, NOW_S - 1e7)
    ):
        wanted = Filter(device, word, kept, since_s)
        for after in (None, (NOW_S - 1e6, 50)):
            began_s = time.perf_counter()
            assert len(history.page(wanted, after)) == 50
            worst_s = max(worst_s, time.perf_counter() - began_s)
    history._opened.set_trace_callback(None)
    assert len(statements) == 32
    for statement in statements:
        plan = history._opened.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall()
        [step] = [step for *_, step in plan]  # one step: rows come in order
        assert " USING INDEX by_" in step, (statement, step)
    figure(f"100,000 streams in the history: a page in {worst_s * 1000:.0f} ms at most")


def test_bytes_are_counted_by_day_and_device(history):
    today = datetime.date.fromtimestamp(NOW_S)
    noon_s = day_bounds_s(today)[0] + DAY_S / 2
    rows = [replace(ROW, began_s=noon_s, bytes=size) for size in (1, 2)]
    rows += [replace(ROW, began_s=noon_s, device_id=OFFICE, bytes=4)]
    rows += [replace(ROW, began_s=noon_s - DAY_S, bytes=8)]
    rows += [replace(ROW, began_s=noon_s - 9 * DAY_S, bytes=16)]
    history.add(rows)
    yesterday = (today - datetime.timedelta(days=1)).isoformat()
    assert [
        (d.day, d.device_id, d.streams, d.bytes) for d in history.bytes_per_day(noon_s - 2 * DAY_S)
    ] == [
        (yesterday, KITCHEN, 1, 8),
        (today.isoformat(), KITCHEN, 2, 3),
        (today.isoformat(), OFFICE, 1, 4),
    ]


def test_what_is_too_old_or_too_many_goes_but_not_before_its_recording(history, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW_S)
    old_s = NOW_S - (histories.MAX_AGE_DAYS + 1) * DAY_S
    history.add([replace(ROW, began_s=old_s), replace(ROW, began_s=old_s, recording="c" * 16)])
    history.add(many(20))
    history.trim()
    assert history.count() == 21 and history.of_recording("c" * 16) is not None
    history.deleted(["c" * 16])
    history.trim()
    assert history.count() == 20
    monkeypatch.setattr(histories, "MAX_ROWS", 12)
    history.trim()
    left = history.page()
    assert [row.began_s for row in left[:12]] == [NOW_S - n * 300 for n in range(12)]
    assert len(left) == 13 and left[-1].recording is not None


def test_a_deleted_recording_leaves_when_it_was_and_not_what(history, tmp_path):
    digest = "5" * 64
    history.add([replace(ROW, recording="c" * 16, sha256=digest, fates=("kept",))])
    history.deleted(["c" * 16, "d" * 16])
    [row] = history.page()
    assert (row.recording, row.sha256, row.fates) == (None, None, ("kept",))
    assert time.time() - row.deleted_s < 60
    history.close()
    assert digest.encode() not in (tmp_path / "data" / HISTORY_FILE).read_bytes()


def test_a_damaged_or_newer_history_is_never_replaced(history, tmp_path):
    history.add([ROW])
    history.close()
    path = tmp_path / "data" / HISTORY_FILE
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(HostToolError, match="version 99"):
        history.add([ROW])
    path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(HostToolError, match="the history failed"):
        history.page()
    assert path.read_bytes() == b"nonsense" * 1000


# Fed by the receiver.


def test_what_was_kept_before_there_was_a_history_is_entered_once(tmp_path):
    folder = tmp_path / "data"
    recordings = Recordings(folder)
    facts = {"share_for_training": True, "preroll_ms": 0, "wake_word": "okay_nabu"}
    kept = [recordings.add(bytes(3200), device=d, **facts) for d in (KITCHEN, OFFICE)]
    assert recordings.history.count() == 0
    recordings.close()
    kitchen = ListedDevice("kitchen", "", "2099-01-01", KITCHEN)
    (folder / "devices.json").write_text(json.dumps([asdict(kitchen)]))

    async def start_twice():
        worker = RecordingWorker(recordings, DeviceList(folder / "devices.json"))
        await worker.clean()
        await worker.look(lambda recordings: recordings.delete([kept[1]]))
        await worker.clean()
        (folder / f"{kept[0].id}.json").unlink()  # gone behind its back
        rows = await worker.look(lambda recordings: recordings.history.page())
        await worker.clean()
        after = await worker.look(lambda recordings: recordings.history.page())
        worker.close()
        return rows, after

    rows, after = asyncio.run(start_twice())
    of = {row.device_id: row for row in rows}
    assert len(rows) == 2 and of[KITCHEN].recording == kept[0].id
    assert (of[KITCHEN].device_name, of[KITCHEN].bytes, of[KITCHEN].duration_ms) == (
        "kitchen",
        3200,
        100,
    )
    assert of[OFFICE].recording is None and of[OFFICE].deleted_s is not None
    assert [row.recording for row in after] == [None, None]


def test_each_stream_is_entered_with_what_became_of_it(tmp_path):
    data = tmp_path / "data"
    folder = new_device(data, "kitchen")
    with serving(data, Transcripts(("127.0.0.1", 9))) as receiver:
        with Device(receiver.port, folder) as device:
            device.consent(keep=True, share=True)
            device.send(protocol.DETECTION, {"name": "okay_nabu"})
            device.send(protocol.AUDIO_START, FORM)
            device.audio(SPEECH)
            device.send(protocol.AUDIO_STOP)
            kept = receiver.wait("stream-stop")
            device.consent(stream="2" * 16)
            device.send(protocol.AUDIO_START, FORM)
            device.audio(SPEECH[:640])
        receiver.wait("stream-stop", stream="2" * 16)
    history = History(data / HISTORY_FILE)
    [second, first] = history.page()
    [listed] = DeviceList(data / "devices.json").all()
    assert first == StreamRow(
        *(first.began_s, listed.id, "kitchen", "okay_nabu", len(SPEECH) // 32, len(SPEECH)),
        *(kept["sha256"], "audio-stop", ("kept", "forwarded"), True, True, kept["recording"]),
        id=1,
    )
    assert time.time() - 60 < first.began_s < second.began_s < time.time()
    assert (second.bytes, second.fates, second.recording) == (640, ("forwarded",), None)
    assert second.reason in ("lost", "hung up", "cut off")
    history.close()


def test_a_stream_that_nobody_takes_is_dropped_and_a_stop_loses_none(tmp_path):
    data = tmp_path / "data"
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver, Device(receiver.port, folder) as device:
        device.say(SPEECH[:640])
        receiver.wait("stream-stop")
        device.consent(keep=True)
        device.send(protocol.AUDIO_START, FORM)
        device.audio(SPEECH[:3200])
        receiver.wait("stream-start")
        assert receiver.end(15) == (0, "")
    history = History(data / HISTORY_FILE)
    [second, first] = history.page()
    assert (first.fates, first.reason) == (("dropped",), "audio-stop")
    assert (second.fates, second.reason, second.recording) == (
        ("dropped",),
        "receiver stopped",
        None,
    )
    history.close()


def test_a_full_disk_costs_the_row_and_not_the_recording(tmp_path, monkeypatch):
    def full(self, rows):
        raise HostToolError("the history failed: no space")

    monkeypatch.setattr(History, "add", full)
    stream = Stream("0" * 16, True, False, 0, audio=bytearray(640))
    kitchen = ListedDevice("kitchen", "", "2099-01-01", KITCHEN)

    async def main():
        folder = tmp_path / "data"
        worker = RecordingWorker(Recordings(folder), DeviceList(folder / "devices.json"))
        recording, problem = await worker.add(stream, kitchen)
        assert "no space" in problem and "no space" in await worker.note(stream, kitchen)
        [found] = await worker.look(lambda recordings: recordings.all())
        worker.close()
        assert found == recording

    asyncio.run(main())
