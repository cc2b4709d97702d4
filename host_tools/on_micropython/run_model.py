"""Runs in MicroPython: feature slices on stdin through one model file, probabilities on stdout.

Usage: run_model.py MODEL.ewm < slices > probabilities; a slice is 40 uint8 (int8 + 128), a
probability one byte.  The converter's proof; nothing here is imported by the host.
"""

import sys

from wakeword.model import FEATURES, read

model = read(sys.argv[1])
values = bytearray(FEATURES)
one = bytearray(1)
while sys.stdin.buffer.readinto(values) == FEATURES:
    if model.push(values):
        one[0] = model.probability
        sys.stdout.buffer.write(one)
