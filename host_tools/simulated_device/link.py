"""The simulated network: a perfect receiver in memory, or real TLS to a real one on loopback.

Runs inside MicroPython.  `Perfect` speaks the protocol of docs/protocol.md: it acknowledges every
consent, answers pings, and sends the script's requests.  Both ends obey the script's loss of the
network.  The real one is asyncio's own connection with the device's own certificate.
"""

import asyncio
import json

from satellite import protocol


class _Pipe:
    """Bytes on their way to a reader; None is the end."""

    def __init__(self):
        self._waiting = []
        self._event = asyncio.Event()

    def put(self, data):
        self._waiting.append(data)
        self._event.set()

    async def get(self):
        while not self._waiting:
            self._event.clear()
            await self._event.wait()
        return self._waiting.pop(0)


class Perfect:
    """An in-memory receiver; `reader` and `writer` are what the streamer sees of it."""

    def __init__(self, world):
        self._world = world
        self._to_device = _Pipe()
        self._decoder = protocol.Decoder(protocol.MAX_CHUNK_BYTES)
        self._requests = 0

    async def read(self, _count):
        data = await self._to_device.get()
        if data is None:
            raise OSError("network is gone")
        return data

    def write(self, data):
        if not self._world.network_is_up:
            self._to_device.put(None)
            raise OSError("network is gone")
        for event in self._decoder.feed(bytes(data)):
            if event.type == protocol.PING:
                self._answer(protocol.PONG)
            elif event.type == protocol.CONSENT:
                self._answer(protocol.CONSENT_ACCEPTED, {"stream": event.data["stream"]})
            elif event.type == protocol.CONSENT_WITHDRAWN:
                self._answer(protocol.DELETED, {"count": 0})

    def _answer(self, kind, data=None):
        self._to_device.put(protocol.encode(kind, data))

    def ask(self, kind):
        """Send a request of the script, whatever it is: the raw line, as a bad server would."""
        self._to_device.put(json.dumps({"type": kind}).encode() + b"\n")

    def cut(self):
        """The network goes away."""
        self._to_device.put(None)

    async def drain(self):
        await asyncio.sleep(0)

    def close(self):
        self._to_device.put(None)

    async def wait_closed(self):
        await asyncio.sleep(0)


class Network:
    """`connect` for the streamer; `serve` gives the script's requests and cuts to a connection."""

    def __init__(self, world):
        self._world = world
        self._peer = None
        self.connector = None  # the firmware's own, when there is a real receiver

    async def connect(self):
        if not self._world.network_is_up:
            raise OSError("network is gone")
        if self.connector is None:
            self._peer = Perfect(self._world)
            return self._peer, self._peer
        reader, writer = await self.connector()
        self._peer = writer
        return reader, writer

    def serve(self):
        """Carry out what the script did to the network; called once each 10 ms."""
        world = self._world
        if self._peer is None:
            return
        if not world.network_is_up:
            if isinstance(self._peer, Perfect):
                self._peer.cut()
            else:
                self._peer.s.close()
            self._peer = None
        while world.requests and isinstance(self._peer, Perfect):
            self._peer.ask(world.requests.pop(0))
