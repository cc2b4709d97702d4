"""The whole device, run in MicroPython on audio files, and what it did: trace, text, plot."""
