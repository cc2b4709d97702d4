"""ESP32-S3-DevKitC-1 with INMP441 and MAX98357A.

Plain constants, nothing is imported; docs/boards.md explains them and the defaults of the rest.
"""

NAME = "ESPRESSIF_DEVKITC_1_SPEAKER"

MIC_SCK, MIC_WS, MIC_SD = 4, 5, 6
MIC_SETTLE_MS = 260

SPEAKER_SCK, SPEAKER_WS, SPEAKER_SD = 10, 11, 12
SPEAKER_ENABLE = 13

LIGHT = "neopixel"
LIGHT_PINS = (48, 38)

BUTTON = 0
SWITCH = 7
