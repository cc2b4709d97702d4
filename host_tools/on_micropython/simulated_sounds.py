"""What the receiver in memory lets the device play: asked for, then sent under its credit.

Runs inside MicroPython, beside simulated_network.  It asks for what the scenario says, allowed or
not, and keeps to the protocol in everything else.
"""

import os

from satellite import protocol
from satellite.chimes import Chime, length_ms

_FORMAT = {
    "rate": protocol.RATE_HZ,
    "width": protocol.WIDTH_BYTES,
    "channels": protocol.CHANNELS,
}
_MAX_MS = protocol.MAX_SPEECH_MS
_BYTES_PER_MS = protocol.RATE_HZ * protocol.WIDTH_BYTES // 1000


class FileSound:
    """Samples in a file, read as they are sent: they take none of the device's memory."""

    def __init__(self, path):
        self.size = os.stat(path)[6]
        self._file = open(path, "rb")

    def rewind(self):
        self._file.seek(0)

    def read(self, count):
        return self._file.read(count)


class ChimeSound:
    """For whoever has no sound: the notes of the chime for a timer."""

    size = length_ms("timer") * _BYTES_PER_MS

    def __init__(self):
        self._chime = Chime()
        self._chunk = bytearray(320)

    def rewind(self):
        self._chime.start("timer")
        self._rest = b""

    def read(self, count):
        """The next `count` bytes, fewer at the end."""
        samples = self._rest
        while len(samples) < count and self._chime.fill(self._chunk):
            samples += self._chunk
        self._rest = samples[count:]
        return samples[:count]


def sound_of(path):
    """What is played: the samples in this file, or those of a chime where there is none."""
    return ChimeSound() if path is None else FileSound(path)


class Sounds:
    """One connection's.  `answer(type, data, payload)` sends a message to the device; `sound` is
    what is played, one of the above: int16 samples, 16 kHz.
    """

    def __init__(self, answer, sound):
        self._answer = answer
        self._sound = sound
        self._count = 0
        self._id = None  # of the newest that was asked for
        self._left = self._credit = 0
        self._is_sending = False

    def speak(self, kind, stream):
        """Ask for the sound; `stream` is the one that a reply answers."""
        ms = -(-self._sound.size // _BYTES_PER_MS) // 10 * 10 + 10
        self._ask(protocol.SPEAK, kind, kind == "reply", stream, {"length_ms": min(ms, _MAX_MS)})

    def chime(self, kind, stream):
        """Ask for a chime; `stream` is the one that an error answers."""
        self._ask(protocol.CHIME, kind, kind == "error", stream, {})

    def stop(self):
        """End what was asked for last."""
        if self._id is not None:
            self._answer(protocol.SPEAK_STOP, {"id": self._id})

    def volume(self, percent):
        self._answer(protocol.VOLUME, {"percent": percent})

    # --- what the device says ---

    def accepted(self, event):
        self._left = self._sound.size
        self._sound.rewind()
        self._credit = event.data["credit"]
        if not self._credit:  # a chime
            return
        self._is_sending = True
        self._answer(protocol.AUDIO_START, _FORMAT)
        self._send()

    def credit(self, event):
        self._credit += event.data["bytes"]
        self._send()

    def played(self, event):
        """It is over: the rest is not sent."""
        if self._is_sending:
            self._end()

    # --- inside ---

    def _ask(self, type, kind, is_answer, stream, data):
        self._count += 1
        self._id = f"{self._count:016x}"
        data["id"] = self._id
        data["kind"] = kind
        if is_answer:
            data["stream"] = stream
        self._answer(type, data)

    def _send(self):
        while self._is_sending and self._credit >= 2:
            count = min(self._credit, protocol.MAX_SPEECH_PAYLOAD_BYTES, self._left) & ~1
            if not count:
                self._end()
                return
            self._left -= count
            self._credit -= count
            self._answer(protocol.AUDIO_CHUNK, _FORMAT, self._sound.read(count))

    def _end(self):
        self._is_sending = False
        self._answer(protocol.AUDIO_STOP)
