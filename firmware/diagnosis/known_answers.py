"""Known answers for the kernels, worked out by the chip itself from a fixed input.

Place: `self_test` compares them with what the host worked out: the front end's with `vectors`,
which another implementation made, a model's with what the same file gave on the host.  Everything
that the kernels wrote goes into the checksum, so one wrong bit anywhere shows.  Imports wakeword
and binascii; no hardware.
"""

import binascii

CHUNKS = 120
SLICES = 48
CHUNK_SAMPLES = 160


class Noise:
    """Numbers 0..65535 that are the same everywhere and fit small integers (ZX81's generator)."""

    def __init__(self, seed):
        self._x = seed

    def next(self):
        self._x = (self._x * 75 + 74) % 65537
        return self._x & 0xFFFF


def amplitude_shift(chunk):
    """How far the noise of a chunk is shifted down: from full scale to silence and back."""
    return (chunk // 6 * 5) % 17


def fill(buffer, noise, shift):
    """One chunk of noise, int16 little-endian, 320 bytes."""
    for i in range(0, len(buffer), 2):
        value = (noise.next() - 32768) >> shift
        buffer[i] = value & 255
        buffer[i + 1] = value >> 8 & 255


def frontend_answer(frontend):
    """CRC-32 of all feature slices (40 bytes each) of CHUNKS chunks of noise."""
    noise = Noise(1)
    chunk = bytearray(2 * CHUNK_SAMPLES)
    values = bytearray(40)
    crc = 0
    frontend.reset()
    for number in range(CHUNKS):
        fill(chunk, noise, amplitude_shift(number))
        if frontend.process(chunk, values):
            crc = binascii.crc32(values, crc)
    frontend.reset()
    return crc & 0xFFFFFFFF


def model_answer(model):
    """CRC-32 of the arena after each slice of noise: each value that any kernel wrote."""
    noise = Noise(2)
    values = bytearray(40)
    crc = 0
    model.reset()
    for number in range(SLICES):
        for i in range(40):
            values[i] = noise.next() >> 8 if number % 4 else 255 * (noise.next() & 1)
        model.push(values)
        crc = binascii.crc32(model._arena, crc)
    model.reset()
    return crc & 0xFFFFFFFF
