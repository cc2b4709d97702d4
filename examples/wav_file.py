"""Finds a wake word in a recording (WAV, 16 kHz, 16 bits, mono), on the unix port:

micropython examples/wav_file.py okay_nabu.ewm recording.wav
"""

import sys

from wakeword.engine import Engine
from wakeword.feed import Feed
from wakeword.model import read

HEADER_BYTES = 44
BYTES_PER_SECOND = 32000

model = read(sys.argv[1])
feed = Feed(Engine([model]))
block = bytearray(3200)
done = 0
with open(sys.argv[2], "rb") as file:
    file.seek(HEADER_BYTES)
    while size := file.readinto(block):
        done += size
        if feed.process(block, size) >= 0:
            print(f"{done / BYTES_PER_SECOND:.1f} s: {model.header.wake_word}")
