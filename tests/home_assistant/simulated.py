"""The device in MicroPython, as `earnest simulate` runs it, at a receiver that runs already."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from host_tools.audio import files, speech
from host_tools.models.catalog import find_model
from host_tools.receiver.devices import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from host_tools.simulation import loopback, runner
from tests.home_assistant.kitchen import WORDS

WAKE_WORD = "okay naboo"
_SILENCE_S = 12.0
#: What `kitchen` offers: else Home Assistant would have to connect again.
_CONFIG = {"timers": True, "announcements": True}


class _Borrowed(loopback.LoopbackReceiver):
    """The running receiver, in place of one that the simulation would start.

    What it is asked once it has ended it tells of `events`, as one of its own does.
    """

    def __init__(self, receiver, folder):
        self._receiver = receiver
        self._folder = folder
        receiver.wait("disconnected")  # the device that was there before
        self._begin = len(receiver.events)

    def settings(self, device_folder):
        for name in (KEY_FILE, CERTIFICATE_FILE, CA_FILE):
            (device_folder / name).write_bytes((self._folder / name).read_bytes())
        return {
            "receiver_host": loopback.HOST,
            "receiver_port": self._receiver.port,
            "receiver_name": "earnest-receiver",
            "ssl_certificate": CERTIFICATE_FILE,
            "ssl_key": KEY_FILE,
            "ssl_ca": CA_FILE,
        }

    def act(self, action, value, word):
        pass

    def end(self):
        self._receiver.wait("disconnected")
        stops = [e for e in self.events if e["event"] == "stream-stop"]
        return [{name: e[name] for name in ("samples", "sha256", "reason")} for e in stops]

    def close(self):
        pass

    @property
    def events(self):
        """What the receiver has told since this device connected."""
        return self._receiver.events[self._begin :]


def say(receiver, folder, command):
    """Say the wake word and a command to a simulated device with the papers in `folder`; returns
    the simulation's result."""
    parts = [speech.silence(0.8), speech.synthesise(WAKE_WORD), speech.silence(0.6)]
    parts += [speech.synthesise(command), speech.silence(_SILENCE_S)]
    own = loopback.LoopbackReceiver
    loopback.LoopbackReceiver = lambda *_: _Borrowed(receiver, folder)
    try:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary, "said.wav")
            files.write(path, np.concatenate(parts))
            settings = runner.Settings(
                tuple(map(find_model, WORDS)), config=_CONFIG, with_receiver=True, answers=True
            )
            return runner.simulate("said.wav", files.open_audio(path), settings)
    finally:
        loopback.LoopbackReceiver = own
