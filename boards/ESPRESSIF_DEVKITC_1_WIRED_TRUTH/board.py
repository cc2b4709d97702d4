"""ESP32-S3-DevKitC-1 N8R2 with a wired-truth microphone supply.

Plain constants, nothing is imported; docs/boards.md explains them and the defaults of the rest.
"""

NAME = "ESPRESSIF_DEVKITC_1_WIRED_TRUTH"

MIC_SCK, MIC_WS, MIC_SD = 4, 5, 6
MIC_SETTLE_MS = 260
MIC_SUPPLY = 15
MIC_SUPPLY_ON = 0
MIC_SENSE = 16

LIGHT = "neopixel"
LIGHT_PINS = (48, 38)

BUTTON = 0
SWITCH = 7
