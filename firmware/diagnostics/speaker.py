"""Plays a chime while the application is stopped, for a person to hear.

Place: `self_test` calls it.  As in the application: nothing sounds while the device is muted, the
microphone is off, the light comes first, the amplifier last; then the amplifier first, the light.
"""

import time

from satellite.chimes import Chime
from satellite.volume import gain_of, scale

from .microphone import is_muted

KIND = "timer"
CHUNK_BYTES = 320
#: How long writing it may take, with what the driver holds.
MAX_MS = 5000


class Refused(Exception):
    """Why nothing was played; nothing is wrong."""


def play(hardware, volume):
    """Play the chime at this percentage; raises Refused, or OSError with everything off."""
    from satellite.gate import MUTED
    from satellite.light import SPEAKING, Light

    speaker = hardware.speaker
    if speaker is None:
        raise Refused("this board has none")
    if is_muted(hardware):
        raise Refused("the device is muted: unmute it with its button or switch, then try again")
    if volume == 0:
        raise Refused("its volume is 0: set it in the configuration")
    light = Light(hardware.light, 255, hardware.light.has_colour, speaker)
    hardware.mic.stop()
    if hardware.mic.is_on():
        raise OSError("the microphone stays on")
    if not light.update(SPEAKING, False, 0):
        raise OSError("the light cannot be driven, so the amplifier stays off")
    try:
        speaker.start()
        _write(speaker, hardware.controls, gain_of(volume))
    finally:
        speaker.stop()
        light.update(MUTED, False, 0)
    if speaker.is_on():
        raise OSError("the amplifier stays on: check SPEAKER_ENABLE and its wire")


def _write(speaker, controls, gain):
    """The chime, then silence until all of it was heard."""
    chime = Chime()
    chime.start(KIND)
    chunk = bytearray(CHUNK_BYTES)
    silent_chunks = speaker.buffer_ms // 10
    began_ms = time.ticks_ms()
    while True:
        if chime.fill(chunk):
            scale(chunk, CHUNK_BYTES, gain)
        elif silent_chunks:
            silent_chunks -= 1
            for i in range(CHUNK_BYTES):
                chunk[i] = 0
        else:
            return
        while not speaker.write(chunk):
            if controls.switch_muted() is True:
                raise Refused("the switch was put on mute")
            if time.ticks_diff(time.ticks_ms(), began_ms) > MAX_MS:
                raise OSError("it takes no samples in time")
            time.sleep_ms(4)
