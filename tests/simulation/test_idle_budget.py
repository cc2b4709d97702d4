"""While idle the link carries next to nothing: the bytes are counted on the socket.

The device's clock runs 200 times as fast, so minutes of silence take seconds; a relay between the
device and an honest receiver counts every byte of TCP payload, TLS included.
"""

from __future__ import annotations

import json
import socket
import threading

from firmware.satellite import protocol
from host_tools.receiver import authority
from tests.simulation.test_hostile_receivers import DEVICE, NAME, Receiver

BUDGET_BYTES_PER_MINUTE = 256  # docs/protocol.md; both directions together
LOG_BYTES_PER_MINUTE = 184  # more, in a minute in which the audit log grew
STATUS_BYTES = 350  # after connecting: of okay_nabu alone; docs/protocol.md says at most 1024
FACTOR = 200
RUN_MS = 9000
#: A write takes the host's time, whatever the device's clock says.
PATIENT = f"""
from satellite import streamer as limits
from satellite.streamer import Streamer
limits.STUCK_MS *= {FACTOR}
limits.HANDSHAKE_MS *= {FACTOR}
limits.ANSWER_MS *= {FACTOR}
"""
PONG = b'{"type":"pong","version":"1.10.2"}\n'  # as the receiver writes it


class Relay(threading.Thread):
    """Carries one connection and counts what passes after the handshake has settled."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.target = port
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.sizes = []  # of each piece that passed, in order
        self.connections = 0
        self.start()

    def run(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection(("127.0.0.1", self.target))
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(source, target), daemon=True).start()

    def carry(self, source, target):
        try:
            while data := source.recv(65536):
                self.sizes.append(len(data))
                target.sendall(data)
        except OSError:
            pass
        finally:
            target.close()


def answer_pings(connection, receiver):
    while data := receiver.read(connection):
        connection.sendall(PONG * data.count(b'"ping"'))


#: An audit log that grows with every chunk that the device hears, its numbers as long as any.
GROWING = """
    class Log:
        hash = "5" * 64
        @property
        def seq(self): return 140000000000000 + time.ticks_ms()
    streamer.log = Log()
    streamer.owner = owner
"""


#: The real status; every chunk says that it may have changed, and it has not.
STATUS = """
    from satellite.device_status import DeviceStatus
    streamer.status = DeviceStatus(config, gate, streamer._speech)
    streamer.status.firmware = "1.0.0"
    streamer.owner = owner
"""


class Idle:
    """A device idles for a while of its own time beside an honest receiver."""

    def __init__(self, run_micropython, tmp_path, run_ms, is_growing):
        owner = authority.open_or_make(tmp_path / "owner")
        key, certificate = owner.sign_device()
        (tmp_path / "ca.cert.der").write_bytes(owner.certificate_der)
        (tmp_path / "device.cert.der").write_bytes(certificate)
        (tmp_path / "device.key.der").write_bytes(key)
        context, _ = owner.server_context(NAME)
        receiver = Receiver(answer_pings, context)
        relay = Relay(receiver.port)
        source = (
            DEVICE.replace("return time.ticks_ms()", f"return time.ticks_ms() * {FACTOR}")
            .replace(", 1500\n", f", {run_ms}\n")
            .replace("from satellite.streamer import Streamer\n", PATIENT)
            .replace("if not woken and late", "if False and late")
            .replace("\n    streamer.owner = owner\n", STATUS)
            .replace("        streamer.notify(", "        streamer.changed(); streamer.notify(")
        )
        if is_growing:
            source = source.replace("\n    streamer.owner = owner\n", GROWING)
        out = run_micropython(source, relay.port, tmp_path, "secure")
        self.said = json.loads(out.splitlines()[-1])
        receiver.listener.close()
        relay.listener.close()
        self.connections = relay.connections
        self.seen = bytes(receiver.seen)
        self.pings = self.seen.count(b'"ping"')
        self.minutes = run_ms * FACTOR / 60000
        self.statuses = [e for e in protocol.Decoder().feed(self.seen) if e.type == "status"]
        # The handshake's pieces are large, every idle one is a small record.
        self.sizes = [size for size in relay.sizes if size <= 256]


def test_idle_bytes_per_minute(run_micropython, tmp_path, figure):
    idle = Idle(run_micropython, tmp_path, RUN_MS, is_growing=False)
    assert idle.said["ups"] == 1 and idle.connections == 1 and idle.said["sent"] == 0
    pings, minutes = idle.pings, idle.minutes
    [status] = idle.statuses  # after connecting; none while nothing changes
    size = len(protocol.encode(status.type, status.data))
    figure(f"{size} bytes of status once a connection, none in {minutes:.0f} idle minutes")
    assert size <= STATUS_BYTES
    assert pings >= minutes * 2 * 0.8, (pings, minutes)
    sizes = [size for size in idle.sizes if size <= 128]
    keep_alive = sum(sizes[-2 * (pings - 2) :])  # the first pings come with the handshake
    per_minute = keep_alive / ((pings - 2) / 2)
    figure(f"{per_minute:.0f} bytes a minute")
    assert 0 < per_minute <= BUDGET_BYTES_PER_MINUTE
    assert sum(sizes) <= BUDGET_BYTES_PER_MINUTE * (minutes + 2)


def test_a_log_that_grows_all_the_time_adds_one_message_a_minute(
    run_micropython, tmp_path, figure
):
    idle = Idle(run_micropython, tmp_path, RUN_MS // 2, is_growing=True)
    heads, minutes = idle.seen.count(b'"audit-head"'), idle.minutes
    assert idle.connections == 1 and minutes * 0.8 <= heads <= minutes + 1, (heads, minutes)
    sizes = idle.sizes[-(2 * (idle.pings - 2) + heads) :]
    per_head = [size for size in sizes if size > 128]
    figure(f"{per_head[-1]} bytes more in a minute in which the log grew")
    assert max(per_head) <= LOG_BYTES_PER_MINUTE
    budget = BUDGET_BYTES_PER_MINUTE + LOG_BYTES_PER_MINUTE
    assert sum(idle.sizes) <= budget * (minutes + 2)
