"""The edge: the only place for the chip's own modules (machine, network, neopixel, esp32).

Every driver is a thin shell around a pure file: `pcm`, `microphone_health`, `overruns`,
`debounce` and `backoff` run on any MicroPython.  `hardware` makes all drivers of a board.
"""
