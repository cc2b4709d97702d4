"""Counts what machine code around the engine costs a chunk, on the chip's own code.

Every value is compared with a plain formula, so a figure exists only for code that computes
correctly. `earnest bench` shows it beside the engine's. The gate's run in a stream only.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from host_tools.errors import HostToolError
from host_tools.shared_firmware import FIRMWARE
from host_tools.xtensa.compile import compile_firmware
from host_tools.xtensa.machine import XtensaMachine

SAMPLES = 160
_SHIFT, _GAIN_Q4, _BIAS = 14, 16, 1 << 29
#: Name in the table to (module, function), as the chip runs it.
KERNELS = {
    "microphone.convert": ("drivers/pcm_xtensa.py", "convert"),
    "end_of_speech.loudness": ("satellite/end_of_speech_xtensa.py", "loudness"),
    "gate.copy": ("satellite/chunk_words.py", "copy_chunk"),
    "gate.move": ("satellite/chunk_words.py", "move_chunk"),
    "gate.clear": ("satellite/chunk_words.py", "clear_chunk"),
}


def instructions_per_chunk() -> dict[str, int]:
    """Return {kernel: instructions for 10 ms}; HostToolError when a kernel computes wrongly."""
    rng = np.random.default_rng(6)
    words = rng.integers(-(1 << 27), 1 << 27, 2 * SAMPLES, dtype=np.int32)
    with XtensaMachine(count=True) as machine:
        loaded = {
            name: machine.load(compile_firmware(FIRMWARE / path))[function]
            for name, (path, function) in KERNELS.items()
        }
        raw, chunk = machine.alloc(words.tobytes()), machine.alloc(2 * SAMPLES)
        other = machine.alloc(2 * SAMPLES)
        parameters = struct.pack("<8i", SAMPLES, 0, _SHIFT, _GAIN_Q4, _BIAS, 0, 0, 0)
        machine.call(loaded["microphone.convert"], raw, chunk, machine.alloc(parameters))
        samples = _converted(words[::2])
        _require("convert", machine.read(chunk, 2 * SAMPLES), samples)
        loudness = machine.call(loaded["end_of_speech.loudness"], chunk)
        wide = samples.astype(np.int64)
        if loudness != np.abs(wide).sum() + np.abs(np.diff(wide)).sum():
            raise HostToolError("the loudness kernel differs from its formula on Xtensa code")
        machine.call(loaded["gate.copy"], other, chunk)
        _require("copy", machine.read(other, 2 * SAMPLES), samples)
        machine.call(loaded["gate.move"], chunk, other)
        _require("move", machine.read(chunk, 2 * SAMPLES), samples)
        machine.call(loaded["gate.clear"], chunk)
        for emptied in (other, chunk):
            _require("move or clear", machine.read(emptied, 2 * SAMPLES), np.zeros(160, np.int16))
    return {name: count for name, (_, count) in zip(KERNELS, machine.counts(), strict=True)}


def _converted(words: NDArray[np.int32]) -> NDArray[np.int16]:
    """The formula of drivers/pcm.py, from no DC offset on."""
    out, dc = [], 0
    for word in words.tolist():
        y = (word >> _SHIFT) - (dc >> 9)
        dc += y
        out.append(min(max(y * _GAIN_Q4 >> 4, -32768), 32767))
    return np.array(out, np.int16)


def _require(name: str, got: bytes, want: NDArray[np.int16]) -> None:
    if got != want.tobytes():
        raise HostToolError(f"the {name} kernel differs from its formula on Xtensa code")
