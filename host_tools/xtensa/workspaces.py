"""Which parts of their buffers the firmware's assembler kernels use as a workspace.

replay.py compares everything else. The viper kernels leave those bytes alone, so after
a call they differ, and must not matter: a kernel that read them would be found by its results.
"""

from __future__ import annotations

import struct

from host_tools.xtensa.call_trace import Buffer, Call
from host_tools.xtensa.replay import ReadMemory, Workspace

_DOT_BLOCKS, _DOT_WORKSPACE = 4, 8  # words of a DOT op, docs/model-format.md
_BYTES_PER_BLOCK = 16  # of 8 inputs, unpacked to 16 bits


def _dot(call: Call, read: ReadMemory) -> tuple[int, int]:
    arena, model, at = call.arguments
    assert isinstance(arena, Buffer) and isinstance(model, Buffer) and isinstance(at, int)
    words = struct.unpack("<9I", read(model.address + at, 36))
    return arena.address + words[_DOT_WORKSPACE], _BYTES_PER_BLOCK * words[_DOT_BLOCKS]


WORKSPACES: dict[str, Workspace] = {"wakeword.kernels.dot": _dot}
