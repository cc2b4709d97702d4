"""Reads a receiver's message COUNT times, as the device does; runs inside MicroPython.

Arguments: COUNT, and how many bytes are read at once.  The message comes on stdin.
"""

import sys

from satellite import protocol

count, read_bytes = int(sys.argv[1]), int(sys.argv[2])
message = sys.stdin.buffer.read()
data = message * (read_bytes // len(message) + 1)
pieces = [data[at : at + read_bytes] for at in range(0, len(data), read_bytes)]
for _ in range(count):
    decoder = protocol.Decoder(0)
    for piece in pieces:
        for _event in decoder.feed(piece):
            pass
