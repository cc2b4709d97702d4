"""A device of few lines that talks to the real receiver over TLS, and plays what it is sent."""

from __future__ import annotations

import secrets
import socket
import threading
import time

from firmware.satellite import protocol
from tests.fakes.receivers import FORM, STATUS, Device

_CHUNK_BYTES = 320
#: The wake words that the device listens for.
WORDS = ("okay_nabu", "hey_jarvis")
_TOLD = {"timers": True, "announcements": True, "firmware": "test", "words": list(WORDS)}


class Kitchen:
    """`sounds` has (kind, samples) of everything that was played."""

    def __init__(self, port, folder):
        self._device = Device(port, folder)
        self._device.socket.settimeout(None)
        self._sending = threading.Lock()
        self._status = {**STATUS, **_TOLD}
        self._accepted = threading.Event()
        self._is_stopped = threading.Event()
        self._sound = None
        self.sounds = []
        self.chimes = []
        self.stream = ""
        self.is_muted = threading.Event()
        self._send(protocol.STATUS, self._status)
        threading.Thread(target=self._read, daemon=True, name="kitchen").start()

    def say(self, samples, word="okay_nabu"):
        """The wake word was heard; stream these samples as a microphone would deliver them."""
        self._accepted.clear()
        self._is_stopped.clear()
        self.stream = secrets.token_hex(8)
        consent = {"keep_recordings": False, "share_for_training": False, "preroll_ms": 0}
        self._send(protocol.CONSENT, {"stream": self.stream, **consent})
        assert self._accepted.wait(5), "the consent was not accepted"
        self._send(protocol.DETECTION, {"name": word})
        self._send(protocol.AUDIO_START, FORM)
        for at in range(0, len(samples), _CHUNK_BYTES):
            if self._is_stopped.is_set():
                break
            self._send(protocol.AUDIO_CHUNK, FORM, samples[at : at + _CHUNK_BYTES])
            time.sleep(0.01)
        self._send(protocol.AUDIO_STOP)

    def close(self):
        self._device.socket.shutdown(socket.SHUT_RDWR)  # which also ends the thread's reading
        self._device.socket.close()

    def _send(self, kind, data=None, payload=b""):
        with self._sending:
            self._device.send(kind, data, payload)

    def _read(self):
        try:
            while True:
                self._handle(self._device.next())
        except (OSError, AssertionError, ValueError):
            pass  # closed

    def _handle(self, event):
        kind, data = event.type, event.data
        if kind == protocol.CONSENT_ACCEPTED:
            self._accepted.set()
        elif kind == protocol.STOP:
            self._is_stopped.set()
        elif kind == protocol.MUTE:
            self._status["muted"], self._status["listening"] = True, False
            self._send(protocol.STATUS, self._status)
            self.is_muted.set()
        elif kind == protocol.VOLUME:
            self._status["volume"] = min(data["percent"], self._status["volume_max"])
            self._send(protocol.STATUS, self._status)
        elif kind == protocol.SPEAK:
            self._sound = (data, bytearray())
            credit = protocol.MAX_CREDIT_BYTES
            self._send(protocol.SPEAK_ACCEPTED, {"id": data["id"], "credit": credit})
        elif kind == protocol.CHIME:
            self.chimes.append(data["kind"])
            self._send(protocol.SPEAK_ACCEPTED, {"id": data["id"], "credit": 0})
            self._send(protocol.PLAYED, {"id": data["id"], "ms": 400, "why": "end"})
        elif kind == protocol.AUDIO_CHUNK and self._sound is not None:
            self._sound[1].extend(event.payload)
            time.sleep(len(event.payload) / 32000)
            self._send(protocol.CREDIT, {"id": self._sound[0]["id"], "bytes": len(event.payload)})
        elif kind == protocol.AUDIO_STOP and self._sound is not None:
            (asked, heard), self._sound = self._sound, None
            self.sounds.append((asked["kind"], bytes(heard)))
            played = {"id": asked["id"], "ms": len(heard) // 32, "why": "end"}
            self._send(protocol.PLAYED, played)
