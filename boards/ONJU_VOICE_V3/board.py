"""Onju Voice V3.

What is where: plain constants, nothing is imported; docs/boards.md explains them.
"""

NAME = "ONJU_VOICE_V3"

MIC_SCK, MIC_WS, MIC_SD = 18, 13, 17
MIC_CHANNEL = "right"
MIC_SHIFT = 14
MIC_GAIN_Q4 = 16
MIC_SETTLE_MS = 100
MIC_SUPPLY = None
MIC_SUPPLY_ON = 1
MIC_SENSE = None

LIGHT = "neopixel"
LIGHT_PINS = (11,)
LIGHT_COUNT = 6
LIGHT_ON = 1

BUTTON = None
BUTTON_PRESSED = 0
SWITCH = 38
SWITCH_MUTED = 1

QUIET_PINS = ((21, 0),)
