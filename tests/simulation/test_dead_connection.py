"""A connection that dies without a word: at most one wake word is lost, then a new one works.

The firmware's streamer and TLS in the real MicroPython, the real receiver, and between them a
forwarder that swallows everything on the connection it has while new connections work.
"""

from __future__ import annotations

import json
import socket
import threading

from host_tools.audit import device_log
from host_tools.audit.anchor_check import check_anchors
from tests.fakes.receivers import new_device, receiving

DEVICE = """
import asyncio, json, sys
from drivers.backoff import BackOff
from drivers.clock import Clock
from drivers.storage import Files
from drivers.tls import connector
from satellite.audit_log import AuditLog
from satellite.config import Config
from satellite.counters import Counters
from satellite.gate import Gate, REASON_NAMES, STREAMING
from satellite.streamer import Streamer

port, folder = int(sys.argv[1]), sys.argv[2]

class Owner:
    bytes = 0
    def remote_refused(self, what): print("refused", what)
    def first_byte(self): pass
    def connection(self, up): pass
    def sent(self, size): self.bytes += size

async def main():
    config = Config({"receiver_host": "127.0.0.1", "receiver_port": port,
                     "receiver_name": "earnest-receiver"})
    gate, clock, owner = Gate(), Clock(), Owner()
    gate.ready(False)
    consent = {"keep_recordings": False, "share_for_training": False, "preroll_ms": 0}
    streamer = Streamer(connector(config, Files(folder)), gate, clock, consent, Counters(),
                        lambda: 500, BackOff())
    streamer.owner = owner
    streamer.log = AuditLog(Files(folder))
    streamer.log.append("boot", 0, reset="power")
    asyncio.create_task(streamer.run())

    async def turns(count, until=None):
        for _ in range(count):
            if until and until():
                return
            gate.hear(bytes(320))
            streamer.notify(clock.now_ms())
            await asyncio.sleep_ms(10)

    for number in range(1, 6):
        await turns(300, lambda: streamer.is_connected)
        sent = owner.bytes
        gate.wake(number)
        gate.speech()
        await turns(30)
        print(json.dumps({"wake": number, "sent": owner.bytes - sent}))
        if gate.state == STREAMING and owner.bytes > sent:
            gate.close_input(0)
        await turns(200, lambda: gate.state != STREAMING)
        await turns(10)
        print(json.dumps({"ended": number, "reason": REASON_NAMES[gate.last_reason]}))

asyncio.run(main())
"""


class Forwarder(threading.Thread):
    """Carries connections to `port`; `swallow` makes those that it has carry nothing more."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._paths = []
        self.start()

    def run(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            path = {"is_silent": False}
            self._paths.append(path)
            for source, target in ((near, far), (far, near)):
                arguments = (source, target, path)
                threading.Thread(target=self._carry, args=arguments, daemon=True).start()

    def _carry(self, source, target, path):
        try:
            while data := source.recv(65536):
                if not path["is_silent"]:
                    target.sendall(data)
        except OSError:
            pass

    def swallow(self):
        for path in self._paths:
            path["is_silent"] = True

    def close(self):
        self._listener.close()
        return len(self._paths)


def test_at_most_one_wake_word_is_lost(run_micropython, tmp_path):
    folder = new_device(tmp_path / "data", "kitchen")
    with receiving(tmp_path / "data") as receiver:
        forwarder = Forwarder(receiver.port)

        def go_silent():
            receiver.wait("stream-stop")
            forwarder.swallow()

        watcher = threading.Thread(target=go_silent, daemon=True)
        watcher.start()
        lines = run_micropython(DEVICE, forwarder.port, folder).decode().splitlines()
        connections = forwarder.close()
    said = [json.loads(line) for line in lines]
    sent = [event["sent"] for event in said if "sent" in event]
    reasons = [event["reason"] for event in said if "reason" in event]
    assert len(sent) == len(reasons) == 5 and connections == 2, said
    assert sum(not count for count in sent) <= 1, said
    assert reasons.count("no-consent") == 1 and reasons[-2:] == ["end-of-speech"] * 2, said
    check = check_anchors(
        device_log.read(device_log.find((str(folder),))).records, tmp_path / "data"
    )
    assert (check.device, check.found, check.problems) == ("kitchen", 1, [])
