"""ESP32-S3-EYE.

Plain constants, nothing is imported; docs/boards.md explains them and the defaults of the rest.
"""

NAME = "ESPRESSIF_S3_EYE"

MIC_SCK, MIC_WS, MIC_SD = 41, 42, 2

LIGHT = "pwm"
LIGHT_PINS = (3,)

BUTTON = 0
