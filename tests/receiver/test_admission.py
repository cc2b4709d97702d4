"""Who may connect to the real receiver, how often, and that nobody locks others out."""

import contextlib
import socket
import ssl
import time

import pytest

from firmware.satellite import protocol
from host_tools.receiver import authority
from host_tools.receiver.devices import DeviceList
from tests.fakes.receivers import (
    FORM,
    SPEECH,
    Device,
    earnest,
    kept_wav,
    new_device,
    receiving,
    samples_of,
    tls_context,
)


def refused_handshake(receiver, reason, make):
    """`make()` connects and talks; it must fail, and the receiver must say why."""
    try:
        with make() as device:
            device.send(protocol.PING)
            assert device.socket.recv(100) == b""
    except OSError:  # ssl.SSLError is one
        pass
    refusal = receiver.wait("refused")
    assert reason in refusal["reason"], refusal


def test_who_is_refused(shared, tmp_path):
    port, folder = shared.port, shared.folder
    other = new_device(tmp_path / "other", "kitchen")
    refused_handshake(
        shared,
        "no certificate",
        lambda: Device(port, folder, tls_context(folder, has_certificate=False)),
    )
    stranger = tls_context(other)
    stranger.check_hostname = False
    stranger.verify_mode = 0
    refused_handshake(shared, "not ours", lambda: Device(port, None, stranger))
    # A device with the right certificate that trusts another authority hangs up by itself.
    doubting = tls_context(other)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        Device(port, None, doubting)
    refusal = shared.wait("refused")["reason"]
    assert "does not know our certificate" in refusal and "another --data?" in refusal
    # The receiver's own certificate is none of a device.
    with_receivers = tls_context(folder, has_certificate=False)
    own = shared.data / "authority"
    with_receivers.load_cert_chain(own / "receiver.cert.pem", own / "receiver.key.pem")
    refused_handshake(shared, "not ours", lambda: Device(port, folder, with_receivers))
    old = tls_context(folder)
    with pytest.warns(DeprecationWarning):
        old.maximum_version = old.minimum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    refused_handshake(shared, "below 1.2", lambda: Device(port, folder, old))
    for words in (protocol.encode(protocol.PING), b"GET / HTTP/1.1\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            plain.sendall(words)
            try:
                while data := plain.recv(100):
                    assert b"pong" not in data and b"HTTP" not in data
            except ConnectionError:
                pass
        shared.wait("refused", reason="not TLS")
    with Device(port, folder) as device:  # it goes on serving
        device.send(protocol.PING)
        device.expect(protocol.PONG)


def test_a_wrong_name_is_refused_by_the_device(data):
    folder = new_device(data, "kitchen")
    with receiving(data, "--name", "another.example") as receiver:
        with pytest.raises(OSError, match="Hostname mismatch"):
            Device(receiver.port, folder)
    with receiving(data) as receiver:
        assert receiver.events[0]["name"] == "another.example"  # it stays


def test_a_removed_device_is_refused_while_the_receiver_runs(data):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver:
        with Device(receiver.port, folder) as device:
            device.consent(keep=True)
            device.send(protocol.AUDIO_START, FORM)
            device.audio(SPEECH[:320])
            receiver.wait("stream-start")
            assert earnest(data, "devices", "remove", "kitchen").returncode == 0
            assert receiver.wait("stream-stop")["recording"] is None
            assert device.is_hung_up()
        receiver.wait("disconnected", reason="removed from the list of devices")
        refused_handshake(receiver, "list of devices", lambda: Device(receiver.port, folder))


def test_a_stolen_certificate_that_was_renewed_since_ends_too(data):
    folder = new_device(data, "kitchen")
    devices = DeviceList(data / "devices.json")
    with receiving(data) as receiver, Device(receiver.port, folder) as stolen:
        stolen.send(protocol.PING)
        stolen.expect(protocol.PONG)
        [old] = devices.all()
        devices.issue("kitchen.new", authority.open_or_make(data / "authority"), renews=old)
        devices.remove("kitchen")
        devices.rename("kitchen.new", "kitchen")
        assert stolen.is_hung_up()
        refused_handshake(receiver, "list of devices", lambda: Device(receiver.port, folder))


def test_a_damaged_list_of_devices_lets_nobody_in(data):
    folder = new_device(data, "kitchen")
    good = (data / "devices.json").read_bytes()
    with receiving(data) as receiver:
        (data / "devices.json").write_text("nonsense")
        refused_handshake(receiver, "damaged", lambda: Device(receiver.port, folder))
        (data / "devices.json").write_bytes(good)
        with Device(receiver.port, folder) as device:
            device.send(protocol.PING)
            device.expect(protocol.PONG)


def test_an_expired_certificate_is_refused(data, monkeypatch):
    monkeypatch.setattr(authority, "DEVICE_DAYS", -1)
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver:
        assert "expires" in receiver.events[0]["message"]
        refused_handshake(receiver, "expired", lambda: Device(receiver.port, folder))


def test_silent_connections_keep_nobody_out_and_are_ended(shared):
    silent = [socket.create_connection(("127.0.0.1", shared.port)) for _ in range(40)]
    silent[0].sendall(b"\x16\x03\x01")  # the beginning of a handshake
    began_s = time.monotonic()
    with Device(shared.port, shared.folder) as device:
        device.send(protocol.PING)
        device.expect(protocol.PONG)
    assert time.monotonic() - began_s < 5
    for connection in silent:
        connection.settimeout(15)
        try:
            assert connection.recv(100) == b""
        except ConnectionError:
            pass
        connection.close()
    assert 5 < time.monotonic() - began_s < 15
    shared.wait("refused", reason="too many handshakes at a time; this was the oldest")
    shared.wait("refused", reason="no TLS handshake in time, or hung up during it")


def test_connections_are_limited(data):
    kitchen, office = new_device(data, "kitchen"), new_device(data, "office")
    with receiving(data, "--max-connections", 1) as receiver:
        with Device(receiver.port, kitchen) as device:
            receiver.wait("connected")
            refused_handshake(receiver, "too many", lambda: Device(receiver.port, office))
            device.send(protocol.PING)
            device.expect(protocol.PONG)
        receiver.wait("disconnected")
        with Device(receiver.port, office) as device:
            device.send(protocol.PING)
            device.expect(protocol.PONG)


def test_many_connections_of_one_device_keep_no_other_out(data):
    kitchen, office = new_device(data, "kitchen"), new_device(data, "office")
    with receiving(data) as receiver, contextlib.ExitStack() as stack:
        context = tls_context(kitchen)
        for _ in range(9):
            stack.enter_context(Device(receiver.port, kitchen, context))
        with Device(receiver.port, office) as device:
            device.send(protocol.PING)
            device.expect(protocol.PONG)


def test_plain_text_only_if_insecure_is_said(data):
    with receiving(data, "--insecure") as receiver:
        told = [event["event"] for event in receiver.events]
        assert told == ["ca", "warning", "listening"] and not receiver.events[2]["is_secure"]
        with Device(receiver.port, None) as device:
            device.say(SPEECH[:640], keep=True)
            stop = receiver.wait("stream-stop")
            assert samples_of(kept_wav(data, stop["recording"])) == SPEECH[:640]
        with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as tls:
            tls.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(1100))
            assert b"error" in tls.recv(1000)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_keep_alive_on_the_wire_fits_the_documented_budget(shared, version):
    """Bytes of the TLS records for a ping and its pong, and nothing besides them."""
    context = tls_context(shared.folder)
    context.minimum_version = context.maximum_version = version
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="earnest-receiver")
    with socket.create_connection(("127.0.0.1", shared.port), timeout=10) as wire:
        counts = {"sent": 0, "received": 0}

        def pump(action):
            """Call `action` until it needs nothing more from the wire; returns its result."""
            while True:
                try:
                    result, is_done = action(), True
                except ssl.SSLWantReadError:
                    result, is_done = None, False
                data = outgoing.read()
                wire.sendall(data)
                counts["sent"] += len(data)
                if is_done:
                    return result
                data = wire.recv(65536)
                counts["received"] += len(data)
                incoming.write(data)

        pump(tls.do_handshake)
        ping = protocol.encode(protocol.PING)
        for number in range(3):
            counts.update(sent=0, received=0)
            pump(lambda: tls.write(ping))
            assert protocol.encode(protocol.PONG) == pump(lambda: tls.read(4096))
            # Twice a minute in each direction: 256 bytes.
            assert 2 * (counts["sent"] + counts["received"]) <= 256, (number, counts)
            assert counts["sent"] > 35 and counts["received"] > 35
