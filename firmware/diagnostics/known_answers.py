"""Known answers for the kernels, worked out by the chip itself from a fixed input.

Place: `self_test` compares them with what the host worked out: the front end's with `vectors`,
which another implementation made, a model's with what the same file gave on the host.  Everything
that the kernels wrote goes into the checksum, so one wrong bit anywhere shows.  Imports wakeword
and binascii; no hardware.
"""

import binascii
import struct

if False:  # for type checkers alone: it is not compiled
    from collections.abc import Callable
    from typing import Any

CHUNKS = 120
SLICES = 48
CASES = 256
CHUNK_SAMPLES = 160


class Noise:
    """Numbers 0..65535 that are the same everywhere and fit small integers (ZX81's generator)."""

    def __init__(self, seed: int) -> None:
        self._x = seed

    def next(self) -> int:
        self._x = (self._x * 75 + 74) % 65537
        return self._x & 0xFFFF


def amplitude_shift(chunk: int) -> int:
    """How far the noise of a chunk is shifted down: from full scale to silence and back."""
    return (chunk // 6 * 5) % 17


def fill(buffer: bytearray, noise: Noise, shift: int) -> None:
    """One chunk of noise, int16 little-endian, 320 bytes."""
    for i in range(0, len(buffer), 2):
        value = (noise.next() - 32768) >> shift
        buffer[i] = value & 255
        buffer[i + 1] = value >> 8 & 255


def tables_answer(tables: "Any") -> int:
    """CRC-32 of the front end's tables (wakeword.frontend.tables): many of their low bits are
    rounded away in its output, and a wrong width in FILTER_BANK would write beyond a buffer.
    """
    crc = 0
    for table in (
        tables.WINDOW,
        tables.TWIDDLES,
        tables.SUPER_TWIDDLES,
        tables.FILTER_BANK,
        tables.GAINS,
    ):
        crc = binascii.crc32(table, crc)
    return crc & 0xFFFFFFFF


def frontend_answer(frontend: "Any") -> int:
    """CRC-32 of all features (40 uint16) and slices (40 bytes) of CHUNKS chunks of noise."""
    noise = Noise(1)
    chunk = bytearray(2 * CHUNK_SAMPLES)
    values = bytearray(40)
    crc = 0
    frontend.reset()
    for number in range(CHUNKS):
        fill(chunk, noise, amplitude_shift(number))
        if frontend.process(chunk, values):
            crc = binascii.crc32(values, binascii.crc32(frontend.features, crc))
    frontend.reset()
    return crc & 0xFFFFFFFF


def requantise_errors(requantise: "Callable[[bytearray, bytearray, int], None]") -> int:
    """How often the kernel differs from its formula, of CASES; 8 bits of output hide its low bits
    in a model, so here the zero point is moved to where the result is.
    """
    noise = Noise(3)
    op = bytearray(48)
    arena = bytearray(8)
    errors = 0
    for number in range(CASES):
        # Large values are negative: a zero point below 0 is no word of a model.
        a = noise.next() >> 8 if number & 1 else -(noise.next() << 14 | noise.next() >> 2)
        m = noise.next() << 14 | noise.next() >> 2
        right = (a + 1 + (a * m >> 30)) >> 1
        zero = 0 if number & 1 else 128 - right
        # kind, acc at, out at, pitch, channels, zero, low, high, table at; bias, m, shifts
        words = (0, 0, 4, 1, 1, zero, 0, 255, 36, 1 << 30, m, 0)
        struct.pack_into("<12I", op, 0, *words)
        struct.pack_into("<I", arena, 0, a + (1 << 30))
        requantise(arena, op, 0)
        errors += arena[4] != zero + right
    return errors


def model_answer(model: "Any") -> int:
    """CRC-32 of the arena after each op of each slice of noise: every value of every kernel.

    The ops are run one by one as `model.Model.push` runs them.  What DOT leaves in its workspace
    is not a value: assembler writes there, viper does not, so it is set to 0 before it counts.
    """
    from wakeword import kernels

    arena = model._arena
    noise = Noise(2)
    values = bytearray(40)
    crc = 0
    model.reset()
    for number in range(SLICES):
        _fill_slice(values, noise, number)
        kernels.load(arena, values, model._input_at)
        ops = model._on_slice
        if (number + 1) % model.header.stride == 0:
            ops = ops + model._on_stride
        for kernel, at in ops:
            kernel(arena, model._data, at)
            _clear_workspace(arena, model._data, at)
            crc = binascii.crc32(arena, crc)
    model.reset()
    return crc & 0xFFFFFFFF


def walk_errors(model: "Any") -> int:
    """After how many of SLICES slices of noise `Model.push`, which on the chip runs all ops in one
    call, has left another arena than the same ops one by one.
    """
    from wakeword import kernels

    arena = model._arena
    values = bytearray(40)
    want = []
    noise = Noise(4)
    model.reset()
    for number in range(SLICES):
        _fill_slice(values, noise, number)
        kernels.load(arena, values, model._input_at)
        ops = model._on_slice
        if (number + 1) % model.header.stride == 0:
            ops = ops + model._on_stride
        for kernel, at in ops:
            kernel(arena, model._data, at)
        want.append(binascii.crc32(arena))
    errors = 0
    noise = Noise(4)
    model.reset()
    for number in range(SLICES):
        _fill_slice(values, noise, number)
        model.push(values)
        errors += binascii.crc32(arena) != want[number]
    model.reset()
    return errors


def _fill_slice(values: bytearray, noise: Noise, number: int) -> None:
    for i in range(40):
        values[i] = noise.next() >> 8 if number % 4 else 255 * (noise.next() & 1)


def _clear_workspace(arena: bytearray, data: bytes, at: int) -> None:
    """After a DOT op, whose words 4 and 8 are its blocks and workspace (docs/model-format.md)."""
    from wakeword.model_format import DOT

    if struct.unpack_from("<I", data, at)[0] == DOT:
        words = struct.unpack_from("<9I", data, at)
        for i in range(words[8], words[8] + 16 * words[4]):
            arena[i] = 0
