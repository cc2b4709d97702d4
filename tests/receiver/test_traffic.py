"""Bytes beside the audio: counted as they come, apart from streams and sounds, and kept by day."""

import asyncio
import datetime
import sqlite3
import stat
import time

import pytest

from firmware.satellite import protocol
from host_tools.errors import HostToolError
from host_tools.receiver import upkeep
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.traffic import TRAFFIC_FILE, Counts, Meter, Traffic
from tests.fakes.receivers import FORM, STREAM, Device, new_device, serving
from tests.receiver.test_upkeep import Told

TODAY = datetime.date.today()


@pytest.fixture
def traffic(tmp_path):
    made = Traffic(tmp_path / "data" / TRAFFIC_FILE)
    yield made
    made.close()


def test_counts_of_a_day_add_up_for_the_owner_alone(traffic, tmp_path):
    assert traffic.since(TODAY) == [] and not (tmp_path / "data").exists()
    traffic.add({})
    traffic.add({"a" * 16: Counts(1, 2, 3, 4, 5), "b" * 16: Counts(7)})
    traffic.add({"a" * 16: Counts(10, 20, 30, 40, 50)})
    first, second = traffic.since(TODAY)
    assert first.counts == Counts(11, 22, 33, 44, 55) and second.counts == Counts(7)
    assert (first.day, first.device_id) == (TODAY.isoformat(), "a" * 16)
    assert traffic.since(TODAY + datetime.timedelta(days=1)) == []
    for path in (tmp_path / "data").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_days_go_after_a_year(traffic, tmp_path, monkeypatch):
    traffic.add({"a" * 16: Counts(1)})
    with sqlite3.connect(tmp_path / "data" / TRAFFIC_FILE) as database:
        for days in (366, 367):
            old = (TODAY - datetime.timedelta(days=days)).isoformat()
            database.execute("INSERT INTO traffic VALUES (?, 'c', 1, 1, 1, 1, 1)", [old])
    traffic.add({"a" * 16: Counts(1)})
    assert len(traffic.since(datetime.date(1970, 1, 1))) == 2


def test_a_damaged_file_is_an_error_and_stays(traffic, tmp_path):
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / TRAFFIC_FILE
    path.write_bytes(b"no database, but it may be somebody's" * 99)
    for use in (lambda: traffic.add({"a": Counts(1)}), lambda: traffic.since(TODAY)):
        with pytest.raises(HostToolError, match="counts of traffic failed"):
            use()
    assert path.read_bytes().startswith(b"no database")


def test_the_meter_gives_each_count_once():
    meter = Meter()
    meter.of("a").received += 5
    meter.of("b")
    assert meter.take() == {"a": Counts(5)} and meter.take() == {}
    meter.of("a").sent += 1
    assert meter.take() == {"a": Counts(sent=1)}


def test_a_connection_counts_what_is_no_audio_to_the_byte(tmp_path):
    data = tmp_path / "data"
    folder = new_device(data, "kitchen")
    [device] = DeviceList(data / "devices.json").all()
    ping, pong = protocol.encode(protocol.PING), protocol.encode(protocol.PONG)
    audio = bytes(3200)
    consent = {"keep_recordings": False, "share_for_training": False, "preroll_ms": 0}
    opening = protocol.encode(protocol.CONSENT, {"stream": STREAM, **consent})
    accepted = protocol.encode(protocol.CONSENT_ACCEPTED, {"stream": STREAM})
    start, stop = protocol.encode(protocol.AUDIO_START, FORM), protocol.encode(protocol.AUDIO_STOP)
    chunk = protocol.encode(protocol.AUDIO_CHUNK, FORM, audio)
    with serving(data) as receiver:
        with Device(receiver.port, folder) as kitchen:
            for _ in range(3):
                kitchen.send(protocol.PING)
                kitchen.expect(protocol.PONG)
            kitchen.consent()
            kitchen.send(protocol.AUDIO_START, FORM)
            for _ in range(5):
                kitchen.socket.sendall(chunk[:2000])  # as the network cuts it
                time.sleep(0.01)
                kitchen.socket.sendall(chunk[2000:])
            kitchen.send(protocol.AUDIO_STOP)
            receiver.wait("stream-stop")
            kitchen.send(protocol.PING)
            kitchen.expect(protocol.PONG)
        receiver.wait("disconnected")
    found = Traffic(data / TRAFFIC_FILE)
    [day] = found.since(TODAY)
    found.close()
    assert day.device_id == device.id
    assert day.counts == Counts(
        received=4 * len(ping) + len(opening),
        sent=4 * len(pong) + len(accepted),
        messages=10,
        stream_received=len(start) + 5 * (len(chunk) - len(audio)) + len(stop),
        stream_sent=0,
    )


def test_a_message_that_ends_the_connection_is_counted_too(tmp_path):
    data = tmp_path / "data"
    folder = new_device(data, "kitchen")
    with serving(data) as receiver:
        with Device(receiver.port, folder) as kitchen:
            kitchen.socket.sendall(b"\0\n" * 500)
            assert kitchen.is_hung_up()
        receiver.wait("disconnected")
    found = Traffic(data / TRAFFIC_FILE)
    [day] = found.since(TODAY)
    found.close()
    assert day.counts.received == 1000


def test_counts_are_written_from_time_to_time_and_a_failure_is_told(monkeypatch):
    monkeypatch.setattr(upkeep, "COUNTS_S", 0.001)
    meter, told, written = Meter(), Told(), []

    class Worker:
        def count(self, counts):
            written.append(counts)
            future = asyncio.get_running_loop().create_future()
            if len(written) == 1:
                future.set_exception(HostToolError("full", ""))
            else:
                future.set_result(None)
            return future

    async def run():
        meter.of("a").sent += 1
        task = asyncio.create_task(upkeep.keep_counts(meter, Worker(), told))
        while len(written) < 2:
            await asyncio.sleep(0.001)
        meter.of("b").sent += 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert told == [("warning", {"message": "full"})]
    assert written[0] == {"a": Counts(sent=1)} and {"b": Counts(sent=1)} in written
