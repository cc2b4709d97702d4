"""MicroPython's TLS and the firmware's own messages against the real receiver."""

import hashlib

from tests.fakes.receivers import new_device, receiving

DEVICE = """
import asyncio, ssl, sys
from satellite import protocol

folder, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
STREAM = "0123456789abcdef"

def read(file_name):
    with open(folder + "/" + file_name, "rb") as file:
        return file.read()

async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=read("ca.cert.der"))
    context.load_cert_chain(read("device.cert.der"), read("device.key.der"))
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname=name)
    decoder = protocol.Decoder()

    async def send(*message):
        writer.write(protocol.encode(*message))
        await writer.drain()

    async def expect(kind):
        while True:
            for event in decoder.feed(await reader.read(512)):
                assert event.type == kind, event.type
                return event

    await send(protocol.PING)
    await expect(protocol.PONG)
    await send(protocol.CONSENT, {"stream": STREAM, "keep_recordings": True,
        "share_for_training": False, "preroll_ms": 0, "version": protocol.CONSENT_VERSION})
    assert (await expect(protocol.CONSENT_ACCEPTED)).data["stream"] == STREAM
    await send(protocol.AUDIO_START, {"rate": 16000, "width": 2, "channels": 1})
    chunk = protocol.AudioChunk()
    for number in range(100):
        for i in range(320):
            chunk.payload[i] = (number * 31 + i) & 255
        writer.write(chunk.message(320))
        await writer.drain()
    await send(protocol.AUDIO_STOP)
    await send(protocol.CONSENT_WITHDRAWN, {"keep_recordings": False, "share_for_training": False})
    print((await expect(protocol.DELETED)).data["count"])
    writer.close()
    await writer.wait_closed()

try:
    asyncio.run(main())
except ValueError as error:
    print("refused:", error)
"""


def test_a_stream_from_micropython_arrives_sample_for_sample(data, run_micropython):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver:
        said = run_micropython(DEVICE, folder, receiver.port, "earnest-receiver")
        assert said.strip() == b"1", said
        stop = receiver.wait("stream-stop")
        receiver.wait("disconnected", reason="hung up")
    want = bytes((number * 31 + i) & 255 for number in range(100) for i in range(320))
    assert stop["sha256"] == hashlib.sha256(want).hexdigest() and stop["bytes"] == len(want)
    assert stop["recording"] is not None and list(data.glob("*.sealed")) == []


def test_micropython_refuses_a_receiver_of_another_name(data, run_micropython):
    folder = new_device(data, "kitchen")
    with receiving(data) as receiver:
        said = run_micropython(DEVICE, folder, receiver.port, "another-receiver")
        assert said.startswith(b"refused:") and b"CN" in said, said
        receiver.wait("refused", reason="it refused our certificate")


def test_micropython_refuses_a_receiver_of_another_authority(data, tmp_path, run_micropython):
    other = new_device(tmp_path / "other", "kitchen")
    new_device(data, "kitchen")
    with receiving(data) as receiver:
        said = run_micropython(DEVICE, other, receiver.port, "earnest-receiver")
        assert said.startswith(b"refused:"), said
        receiver.wait("refused")
