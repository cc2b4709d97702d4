"""The drivers of one board, out of its board.py.

Place in the pipeline: called by main.py with the board's module; docs/boards.md names the
constants.  Must not import wakeword or satellite.
"""

from machine import Pin

from .controls import Controls
from .i2s_microphone import I2SMicrophone
from .lights import LIGHTS, PWMLight
from .pcm import CHANNEL_NAMES


def quiet(board):
    """Hold the pins of parts that the firmware does not use (say, an amplifier) at rest."""
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
