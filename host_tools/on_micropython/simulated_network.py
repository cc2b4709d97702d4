"""The simulated network: a receiver in memory, or real TLS to a real one on loopback.

Runs inside MicroPython.  `Wire` is what the streamer sees of either; it obeys the scenario's loss,
silence and delay of the network, and emits every message that the device sends.
"""

import asyncio
import binascii
import hashlib
import json

from satellite import protocol

_READ_BYTES = 512
#: How long the receiver in memory takes to answer a stream.
THINKING_MS = 300


class Wire:
    """Reader and writer of one connection, `far` the other end: write(bytes), close()."""

    def __init__(self, network, far):
        self._network = network
        self._world = network.world
        self._far = far
        self.waiting = []  # (when it may arrive, in ms; bytes, or what ended the connection)
        self._is_cut = False
        self._is_held_up = False  # a write waits for the network
        self._may_read = asyncio.Event()
        self._may_go_on = asyncio.Event()
        self.has_written = False
        self.real_reader = None  # a real socket's, until it has ended
        self._due_ms = 0

    # --- the device's side ---

    async def read(self, _count):
        while True:
            if self._is_cut:
                raise OSError(104)
            if self.waiting and self._world.now_ms >= self.waiting[0][0]:
                data = self.waiting.pop(0)[1]
                if isinstance(data, Exception):
                    raise data
                self._network.received += 1
                return data
            self._may_read.clear()
            await self._may_read.wait()

    def write(self, data):
        if self._is_cut or self._world.network == "down":
            raise OSError(104)
        self._network.emit_message(data)
        self._due_ms = self._world.now_ms + self._world.network_delay_ms
        if self._world.network == "up":
            self._far.write(data)

    @property
    def out_buf(self):
        """What `drain` would wait for: anything, or nothing."""
        is_late = self._world.now_ms < self._due_ms or self._world.network == "silent"
        return True if is_late or self._is_cut else self._far.out_buf

    async def drain(self):
        while not self._is_cut and (
            self._world.now_ms < self._due_ms or self._world.network == "silent"
        ):
            self._is_held_up = True
            self._may_go_on.clear()
            await self._may_go_on.wait()
        self._is_held_up = False
        if self._is_cut:
            raise OSError(104)
        await self._far.drain()
        self.has_written = True

    def close(self):
        if not self._is_cut:
            self._is_cut = True
            self.real_reader = None
            self._wake()
            self._far.close()
            self._network.is_busy = False

    async def wait_closed(self):
        await self._far.wait_closed()

    # --- the other side ---

    def arrive(self, data):
        """Bytes from the far end, or its end; a silent network loses them."""
        if self._world.network == "up":
            self.waiting.append((self._world.now_ms + self._world.network_delay_ms, data))
            self._wake()

    def time_passed(self):
        """Another 10 ms: what was delayed may have arrived, a silent network may be back."""
        if self.waiting or self._is_held_up:
            self._wake()

    def _wake(self):
        """Let who reads and who writes look again.  A task that only waits takes no turns."""
        self._may_read.set()
        self._may_go_on.set()

    def cut(self):
        """The network goes away; what reads or writes meets it at its next try."""
        self.close()


class InMemoryReceiver:
    """The other end of a `Wire`: does at once what docs/protocol.md asks of a receiver."""

    out_buf = b""

    def __init__(self, network):
        self._network = network
        self._decoder = protocol.Decoder(protocol.MAX_CHUNK_BYTES)
        self._stream = "0" * 16
        from simulated_sounds import Sounds, sound_of  # not compiled beside a real receiver

        self._sounds = Sounds(self._answer, sound_of(network.sound))
        self._reply_ms = None  # when to answer the stream that has ended
        self._audio = None
        self._bytes = 0
        self.wire = None
        self._handlers = {
            protocol.PING: self._take_ping,
            protocol.CONSENT: self._take_consent,
            protocol.CONSENT_WITHDRAWN: self._take_withdrawal,
            protocol.AUDIO_START: self._start_audio,
            protocol.AUDIO_CHUNK: self._take_audio,
            protocol.AUDIO_STOP: self._stop_audio,
            protocol.SPEAK_ACCEPTED: self._sounds.accepted,
            protocol.CREDIT: self._sounds.credit,
            protocol.PLAYED: self._sounds.played,
        }

    def write(self, data):
        for event in self._decoder.feed(bytes(data)):
            handler = self._handlers.get(event.type)
            if handler is not None:
                handler(event)

    def _take_ping(self, event):
        self._answer(protocol.PONG)

    def _take_consent(self, event):
        self._stream = event.data["stream"]
        if self._network.world.receiver_consents:
            self._answer(protocol.CONSENT_ACCEPTED, {"stream": self._stream})

    def _take_withdrawal(self, event):
        self._answer(protocol.DELETED, {"count": 0})

    def _start_audio(self, event):
        self._audio = hashlib.sha256()
        self._bytes = 0

    def _take_audio(self, event):
        self._audio.update(event.payload)
        self._bytes += len(event.payload)

    def _stop_audio(self, event):
        self._end("stop")
        if self._network.sound is not None:
            self._reply_ms = self._network.world.now_ms + THINKING_MS

    async def drain(self):
        await asyncio.sleep_ms(0)

    def close(self):
        self._end("cut off")

    async def wait_closed(self):
        await asyncio.sleep_ms(0)

    def time_passed(self):
        """Another 10 ms."""
        if self._reply_ms is not None and self._network.world.now_ms >= self._reply_ms:
            self._reply_ms = None
            self._sounds.speak("reply", self._stream)

    def act(self, action, value):
        """Carry out what the scenario says that the receiver does."""
        sounds = self._sounds
        if action == "request":
            self.ask(value)
        elif action == "speak":
            sounds.speak(value, self._stream)
        elif action == "chime":
            sounds.chime(value, self._stream)
        elif action == "speak-stop":
            sounds.stop()
        else:
            sounds.volume(value)

    def ask(self, kind):
        """Send a request, whatever it is: the raw line, as a bad server would."""
        data = {"stream": self._stream} if kind == protocol.STOP else None
        if kind == protocol.CONSENT_WITHDRAW:
            data = {"id": "0" * 16}
        if kind == protocol.SENSITIVITY:
            data = {
                "model": self._network.word,
                "cutoff_thousandths": protocol.MAX_CUTOFF_THOUSANDTHS,
            }
        message = json.dumps({"type": kind, "data": data or {}})
        self.wire.arrive(message.encode() + b"\n")

    def _answer(self, kind, data=None, payload=b""):
        self.wire.arrive(protocol.encode(kind, data, payload))

    def _end(self, reason):
        if self._audio is not None:
            digest = binascii.hexlify(self._audio.digest()).decode()
            self._audio = None
            self._network.emit_received(
                {"samples": self._bytes // 2, "sha256": digest, "reason": reason}
            )


class Network:
    """`connect` for the streamer; `serve` gives the scenario's requests and cuts to a connection.

    `real` is the firmware's own `connect` (drivers/tls.py), None for an InMemoryReceiver, which
    answers every stream with the samples in the file `sound`, if there is one.
    """

    def __init__(self, world, real, emit_message, emit_received, sound):
        self.world = world
        self.real = real
        self.sound = sound
        self._wire = None
        self._far = None
        self.emit_message = emit_message
        self.emit_received = emit_received
        self.is_busy = False  # from an attempt to connect to its end
        self.word = ""  # the first wake word, of which the receiver asks for the highest cutoff
        self.received = 0  # messages or parts of them that reached the device

    async def connect(self):
        if self.world.network == "down":
            raise OSError(113)
        self.is_busy = True
        if self.real is None:
            self._far = InMemoryReceiver(self)
            self._wire = self._far.wire = Wire(self, self._far)
        else:
            reader, self._far = await self.real()
            self._wire = Wire(self, self._far)
            self._wire.real_reader = reader
        self.world.wire = self._wire
        return self._wire, self._wire

    def look(self):
        """Carry what has come to the real socket to the wire, once the first write has made the
        handshake; whether anything came.

        Not with the socket's own read(): while asyncio waits for a TLS socket, every turn of every
        task takes this MicroPython a millisecond.
        """
        wire = self._wire
        if wire is None or wire.real_reader is None or not wire.has_written:
            return False
        before = len(wire.waiting)
        try:
            while (data := wire.real_reader.s.read(_READ_BYTES)) is not None:
                wire.arrive(data or OSError(104))
                if not data:
                    wire.real_reader = None
                    break
        except (OSError, ValueError) as error:
            wire.arrive(error)
            wire.real_reader = None
        return len(wire.waiting) > before

    def end(self):
        """The device is without power: the receiver in memory sees its stream cut off."""
        if isinstance(self._far, InMemoryReceiver):
            self._far.close()

    def serve(self):
        """Carry out what the scenario did to the network; called every 10 ms."""
        if self._wire is None:
            return
        if self.world.network == "down":
            self._wire.cut()
            self._wire = None
            return
        if not isinstance(self._far, InMemoryReceiver):
            return
        self._far.time_passed()
        while self.world.requests:
            self._far.act(*self.world.requests.pop(0))
