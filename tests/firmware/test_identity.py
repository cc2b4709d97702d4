"""What leaves the composed device names no device: the real Hardware, App and streamer on a chip
whose number is known, and every byte that they write.
"""

import asyncio
import binascii
import os

import fakes  # noqa: F401
import machine
import main
import network
import vfs
from drivers import hardware
from drivers.storage import Files
from flash_in_ram import FlashInRam
from satellite import protocol
from satellite.config import Config
from satellite.mute_state import MuteState

HEAP_BYTES = 4194304
BOOTS = 2
STREAMS = 12
CONFIG = {"wifi_ssid": "home", "wifi_password": "long secret", "receiver_host": "10.0.0.1"}
DERIVED = (
    lambda: int.from_bytes(machine.unique_id(), "big"),
    lambda: binascii.crc32(machine.unique_id()) << 30 | int.from_bytes(os.urandom(3), "big"),
)


class Board:
    NAME = "SIM"
    MIC_SCK, MIC_WS, MIC_SD = 4, 5, 6
    LIGHT, LIGHT_PINS, BUTTON = "neopixel", (48,), 0


class Microphone:
    """Always something to hear."""

    overruns = 0

    def __init__(self):
        self._is_on = False

    def start(self):
        self._is_on = True

    def stop(self):
        self._is_on = False

    def is_on(self):
        return self._is_on

    def health(self):
        return 0

    changes = 0

    def try_read(self, chunk):
        return False

    async def read(self, chunk):
        await asyncio.sleep_ms(0)


class Receiver:
    """Answers as docs/protocol.md says, and ends each stream at once; `wire` is what it got."""

    def __init__(self):
        self.wire = b""
        self.streams = []
        self._decoder = protocol.Decoder(protocol.MAX_CHUNK_BYTES)
        self._answers = b""
        self.out_buf = b""

    def write(self, data):
        self.wire += bytes(data)
        for event in self._decoder.feed(bytes(data)):
            if event.type == protocol.PING:
                self._answers += protocol.encode(protocol.PONG)
            elif event.type == protocol.CONSENT:
                stream = event.data["stream"]
                self.streams.append(int(stream, 16))
                for kind in (protocol.CONSENT_ACCEPTED, protocol.STOP):
                    self._answers += protocol.encode(kind, {"stream": stream})

    async def drain(self):
        await asyncio.sleep_ms(0)

    async def read(self, count):
        while not self._answers:
            await asyncio.sleep_ms(0)
        data, self._answers = self._answers[:count], self._answers[count:]
        return data

    def close(self):
        pass

    async def wait_closed(self):
        pass


class Detector:
    mean = 255
    cutoff = 216


class Engine:
    """Hears the wake word whenever nothing is streaming."""

    slice_ready = True
    slice = bytes(40)
    detectors = (Detector(),)
    models = ()

    def __init__(self, models, *settings):
        pass

    def reset(self):
        pass

    def process(self, chunk):
        return 0


class Talk:
    """Somebody speaks after every wake word, and goes on."""

    heard_speech = True

    def reset(self):
        pass

    begin = reset

    def update(self, *heard):
        return False

    listen = update


class Kinds(main.Kinds):
    engine = Engine


def boot():
    """One power-on of the same chip; what its receiver got of STREAMS streams."""
    machine.reset()
    network.reset()
    network.air.password = CONFIG["wifi_password"]
    flash = FlashInRam()
    vfs.VfsLfs2.mkfs(flash)
    vfs.mount(vfs.VfsLfs2(flash), "/id")
    receiver = Receiver()

    async def connect():
        return receiver, receiver

    kept, hardware.tls.connector = hardware.tls.connector, lambda *arguments: connect
    try:
        device = hardware.Hardware(Board)
        device.mic = Microphone()
        device.storage = Files("/id")
        MuteState(device.storage).save(False)
        config = Config(CONFIG)
        device.join(config)
        app = main.build(device, config, [], Kinds)
        app.parts.end_of_speech = Talk()
        app.parts.audit.may_stream = lambda now_ms: True  # more streams than its budget has

        async def run():
            await device.wifi.connect()
            running = asyncio.create_task(app.run())
            for _ in range(20000):
                await asyncio.sleep_ms(0)
                if running.done():
                    await running
                if len(receiver.streams) >= STREAMS:
                    break
            app.close()
            running.cancel()

        asyncio.run(run())
    finally:
        hardware.tls.connector = kept
        vfs.umount("/id")
    return receiver


def spellings(number):
    """How one would write the chip's number."""
    for data in (number, bytes(reversed(number))):
        yield data
        text = binascii.hexlify(data)
        yield text
        yield text.upper()
        yield b":".join(binascii.hexlify(data[i : i + 1]) for i in range(len(data)))
        yield str(int.from_bytes(data, "big")).encode()
        yield binascii.b2a_base64(data).strip()[:8]
        yield text[-6:]  # as hosts on a network are often named
        yield b"%08x" % binascii.crc32(data)


def test_nothing_on_the_wire_names_the_chip():
    wire = boot().wire
    assert len(wire) > 1000 and b"consent" in wire
    for text in spellings(machine.UNIQUE_ID):
        assert text not in wire, text


def test_a_streams_number_is_random():
    """Not the chip's, nor made of it: every bit changes, within a run and from run to run."""
    runs = [boot().streams[:STREAMS] for _ in range(BOOTS)]
    numbers = [number for run in runs for number in run]
    assert len(numbers) == BOOTS * STREAMS
    assert len(set(numbers)) == len(numbers), "a number came twice"
    ones, zeros = 0, 0
    for number in numbers:
        assert 0 <= number < 1 << 62
        ones |= number
        zeros |= ~number
    for bit in range(62):
        assert ones >> bit & zeros >> bit & 1, (bit, "is the same in every number")
    for first, other in zip(runs[0], runs[1]):
        assert first != other, "the second start repeats the first"


def test_the_test_would_notice():
    real = hardware.Hardware.random_number
    for derived in DERIVED:
        hardware.Hardware.random_number = lambda self, derived=derived: derived()
        try:
            for test in (test_a_streams_number_is_random, test_nothing_on_the_wire_names_the_chip):
                try:
                    test()
                except AssertionError:
                    break
            else:
                raise RuntimeError("a number made of the chip's went unnoticed")
        finally:
            hardware.Hardware.random_number = real
