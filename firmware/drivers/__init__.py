"""The edge: the only place for the chip's own modules (machine, network, neopixel, esp32).

Each driver is a thin shell around a pure file of its own: `pcm`, `microphone_health`,
`ring_clock`, `debounce` and `back_off` run on any MicroPython.  Imports neither wakeword nor
satellite.
"""
