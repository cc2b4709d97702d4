"""What host tools run inside MicroPython, beside the firmware.  CPython never imports it."""
