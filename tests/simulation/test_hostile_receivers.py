"""Receivers that mean harm, over real TLS: the device refuses, records it, and keeps working.

The device is the firmware's gate, streamer and TLS driver in the real MicroPython, fed with chunks
in real time; it wakes once.  The receiver is a socket in this process that misbehaves.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading

import pytest

from host_tools.receiver import authority

NAME = "earnest-receiver"
STREAM = "00000000000004d2"

DEVICE = """
import asyncio, json, sys, time
from drivers import tls
from drivers.backoff import BackOff
from drivers.storage import Files
from satellite.app import App
from satellite.audit_log import AuditLog
from satellite.config import Config
from satellite.counters import Counters
from satellite.gate import Gate, STATE_NAMES, REASON_NAMES, STREAMING, IDLE
from satellite.sensitivity_state import SensitivityState
from satellite.streamer import Streamer
from wakeword.detector import Detector

port, folder, insecure, run_ms = int(sys.argv[1]), sys.argv[2], sys.argv[3] == "insecure", 1500

class Clock:
    def now_ms(self):
        return time.ticks_ms()

class Owner:
    refused, sent_bytes, ups, muted, deletions = [], 0, 0, 0, []
    raises, cutoffs = 0, []
    remote_sensitivity, changed = App.remote_sensitivity, App.changed
    def _record(self, kind, **fields):
        self.parts.audit.append(kind, time.ticks_ms(), **fields)
        self.raises += kind == "sensitivity"
        self.cutoffs.append(self.parts.detector.cutoff)
    def remote_refused(self, what): self.refused.append(what)
    def remote_mute(self): self.muted += 1
    def first_byte(self): pass
    def connection(self, up): self.ups += up
    def deleted(self, count): self.deletions.append(count)
    def sent(self, size): self.sent_bytes += size

async def main():
    config = Config({"receiver_host": "127.0.0.1", "receiver_port": port, "insecure": insecure,
                     "receiver_name": "earnest-receiver"})
    gate = Gate(consent_ms=300)
    gate.ready(False)
    counters, owner = Counters(), Owner()
    consent = {"keep_recordings": False, "share_for_training": False, "preroll_ms": 0}
    streamer = Streamer(tls.connector(config, Files(folder)), gate, Clock(), consent, counters,
                        lambda: 1, BackOff())
    streamer.owner = owner
    parts = owner.parts = Owner()
    parts.streamer = streamer
    parts.clock, parts.counters, parts.audit = Clock(), counters, AuditLog(Files(folder))
    parts.detector = Detector(216, 5, 30)
    parts.sensitivity = SensitivityState(Files(folder), ["okay_nabu"], [parts.detector])
    task = asyncio.create_task(streamer.run())
    began, woken, chunk = time.ticks_ms(), False, b"\\x11\\x22" * 160
    heard_bytes = 0  # since the wake word: as many as the computer had time for
    while time.ticks_diff(time.ticks_ms(), began) < run_ms:
        late = time.ticks_diff(time.ticks_ms(), began) > 400
        if not woken and late and gate.state == IDLE:
            woken = gate.wake(1234) and gate.speech()
        gate.hear(chunk)
        heard_bytes += len(chunk) if woken else 0
        streamer.notify(streamer.owner.parts.clock.now_ms())
        await asyncio.sleep_ms(10)
    print(json.dumps({
        "alive": not task.done(), "state": STATE_NAMES[gate.state], "sent": owner.sent_bytes,
        "heard": heard_bytes,
        "refused": owner.refused, "ups": owner.ups, "reason": REASON_NAMES[gate.last_reason],
        "mutes": owner.muted, "deletions": owner.deletions, "counts": counters.snapshot(),
        "raises": owner.raises, "cutoff": parts.detector.cutoff, "cutoffs": owner.cutoffs,
        "woken": woken, "streaming": gate.state == STREAMING}))

asyncio.run(main())
"""


#: What a receiver may offer; without AEAD in the first two.
CIPHERS = {
    "CBC": "ECDHE-ECDSA-AES128-SHA",
    "CBC with SHA-256 and SHA-384": "ECDHE-ECDSA-AES128-SHA256:ECDHE-ECDSA-AES256-SHA384",
    "AES-GCM": "ECDHE-ECDSA-AES128-GCM-SHA256",
}


def line(kind, data=None, **header):
    """A message as a receiver would write it."""
    body = json.dumps(data).encode() if data else b""
    header = {"type": kind, "version": "1.10.2", **header}
    if body:
        header["data_length"] = len(body)
    return json.dumps(header).encode() + b"\n" + body


PONG = line("pong")
ACCEPT = line("consent-accepted", {"stream": STREAM})


class Receiver(threading.Thread):
    """Accepts connections one after the other and lets `behave(connection, self)` misbehave."""

    def __init__(self, behave, context):
        super().__init__(daemon=True)
        self.behave = behave
        self.context = context
        self.seen = bytearray()
        self.raw = bytearray()
        self.connections = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.start()

    def run(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(5)
            try:
                if self.context is not None:
                    connection = self.context.wrap_socket(connection, server_side=True)
                self.behave(connection, self)
            except OSError:  # the device refused; ssl.SSLError is one too
                pass
            finally:
                connection.close()

    def read(self, connection):
        data = connection.recv(65536)
        self.seen += data
        return data


def talk(*messages):
    """Answer the first ping, say these messages, then read until the device hangs up."""

    def behave(connection, receiver):
        receiver.read(connection)
        connection.sendall(PONG + b"".join(messages))
        while receiver.read(connection):
            pass

    return behave


@pytest.fixture
def run(run_micropython, tmp_path):
    """run(behave, kind) -> (what the device says, the receiver)."""

    def run(behave, kind="good", insecure=False):
        owner = authority.open_or_make(tmp_path / "owner")
        key, certificate = owner.sign_device()
        folder = tmp_path / "device"
        folder.mkdir()
        (folder / "ca.cert.der").write_bytes(owner.certificate_der)
        (folder / "device.cert.der").write_bytes(certificate)
        (folder / "device.key.der").write_bytes(key)
        if kind == "plain":
            context = None
        elif kind == "another authority":
            context, _ = authority.open_or_make(tmp_path / "other").server_context(NAME)
        elif kind == "another name":
            context, _ = owner.server_context("somebody-else")
        elif kind in CIPHERS:
            context, _ = owner.server_context(NAME)
            context.maximum_version = ssl.TLSVersion.TLSv1_2  # the ciphers of 1.3 are all AEAD
            context.set_ciphers(CIPHERS[kind])
        elif kind == "old TLS":
            context, _ = owner.server_context(NAME)
            context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        else:
            context, _ = owner.server_context(NAME)
        receiver = Receiver(behave, context)
        try:
            out = run_micropython(
                DEVICE, receiver.port, folder, "insecure" if insecure else "secure"
            )
        finally:
            receiver.listener.close()
        return json.loads(out.splitlines()[-1]), receiver

    return run


def accept_and_read(connection, receiver):
    """What an honest receiver does."""
    receiver.read(connection)
    connection.sendall(PONG)
    data = b""
    while True:
        new = receiver.read(connection)
        if not new:
            return
        data += new
        if b'"consent"' in data:
            connection.sendall(ACCEPT)
            data = b""


def test_an_honest_receiver_gets_audio(run):
    said, receiver = run(accept_and_read)
    assert said["alive"] and said["ups"] == 1 and said["refused"] == []
    # What it heard since the wake word, but for what is on its way.
    assert said["sent"] >= 0.9 * said["heard"] > 8000 and said["streaming"]
    assert receiver.seen.count(b"\x11\x22" * 160) == said["sent"] // 320


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    "kind",
    [
        "another authority",
        "another name",
        "old TLS",
        "CBC",
        "CBC with SHA-256 and SHA-384",
    ],
)
def test_a_receiver_with_wrong_papers_gets_nothing(run, kind):
    said, receiver = run(accept_and_read, kind)
    assert said["alive"] and said["ups"] == 0 and said["sent"] == 0
    assert said["refused"] and set(said["refused"]) == {"peer"}
    assert not receiver.seen and said["reason"] in ("no-consent", "network")


def test_of_what_a_receiver_offers_an_aead_cipher_is_taken(run):
    taken = []

    def behave(connection, receiver):
        taken.append(connection.cipher()[0])
        accept_and_read(connection, receiver)

    said, _ = run(behave, "AES-GCM")
    assert taken == [CIPHERS["AES-GCM"]] and said["sent"] > 0 and said["refused"] == []


def read_only(connection, receiver):
    while receiver.read(connection):
        pass


def greet(connection, receiver):
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + PONG + ACCEPT)
    read_only(connection, receiver)


@pytest.mark.parametrize("behave", [read_only, greet])
def test_plain_text_gets_no_word(run, behave):
    said, receiver = run(behave, "plain")
    assert said["alive"] and said["ups"] == 0 and said["sent"] == 0
    assert b"ping" not in receiver.seen and b"\x11\x22" * 8 not in receiver.seen


def test_plain_text_where_the_configuration_says_insecure(run):
    said, receiver = run(accept_and_read, "plain", insecure=True)
    assert said["sent"] > 0 and receiver.seen.count(b"\x11\x22" * 160) == said["sent"] // 320


def hang_up(connection, receiver):
    pass


def say_nothing(connection, receiver):
    read_only(connection, receiver)


@pytest.mark.parametrize("behave", [hang_up, say_nothing])
def test_a_dead_receiver_gets_no_audio(run, behave):
    said, receiver = run(behave)
    assert said["alive"] and said["ups"] == 0 and said["sent"] == 0
    assert b"audio" not in receiver.seen and said["reason"] in ("no-consent", "network")


def test_without_consent_acknowledged_no_audio(run):
    said, receiver = run(talk())
    assert said["sent"] == 0 and said["reason"] == "no-consent"
    assert said["ups"] == 2  # the connection counts as dead: the device made a new one
    assert b'"consent"' in receiver.seen and b"audio-start" not in receiver.seen


def test_consent_of_another_stream_does_not_count(run):
    other = line("consent-accepted", {"stream": "00000000000004d3"})

    def behave(connection, receiver):
        receiver.read(connection)
        connection.sendall(PONG + other + ACCEPT)  # before there is a stream
        data = b""
        while new := receiver.read(connection):
            data += new
            if b'"consent"' in data:
                connection.sendall(other)
                data = b""

    said, receiver = run(behave)
    assert said["sent"] == 0 and said["reason"] == "no-consent" and said["counts"]["refused"] == 0


REFUSED = (
    "unmute",
    "listen",
    "run-satellite",
    "run-pipeline",
    "start-streaming",
    "detect",
    "transcribe",
)


def test_requests_to_listen_are_refused_and_reported(run):
    said, receiver = run(talk(*(line(kind) for kind in REFUSED)))
    # on each connection, of which a consent without an answer makes a new one
    assert said["refused"] == list(REFUSED) * said["ups"] and said["alive"]
    assert said["sent"] == 0


def test_the_network_may_mute_and_then_cannot_unmute(run):
    said, receiver = run(talk(line("mute"), line("unmute"), line("listen"), ACCEPT))
    assert said["state"] == "MUTED" and said["mutes"] == 1 and not said["woken"]
    assert said["refused"] == ["unmute", "listen"] and said["sent"] == 0


def sensitivity(thousandths, word="okay_nabu"):
    return line("sensitivity", {"model": word, "cutoff_thousandths": thousandths})


def test_the_network_raises_a_cutoff_and_lowers_none(run):
    asked = (800, 847, 950, 950, 949, 100, 959)
    said, _ = run(talk(*map(sensitivity, asked), sensitivity(990, "alexa")))
    assert said["raises"] == 1 and said["cutoff"] == 242 and said["cutoffs"] == [242]
    assert set(said["refused"]) == {"sensitivity"} and said["alive"]
    # on each connection, of which a consent without an answer makes a new one
    assert len(said["refused"]) == 7 + 8 * (said["ups"] - 1)


@pytest.mark.parametrize("thousandths", [99, 991, -950, 950.5, "950", None, True])
def test_a_cutoff_that_is_none_ends_the_connection_and_changes_nothing(run, thousandths):
    said, _ = run(talk(sensitivity(thousandths)))
    assert said["cutoff"] == 216 and set(said["refused"]) == {"message"} and said["alive"]


def test_a_flood_of_cutoffs_is_bounded(run, tmp_path):
    rising = [sensitivity(thousandths) for thousandths in range(850, 991)]
    said, _ = run(talk(*rising[:70], *rising[:70]))
    assert said["raises"] == 7 and said["cutoffs"] == sorted(said["cutoffs"])
    assert said["cutoff"] == 255 * 918 // 1000
    log = (tmp_path / "device" / "audit.jsonl").read_bytes()
    assert log.count(b"\n") == 7 and log.count(b'"kind":"sensitivity"') == 7


def test_the_receiver_may_end_a_stream(run):
    stop = line("stop", {"stream": STREAM})

    def behave(connection, receiver):
        receiver.read(connection)
        connection.sendall(PONG)
        data = b""
        while new := receiver.read(connection):
            data += new
            if b'"consent"' in data:
                connection.sendall(ACCEPT + stop)
                data = b""

    said, receiver = run(behave)
    assert said["state"] == "IDLE" and said["reason"] == "receiver" and said["sent"] < 3200


def test_a_flood_of_small_messages_ends_the_connection(run):
    flood = line("chatter") * 101
    said, receiver = run(talk(flood, ACCEPT))
    assert said["alive"] and said["sent"] == 0 and set(said["refused"]) == {"message"}
    assert said["counts"]["reconnects"] >= 1 and receiver.connections >= 2


MALFORMED = {
    "not JSON": b"hello\n",
    "endless line": b'{"type": "' + b"a" * 5000,
    "header one past the limit": b'{"type":"ping","x":"' + b"a" * 1003 + b'"}\n',
    "list": b"[1, 2]\n",
    "no type": b'{"version": "1.0.0"}\n',
    "payload for a device": line("pong", payload_length=1) + b"a",
    "negative length": b'{"type":"ping","data_length":-1}\n',
    "huge length": b'{"type":"ping","data_length":4097}\n',
    "data that is no object": b'{"type":"ping","data_length":2}\n[]',
    "nested": b'{"type":"ping","data":' + b'{"a":' * 200 + b"1" + b"}" * 201 + b"\n",
    "bytes": bytes(range(256)) * 8,
    "accepts nothing": line("consent-accepted", {"stream": 5}),
    "another version": b'{"type":"ping","version":"2.0.0"}\n',
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_message_ends_the_connection_and_nothing_else(run, name):
    said, receiver = run(talk(MALFORMED[name], ACCEPT))
    assert said["alive"] and said["ups"] >= 1 and said["sent"] == 0
    assert set(said["refused"]) == {"message"} and said["counts"]["reconnects"] >= 1
