"""LilyGO T-Circle-S3 V1.0.

Plain constants, nothing is imported; docs/boards.md explains them and the defaults of the rest.
"""

NAME = "LILYGO_T_CIRCLE_S3_V1_0"

MIC_SCK, MIC_WS, MIC_SD = 7, 9, 8

SPEAKER_SCK, SPEAKER_WS, SPEAKER_SD = 5, 4, 6
SPEAKER_ENABLE = 45

LIGHT = "apa102"
LIGHT_PINS = (38, 39)

BUTTON = 0

QUIET_PINS = ((18, 0),)
