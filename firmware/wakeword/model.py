"""Run one wake-word model: feature slices in, a probability out every `stride` slices.

Place in the pipeline: between `frontend` and `detector`.  The model file stays as it is in one
buffer; everything that changes lies in one arena.  Which kernel runs on what is data, read from
the file once.
"""

import struct

import micropython

from . import kernels
from .model_format import (
    DEPTHWISE,
    DOT,
    FEATURES,
    FILL_BYTES,
    LOOKUP,
    PUSH,
    REQUANTISE,
    ModelFormatError,
    check,
)

try:
    from . import kernels_xtensa as _fast
    from .walk_xtensa import walk
except (ImportError, SyntaxError):  # not there, or not an ESP32-S3
    _fast = kernels
    from .walk import walk

try:
    from uctypes import addressof

    from . import kernels_vector_xtensa as _vector
except (ImportError, SyntaxError):  # not there, or not an ESP32-S3
    _vector = None

# walk_xtensa calls no other kernels than those of kernels_xtensa and kernels_vector_xtensa.
_KERNELS = {
    DOT: _fast.dot,
    DEPTHWISE: _fast.depthwise,
    REQUANTISE: _fast.requantise,
    PUSH: _fast.push,
    LOOKUP: _fast.lookup,
}


def _kernels_for(arena, data):
    """Return the kernel of each kind of op: with the vector unit where there is one, and where
    both buffers lie at multiples of 16, as all that MicroPython allocates does on the chip (its
    heap is of blocks of 16 bytes).
    """
    if _vector is None or (addressof(arena) | addressof(data)) & 15:
        return _KERNELS
    chosen = dict(_KERNELS)
    chosen[DOT] = _vector.dot
    chosen[DEPTHWISE] = _vector.depthwise
    return chosen


_BLOCK_BYTES = 256
_BLOCK = "256s"


def _set_bytes(arena, start, size, value):
    """Set bytes, a block at a time: byte by byte it would take the chip milliseconds, and each
    slice of the arena an object."""
    block = bytes((value,)) * min(size, _BLOCK_BYTES)
    end = start + size
    while end - start >= _BLOCK_BYTES:
        struct.pack_into(_BLOCK, arena, start, block)
        start += _BLOCK_BYTES
    struct.pack_into("%ds" % (end - start), arena, start, block)


class Model:
    """A model in memory.

    `data` is a whole model file in a bytes-like object, kept and never written.  Allocates the
    arena once; raises `ModelFormatError` for a file that `model_format.check` refuses.

    `probability` (0..255, of 1/256) is the last inference's output, `inferred` says whether
    the last `push` ran one; `header` has the file's own facts.
    """

    def __init__(self, data):
        self.header, ops = check(data)
        self._data = data
        self._arena = bytearray(self.header.arena_bytes)
        kernel_of = _kernels_for(self._arena, data)
        program = tuple((kernel_of[kind], at) for kind, at in ops)
        self._on_slice = program[: self.header.input_op_count]
        self._on_stride = program[self.header.input_op_count :]
        self._short = ((_fast.load, self.header.input_at),) + self._on_slice
        self._whole = self._short + self._on_stride
        self._input_at = self.header.input_at
        self._output_at = self.header.output_at
        self._stride = self.header.stride
        self.reset()

    def reset(self):
        """Restore the exact initial state.  Allocates a little; not for the audio path."""
        _set_bytes(self._arena, 0, len(self._arena), 0)
        header = self.header
        for i in range(header.fill_count):
            start, size, value = header.words(self._data, header.fills_at + i * FILL_BYTES, 3)
            _set_bytes(self._arena, start, size, value)
        self._slices = 0
        self.probability = 0
        self.inferred = False

    @micropython.native
    def push(self, values):
        """Take one feature slice, 40 uint8 (int8 + 128); return whether an inference ran.
        Allocates nothing.
        """
        self._slices += 1
        self.inferred = self._slices == self._stride
        if not self.inferred:
            walk(self._short, self._arena, self._data, values)
            return False
        self._slices = 0
        walk(self._whole, self._arena, self._data, values)
        self.probability = self._arena[self._output_at]
        return True


def read(path):
    """Return the model in a file: one allocation for the file, one for the arena.

    Raises OSError, ModelFormatError.
    """
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        file.seek(0)
        data = bytearray(size)
        if file.readinto(data) != size:
            raise ModelFormatError("file cut short")
    return Model(data)


__all__ = ("FEATURES", "Model", "ModelFormatError", "read")
