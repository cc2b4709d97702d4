"""Runs the engine and its models, without the rest of the device, inside MicroPython.

    engine.py slices MODEL                feature slices on stdin, probabilities on stdout
    engine.py samples STEPS PCM MODEL...  STEPS chunks of an int16 file, repeated if it is short
    engine.py silence STEPS MODEL...      STEPS chunks of silence, and as little else as possible
    engine.py loads N MODEL               load a model N times
    engine.py answers MODEL...            each model's CRC-32 and known answer, one per line

A slice is 40 uint8 (int8 + 128), a probability one byte.
"""

import sys

from wakeword.engine import CHUNK_SAMPLES, Engine
from wakeword.model import FEATURES, read

CHUNK_BYTES = 2 * CHUNK_SAMPLES


def slices(path):
    """The proof of a conversion: one model alone."""
    model = read(path)
    values = bytearray(FEATURES)
    one = bytearray(1)
    while sys.stdin.buffer.readinto(values) == FEATURES:
        if model.push(values):
            one[0] = model.probability
            sys.stdout.buffer.write(one)


def samples(steps, path, *models):
    """What record_calls.py runs as its SCRIPT."""
    with open(path, "rb") as file:
        pcm = file.read()
    process = Engine([read(model) for model in models]).process
    chunk = bytearray(CHUNK_BYTES)
    at = 0
    for _ in range(int(steps)):
        if at + CHUNK_BYTES > len(pcm):
            at = 0
        chunk[:] = pcm[at : at + CHUNK_BYTES]
        at += CHUNK_BYTES
        process(chunk)


def silence(steps, *models):
    """What the cost of the Python around the kernels is counted on; works with empty kernels."""
    process = Engine([read(model) for model in models]).process
    chunk = bytearray(CHUNK_BYTES)
    for _ in range(int(steps)):
        process(chunk)


def loads(count, path):
    """What the cost of loading a model is counted on."""
    for _ in range(int(count)):
        read(path)


def answers(*paths):
    """What a board's self-test must get for the same files."""
    from diagnostics.known_answers import model_answer

    for path in paths:
        model = read(path)
        print(model.header.crc32, model_answer(model))


MODES = {
    "slices": slices,
    "samples": samples,
    "silence": silence,
    "loads": loads,
    "answers": answers,
}

MODES[sys.argv[1]](*sys.argv[2:])
