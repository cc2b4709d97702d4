"""A receiver that takes the connection and then says nothing is given up, over real TLS."""

from __future__ import annotations

import json
import time

from host_tools.receiver import authority
from tests.simulation.test_hostile_receivers import DEVICE, Receiver

IMPATIENT = """
from satellite import streamer as limits
from satellite.streamer import Streamer
limits.HANDSHAKE_MS = 300
"""


def test_a_handshake_that_never_ends_is_given_up_and_tried_again(run_micropython, tmp_path):
    owner = authority.open_or_make(tmp_path / "owner")
    key, certificate = owner.sign_device()
    (tmp_path / "ca.cert.der").write_bytes(owner.certificate_der)
    (tmp_path / "device.cert.der").write_bytes(certificate)
    (tmp_path / "device.key.der").write_bytes(key)

    def say_nothing(connection, receiver):
        while data := connection.recv(4096):
            receiver.raw += data
        time.sleep(0.01)

    receiver = Receiver(say_nothing, None)
    source = DEVICE.replace("from satellite.streamer import Streamer\n", IMPATIENT)
    source = source.replace(", 1500\n", ", 4000\n")
    out = run_micropython(source, receiver.port, tmp_path, "secure")
    receiver.listener.close()
    said = json.loads(out.splitlines()[-1])
    assert said["alive"] and said["ups"] == 0 and said["sent"] == 0
    assert receiver.connections >= 2 and said["counts"]["reconnects"] >= 2
    assert receiver.raw and b"ping" not in receiver.raw
