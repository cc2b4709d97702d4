"""Counts what the speaker costs a chunk while it plays, on the chip's own machine code.

Every value is compared with the kernels' formulas, so a figure exists only for code that computes
correctly. `earnest bench` shows it beside the engine's: the engine rests while the speaker plays.
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
CHUNKS_PER_SECOND = 100
#: As loud as the default of the configuration, 60 %, and a note in its decay.
GAIN_Q15 = 11796
TONE = (12345, 1319 * 65536 // 16000, 1 << 27, 0, 1 << 16)
KERNELS = {
    "speaker.volume": ("satellite/volume.py", "scale"),
    "speaker.chime": ("satellite/chimes.py", "tone"),
    "speaker.copy": ("drivers/i2s_speaker.py", "copy_chunk"),
}


def scaled(samples: NDArray[np.int16], gain_q15: int) -> NDArray[np.int16]:
    """The formula of satellite/volume.py."""
    return ((samples.astype(np.int64) * gain_q15 + 16384) >> 15).astype(np.int16)


def tone(words: tuple[int, ...]) -> tuple[NDArray[np.int16], tuple[int, ...]]:
    """The formula of satellite/chimes.py: a chunk, and the words after it."""
    phase, step, level, rise, fall = words
    n = np.arange(SAMPLES, dtype=np.int64)
    x = ((phase + n * step & 0xFFFF) ^ 0x8000) - 0x8000
    y = x * (32768 - np.abs(x)) >> 14
    levels = level + (n + 1) * (rise - fall)
    after = ((phase + SAMPLES * step) & 0xFFFF, step, int(levels[-1]), rise, fall)
    return (y * (levels >> 14) >> 14).astype(np.int16), after


def instructions_per_chunk() -> dict[str, int]:
    """Return {kernel: instructions for 10 ms}; HostToolError when a kernel computes wrongly."""
    rng = np.random.default_rng(5)
    samples = rng.integers(-32768, 32768, SAMPLES, dtype=np.int16)
    with XtensaMachine(count=True) as machine:
        loaded = {
            name: machine.load(compile_firmware(FIRMWARE / path))[function]
            for name, (path, function) in KERNELS.items()
        }
        chunk = machine.alloc(samples.tobytes())
        machine.call(loaded["speaker.volume"], chunk, 2 * SAMPLES, GAIN_Q15)
        _require("volume", machine.read(chunk, 2 * SAMPLES), scaled(samples, GAIN_Q15))
        words = machine.alloc(struct.pack("<5i", *TONE))
        machine.call(loaded["speaker.chime"], chunk, words)
        want, _ = tone(TONE)
        _require("chime", machine.read(chunk, 2 * SAMPLES), want)
        copied = machine.alloc(2 * SAMPLES)
        machine.call(loaded["speaker.copy"], chunk, copied)
        _require("copy", machine.read(copied, 2 * SAMPLES), want)
    return {name: count for name, (_, count) in zip(KERNELS, machine.counts(), strict=True)}


def _require(name: str, got: bytes, want: NDArray[np.int16]) -> None:
    if got != want.tobytes():
        raise HostToolError(f"the speaker's {name} kernel differs from its formula on Xtensa code")
