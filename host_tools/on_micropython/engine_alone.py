"""The engine alone, for `earnest evaluate`; runs inside MicroPython.

Arguments: `features` or `-`, then the model files.  Takes 16 kHz int16 PCM on stdin until it ends,
and prints what the engine did, in order:

    f SLICE HEX              a feature slice, 40 bytes of int8 + 128 (only with `features`)
    p SLICE MODEL VALUE      an inference, 0..255, before averaging
    d SLICE MODEL MEAN       a detection, with the mean of the detector's window
    e CHUNKS                 the input is over

The engine runs with the heap locked, as it must on the board: an allocation ends the simulation.
"""

import binascii
import sys

import micropython
from wakeword.engine import CHUNK_SAMPLES, Engine
from wakeword.model import read


def listen(engine, stream, with_features):
    """Feed the stream to the engine and print; returns the number of chunks."""
    chunk = bytearray(2 * CHUNK_SAMPLES)
    strides = [model.header.stride for model in engine.models]
    chunks = 0
    slices = 0
    while stream.readinto(chunk) == len(chunk):
        chunks += 1
        micropython.heap_lock()
        detected = engine.process(chunk)
        micropython.heap_unlock()
        if not engine.slice_ready:
            continue
        if with_features:
            print("f", slices, binascii.hexlify(engine.slice).decode())
        for i in range(len(strides)):
            if (slices + 1) % strides[i] == 0:
                print("p", slices, i, engine.models[i].probability)
        if detected >= 0:
            print("d", slices, detected, engine.detectors[detected].mean)
        slices += 1
    return chunks


def main(arguments):
    engine = Engine([read(path) for path in arguments[1:]])
    print("e", listen(engine, sys.stdin.buffer, arguments[0] == "features"))


main(sys.argv[1:])
