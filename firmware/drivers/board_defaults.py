"""The constants that a board.py may leave out, and their values: the one place for both halves.

Place in the pipeline: `hardware` reads it on the board, `earnest` (board/definition.py) on the
host.  Plain constants; docs/boards.md explains them.
"""

MIC_CHANNEL = "left"
MIC_SHIFT = 14
MIC_GAIN_Q4 = 16
MIC_SETTLE_MS = 100
MIC_SUPPLY = None
MIC_SUPPLY_ON = 1
MIC_SENSE = None

SPEAKER_SCK = None
SPEAKER_WS = None
SPEAKER_SD = None
SPEAKER_ENABLE = None
SPEAKER_ENABLE_ON = 1
SPEAKER_SHARES_CLOCK = False

LIGHT_COUNT = 1
LIGHT_ON = 1

BUTTON = None
BUTTON_PRESSED = 0
SWITCH = None
SWITCH_MUTED = 1

QUIET_PINS = ()
