"""LilyGO T-Circle-S3 V1.0.

What is where: plain constants, nothing is imported; docs/boards.md explains them.
"""

NAME = "LILYGO_T_CIRCLE_S3_V1_0"

MIC_SCK, MIC_WS, MIC_SD = 7, 9, 8
MIC_CHANNEL = "left"
MIC_SHIFT = 14
MIC_GAIN_Q4 = 16
MIC_SETTLE_MS = 100
MIC_SUPPLY = None
MIC_SUPPLY_ON = 1
MIC_SENSE = None

LIGHT = "apa102"
LIGHT_PINS = (38, 39)
LIGHT_COUNT = 1
LIGHT_ON = 1

BUTTON = 0
BUTTON_PRESSED = 0
SWITCH = None
SWITCH_MUTED = 1

QUIET_PINS = ((45, 0), (18, 0))
