"""Onju Voice V3.

Plain constants, nothing is imported; docs/boards.md explains them and the defaults of the rest.
"""

NAME = "ONJU_VOICE_V3"

MIC_SCK, MIC_WS, MIC_SD = 18, 13, 17
MIC_CHANNEL = "right"

SPEAKER_SCK, SPEAKER_WS, SPEAKER_SD = 18, 13, 12
SPEAKER_SHARES_CLOCK = True
SPEAKER_ENABLE = 21

LIGHT = "neopixel"
LIGHT_PINS = (11,)
LIGHT_COUNT = 6

SWITCH = 38
