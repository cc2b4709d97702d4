"""ESP32-S3-DevKitC-1 N8R2 with a wired-truth microphone supply.

What is where: plain constants, nothing is imported; docs/boards.md explains them.
"""

NAME = "ESPRESSIF_DEVKITC_1_WIRED_TRUTH"

MIC_SCK, MIC_WS, MIC_SD = 4, 5, 6
MIC_CHANNEL = "left"
MIC_SHIFT = 14
MIC_GAIN_Q4 = 16
MIC_SETTLE_MS = 260
MIC_SUPPLY = 15
MIC_SUPPLY_ON = 0
MIC_SENSE = 16

LIGHT = "neopixel"
LIGHT_PINS = (48, 38)
LIGHT_COUNT = 1
LIGHT_ON = 1

BUTTON = 0
BUTTON_PRESSED = 0
SWITCH = 7
SWITCH_MUTED = 1

QUIET_PINS = ()
