"""Runs in MicroPython: drives the whole engine with a file of samples.

    micropython run_engine.py PCM STEPS MODEL...

PCM is raw int16, STEPS the number of chunks to process (the file is repeated when it is shorter).
record.py runs this as its SCRIPT.
"""

# mypy: ignore-errors

import sys

from wakeword.engine import CHUNK_SAMPLES, Engine
from wakeword.model import read


def main():
    engine = Engine([read(path) for path in sys.argv[3:]])
    with open(sys.argv[1], "rb") as file:
        samples = file.read()
    size = 2 * CHUNK_SAMPLES
    chunk = bytearray(size)
    at = 0
    for _ in range(int(sys.argv[2])):
        if at + size > len(samples):
            at = 0
        chunk[:] = samples[at : at + size]
        at += size
        engine.process(chunk)


main()
