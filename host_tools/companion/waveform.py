"""A recording as a picture: how loud it was, from its beginning to its end."""

from __future__ import annotations

import io
import wave

import numpy as np

_COLUMNS, _HEIGHT = 300, 80
#: Seen on a light ground and on a dark one.
_COLOUR = "#2f86b5"


def svg(wav: bytes) -> bytes:
    """Return the picture of a WAV file, int16; loud parts are high, as the ear has it."""
    with wave.open(io.BytesIO(wav)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    bars = []
    for column, part in enumerate(np.array_split(samples.astype(np.float64), _COLUMNS)):
        peak = float(np.max(np.abs(part))) / 32768 if part.size else 0.0
        half = max(0.5, peak**0.5 * _HEIGHT / 2)
        bars.append(f"M{column * 2 + 1} {_HEIGHT / 2 - half:.1f}v{2 * half:.1f}")
    width = 2 * _COLUMNS
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" '
        f'preserveAspectRatio="none"><path d="{"".join(bars)}" stroke="{_COLOUR}" '
        'stroke-width="1.4" fill="none"/></svg>'
    ).encode()
