"""The hardware of one board: every driver, made from its board.py, by the names of ports.Hardware.

Place in the pipeline: made by main.py, or by diag.py while the application is stopped.
docs/boards.md names the constants; `board_defaults` has the values of those that a board leaves
out.
"""

import asyncio
import os

import machine
from machine import Pin

from . import board_defaults, tls
from .clock import Clock
from .controls import Controls
from .i2s_microphone import I2SMicrophone
from .i2s_speaker import I2SSpeaker
from .lights import LIGHTS, PWMLight
from .pcm import CHANNEL_NAMES
from .storage import Files
from .watchdog import Watchdog, reset_reason
from .watched_stream import WatchedStream
from .wifi import Wifi

CPU_HZ = 240000000
#: How often the connection to the receiver checks whether there is a network.
WIFI_STEP_MS = 100


class Constants:
    """The constants of a board.py, and the defaults for those that it leaves out."""

    def __init__(self, board):
        self._board = board

    def __getattr__(self, name):
        if hasattr(self._board, name):
            return getattr(self._board, name)
        return getattr(board_defaults, name)


class Hardware:
    """The drivers of a board; `board` is its module.  `join` completes them."""

    def __init__(self, board):
        board = Constants(board)
        self.speaker = speaker(board)  # these two first: both are off whatever fails later
        self.mic = microphone(board)
        if self.speaker is not None:
            self.mic.other, self.speaker.other = self.speaker, self.mic
        machine.freq(CPU_HZ)  # some stock images start at 160 MHz
        quiet(board)
        self.storage = Files()
        self.clock = Clock()
        self.watchdog = Watchdog()
        self.light = light(board)
        self.controls = controls(board, self.clock.now_ms)
        self.reset = reset_reason()
        self.wifi = None
        self.connect = None

    def join(self, config):
        """Make `wifi` and `connect` for the network that the configuration names."""
        wifi = Wifi(config.wifi_ssid, config.wifi_password) if config.wifi_ssid else None
        connect = tls.connector(config, self.storage, wifi and wifi.name_server)

        async def connect_over_wifi():
            while wifi is None:  # nothing is configured, nothing is tried
                await asyncio.Event().wait()
            while not (wifi.is_connected() and wifi.may_try()):
                await asyncio.sleep_ms(WIFI_STEP_MS)
            reader, writer = await connect()
            stream = WatchedStream(reader, writer, wifi.carried)
            return stream, stream

        self.wifi = wifi
        self.connect = connect_over_wifi

    def random_number(self):
        """62 bits from the chip's random number generator."""
        return int.from_bytes(os.urandom(8), "big") >> 2


def quiet(board):
    """Hold the pins of parts that the firmware does not use at rest."""
    for number, level in board.QUIET_PINS:
        Pin(number, Pin.OUT, value=level)


def microphone(board):
    """The board's microphone, off."""
    return I2SMicrophone(
        board.MIC_SCK,
        board.MIC_WS,
        board.MIC_SD,
        channel=CHANNEL_NAMES.index(board.MIC_CHANNEL),
        shift=board.MIC_SHIFT,
        gain_q4=board.MIC_GAIN_Q4,
        settle_ms=board.MIC_SETTLE_MS,
        supply=board.MIC_SUPPLY,
        supply_on=board.MIC_SUPPLY_ON,
        sense=board.MIC_SENSE,
    )


def speaker(board):
    """The board's speaker, off; None on a board without one."""
    if board.SPEAKER_SD is None:
        return None
    return I2SSpeaker(
        board.SPEAKER_SCK,
        board.SPEAKER_WS,
        board.SPEAKER_SD,
        board.SPEAKER_ENABLE,
        enable_on=board.SPEAKER_ENABLE_ON,
    )


def light(board):
    """The board's light: show(r, g, b), is_ok(), has_colour."""
    driver = LIGHTS[board.LIGHT]
    if driver is PWMLight:
        return PWMLight(board.LIGHT_PINS, board.LIGHT_ON)
    return driver(board.LIGHT_PINS, board.LIGHT_COUNT)


def controls(board, now_ms=None):
    """The board's button and mute switch."""
    return Controls(
        board.BUTTON, board.BUTTON_PRESSED, board.SWITCH, board.SWITCH_MUTED, now_ms=now_ms
    )
