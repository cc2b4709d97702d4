"""Compute the front end's tables and write them to firmware/wakeword/frontend/tables.py.

    python -m host_tools.frontend_tables

The tables are those of TFLM's microfrontend for a 30 ms window, a 10 ms step and 40 channels from
125 to 7500 Hz.  Its C code computes them in float32 at start; rounding decides some entries, so
here the same formulas run in numpy's float32, once, and the device gets integers.  They are laid
out in the order in which the kernels of wakeword.frontend read them, as little-endian uint16.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable
from typing import Any

import numpy as np

from host_tools.shared_firmware import FIRMWARE

f32 = np.float32

SAMPLE_RATE_HZ, WINDOW, STEP, FFT, CHANNELS = 16000, 480, 160, 512, 40
LOWEST_HZ, HIGHEST_HZ = 125.0, 7500.0
FIRST_BIN, LAST_BIN = 5, 240
_PAD = [0, 0]  # the assembler kernels read one pair ahead

TARGET = FIRMWARE / "wakeword" / "frontend" / "tables.py"


def hann_q12() -> list[int]:
    """The window, 480 of Q12 (window_util.c: WindowPopulateState)."""
    argument = f32(f32(math.pi) * f32(2) / f32(WINDOW))
    return [
        int(math.floor(float(f32(0.5) - f32(0.5) * np.cos(argument * f32(i + 0.5))) * 4096 + 0.5))
        for i in range(WINDOW)
    ]


def twiddle(phase: float) -> tuple[int, int]:
    """exp(j * phase) in Q15 (_kiss_fft_guts.h: kf_cexp)."""
    return math.floor(0.5 + 32767 * math.cos(phase)), math.floor(0.5 + 32767 * math.sin(phase))


def fft_twiddles() -> list[int]:
    """For the stages of 4, 16, 64 values apart, for each k below that: w, w**2, w**3 (re, im)."""
    table: list[int] = []
    for distance in (4, 16, 64):
        for k in range(distance):
            for power in (1, 2, 3):
                table += twiddle(-2 * math.pi * power * k * (64 // distance) / 256)
    return table


def super_twiddles() -> list[int]:
    """For bins 5..128 of the real FFT: -re, -im, none of them negative (kiss_fftr_alloc)."""
    table: list[int] = []
    for k in range(FIRST_BIN, 129):
        re, im = twiddle(-math.pi * (k / 256 + 0.5))
        table += (-re, -im)
    return table


def mel(hz: float | np.floating[Any]) -> np.float32:
    """Hertz to mel (filterbank_util.c: FreqToMel)."""
    return np.float32(f32(1127.0) * np.log1p(f32(f32(hz) / f32(700.0))))


def filter_bank() -> tuple[list[int], list[int]]:
    """Bins in each of the 41 bands, and the Q12 weight of each bin 5..240 in its band.

    A band feeds the channel of its own number with 4096 - weight, the one below with weight
    (filterbank_util.c: FilterbankPopulateState; there the complement is a table of its own).
    """
    low, high = mel(LOWEST_HZ), mel(HIGHEST_HZ)
    spacing = f32(f32(high - low) / f32(CHANNELS + 1))
    centres = [f32(low + f32(spacing * f32(i + 1))) for i in range(CHANNELS + 1)]
    widths, weights, k = [], [], FIRST_BIN
    for c, centre in enumerate(centres):
        start, left = k, low if c == 0 else centres[c - 1]
        while mel(f32(k) * f32(31.25)) <= centre:
            k += 1
        for b in range(start, k):
            w = f32((centre - mel(f32(b) * f32(31.25))) / f32(centre - left))
            weight, complement = (
                int(math.floor(float(f32(f32(v * f32(4096)) + f32(0.5)))))
                for v in (w, f32(f32(1) - w))
            )
            assert weight + complement == 4096  # what lets the kernel do without the complement
            weights.append(weight)
        widths.append(k - start)
    assert k == LAST_BIN + 1
    assert widths[0] == 1  # the assembler kernel has no loop for the first band
    return widths, weights


def roots() -> list[int]:
    """Seeds of the square root, for m>>22 in 64..255: s ~ sqrt(m), then 2**29 / s."""
    middles = [round(math.sqrt((i + 0.5) * 2**22)) for i in range(64, 256)]
    return middles + [round(2**29 / s) for s in middles]


def pcan_gain(estimate: int) -> int:
    """Gain for a noise estimate (pcan_gain_control_util.c: PcanGainLookupFunction)."""
    base = f32(f32(estimate) / f32(128) + f32(80))
    gain = float(f32(1 << 21) * np.power(base, f32(-0.95)))
    return 32767 if gain > 32767 else int(gain + 0.5)


def pcan_table() -> list[int]:
    """For each bit length 0..32 of the noise estimate: y0, -a1, a2 of a quadratic.

    (pcan_gain_control_util.c: PcanGainControlPopulateState.)
    """
    table = [pcan_gain(0), 0, 0, pcan_gain(1), 0, 0]
    for n in range(2, 33):
        x0 = 1 << (n - 1)
        x1, x2 = x0 + (x0 >> 1), (2 * x0 - 1 if n == 32 else 2 * x0)
        y0, y1, y2 = pcan_gain(x0), pcan_gain(x1), pcan_gain(x2)
        a1 = 4 * (y1 - y0) - (y2 - y0)
        table += (y0, -a1, y2 - y0 - a1)
    return table


def log_table() -> list[int]:
    """log2(1 + x) - x in Q16 at x = 0, 1/128 .. 1 (log_lut.c)."""
    return [round((math.log2(1 + i / 128) - i / 128) * 65536) for i in range(129)]


def tables() -> dict[str, tuple[str, bytes]]:
    """Name to (comment, content) of every table on the device."""
    hann = hann_q12()
    interleaved = [
        hann[i + third + side]
        for i in range(0, STEP, 2)
        for third in (0, STEP, 2 * STEP)
        for side in (0, 1)
    ]
    widths, weights = filter_bank()
    return {
        "WINDOW": (
            "Hann window, Q12: i, i + 1, i + 160, i + 161, i + 320, i + 321 for i in 0, 2 .. 158",
            pack(interleaved),
        ),
        "TWIDDLES": (
            "int16 Q15; stages of 4, 16, 64 values apart, each k: re, im of w, w**2, w**3; pad",
            pack(v & 0xFFFF for v in fft_twiddles() + _PAD),
        ),
        "SUPER_TWIDDLES": ("Q15, bins 5..128: -re, -im; pad", pack(super_twiddles() + _PAD)),
        "FILTER_BANK": (
            "41 band widths, 236 weights Q12, 192 roots, 192 reciprocals",
            pack(widths + weights + roots()),
        ),
        "GAINS": (
            "33 x (y0, -a1, int16 a2) of the PCAN gain, 129 of log2",
            pack(v & 0xFFFF for v in pcan_table() + log_table()),
        ),
    }


def pack(values: Iterable[int]) -> bytes:
    """Little-endian uint16."""
    return b"".join(struct.pack("<H", v) for v in values)


def source() -> str:
    """The text of firmware/wakeword/frontend/tables.py."""
    lines = [
        '"""Tables of the front end: little-endian uint16, read by ptr16 in kernels.py.',
        "",
        "Generated by host_tools/models/frontend_tables.py, which has the formulas; do not edit.",
        '"""',
    ]
    for name, (comment, data) in tables().items():
        lines += ["", f"# {comment}", f"{name} = ("]
        lines += [
            '    b"' + "".join(f"\\x{byte:02x}" for byte in data[i : i + 22]) + '"'
            for i in range(0, len(data), 22)
        ]
        lines.append(")")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TARGET.write_text(source())
    print(f"{TARGET}: {sum(len(data) for _, data in tables().values())} bytes of tables")
