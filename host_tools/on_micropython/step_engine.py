"""Runs in MicroPython: the engine on chunks of silence, and as little else as can be.

    micropython step_engine.py STEPS MODEL...

For glue.py, which counts what a step costs. Works with kernels that do nothing, too.
"""

# mypy: ignore-errors

import sys

from wakeword.engine import CHUNK_SAMPLES, Engine
from wakeword.model import read


def main():
    process = Engine([read(path) for path in sys.argv[2:]]).process
    chunk = bytearray(2 * CHUNK_SAMPLES)
    for _ in range(int(sys.argv[1])):
        process(chunk)


main()
