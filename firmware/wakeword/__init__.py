"""PCM in, detection out: the wake-word engine, in integers only.

Pure: imports micropython, array, struct and its own modules; knows no hardware, no network, no
clock.
"""
