"""ESP32-S3-EYE.

What is where: plain constants, nothing is imported; docs/boards.md explains them.
"""

NAME = "ESPRESSIF_S3_EYE"

MIC_SCK, MIC_WS, MIC_SD = 41, 42, 2
MIC_CHANNEL = "left"
MIC_SHIFT = 14
MIC_GAIN_Q4 = 16
MIC_SETTLE_MS = 100
MIC_SUPPLY = None
MIC_SUPPLY_ON = 1
MIC_SENSE = None

LIGHT = "pwm"
LIGHT_PINS = (3,)
LIGHT_COUNT = 1
LIGHT_ON = 1

BUTTON = 0
BUTTON_PRESSED = 0
SWITCH = None
SWITCH_MUTED = 1

QUIET_PINS = ()
