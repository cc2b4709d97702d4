"""`/healthz` and `/metrics`: what they say, whom they answer, and what they hold out against."""

import asyncio
import http.client
import socket
import time

import pytest

from host_tools.receiver.devices import DeviceList
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.recordings import Recordings
from host_tools.service import health
from host_tools.service.counts import CountedView
from host_tools.service.health import MAX_CONNECTIONS, MAX_REQUEST_BYTES, Health
from tests.fakes.receivers import SPEECH, Device, earnest


def get(receiver, path, method="GET", **headers):
    """(status, headers, body)"""
    connection = http.client.HTTPConnection("127.0.0.1", receiver.health_port, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def metrics(receiver):
    """Every sample, by its name and label."""
    lines = get(receiver, "/metrics")[2].splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: int(value) for name, value in pairs}


def raw(receiver, request):
    """What a peer that sends these bytes gets."""
    with socket.create_connection(("127.0.0.1", receiver.health_port), timeout=20) as peer:
        peer.sendall(request)
        answer = b""
        try:
            while data := peer.recv(4096):
                answer += data
        except ConnectionResetError:
            pass
        return answer


def test_a_stream_shows_in_the_counts_and_nothing_but_counts(healthy):
    assert get(healthy, "/healthz")[::2] == (200, "ok\n")
    before = metrics(healthy)
    with Device(healthy.port, healthy.folder) as device:
        healthy.wait("connected")
        assert metrics(healthy)["earnest_connected_devices"] == 1
        device.say(SPEECH[:6400])
        stopped = healthy.wait("stream-stop")
        after = metrics(healthy)
    assert after["earnest_audio_bytes_total"] - before["earnest_audio_bytes_total"] == 6400
    assert after['earnest_events_total{event="stream-stop"}'] == 1
    assert after["earnest_running_streams"] == 0
    assert after["earnest_disk_free_bytes"] > 0
    status, headers, text = get(healthy, "/metrics")
    assert status == 200 and headers["Content-Type"].startswith("text/plain; version=0.0.4")
    for secret in ("kitchen", stopped["stream"], stopped["sha256"], str(healthy.data)):
        assert secret not in text
    # Prometheus's format: every line a comment or NAME{LABELS} NUMBER, each name typed once.
    typed = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(typed) == len(set(typed))
    assert {name.partition("{")[0] for name in after} == set(typed)


def test_only_this_computer_is_answered_and_only_what_is_asked_properly(healthy):
    host = f"127.0.0.1:{healthy.health_port}"
    for method, path, headers, want in (
        ("GET", "/", {}, 404),
        ("GET", "/healthz/../metrics", {}, 404),
        ("POST", "/healthz", {}, 405),
        ("GET", "/healthz", {"Host": f"evil.example:{healthy.health_port}"}, 421),
        ("GET", "/healthz", {"Host": "127.0.0.1"}, 421),
        ("HEAD", "/healthz", {"Host": host}, 200),
        ("GET", "/healthz", {"Host": f"localhost:{healthy.health_port}"}, 200),
    ):
        status, answered, _ = get(healthy, path, method, **headers)
        assert status == want, (method, path, headers)
        assert answered["Cache-Control"] == "no-store"
    for request in (
        b"\r\n\r\n",
        b"GET /healthz\r\n\r\n",
        b"GET /healthz HTTP/2\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: " + b"x" * MAX_REQUEST_BYTES + b"\r\n\r\n",
    ):
        assert raw(healthy, request).startswith((b"HTTP/1.1 400", b"HTTP/1.1 421")), request
    with pytest.raises(OSError):  # another address of this computer
        socket.create_connection(("127.0.0.2", healthy.health_port), timeout=5)


def test_silent_peers_do_not_keep_it_from_answering(healthy):
    peers = [
        socket.create_connection(("127.0.0.1", healthy.health_port))
        for _ in range(MAX_CONNECTIONS)
    ]
    assert raw(healthy, b"GET /healthz HTTP/1.1\r\n\r\n") == b""  # one too many
    began_s = time.monotonic()
    for peer in peers:
        peer.settimeout(20)
        try:
            assert peer.recv(1) == b""
        except ConnectionResetError:
            pass
        peer.close()
    assert time.monotonic() - began_s < 2 * health.ANSWER_S
    assert get(healthy, "/healthz")[0] == 200


class Silent:
    def emit(self, event, **fields):
        pass


def test_it_says_what_is_wrong(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    worker = RecordingWorker(Recordings(data), DeviceList(data / "devices.json"))
    told = Health(0, data, worker, CountedView(Silent()))
    try:
        assert asyncio.run(told.problems()) == []
        monkeypatch.setattr(health, "MIN_FREE_BYTES", 1 << 62)
        assert asyncio.run(told.problems()) == ["the disk is full"]
        monkeypatch.setattr(health, "WORKER_S", 0.05)

        async def while_busy():
            busy = worker.look(lambda _: time.sleep(0.5))
            found = await told.problems()
            await busy
            return found

        assert asyncio.run(while_busy())[0].startswith("the disk has been busy")
        monkeypatch.setattr(told, "_data", tmp_path / "gone")
        assert "the receiver's folder cannot be written" in asyncio.run(told.problems())
    finally:
        worker.close()


def test_a_port_in_use_is_said_in_two_lines(healthy, tmp_path):
    options = ["--port", 0, "--host", "127.0.0.1", "--health-port", healthy.health_port]
    done = earnest(tmp_path / "data", "receive", *options)
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines() == [
        f"error: cannot listen on 127.0.0.1 port {healthy.health_port}: Address already in use",
        "hint: name another --health-port",
    ]
