"""From what a voice gives to the samples of a clip: the silence cut off, one level, int16."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from host_tools.training.clips import NEAR, SAMPLE_RATE_HZ, TALK, WORD
from host_tools.training.voices.family import Sound

#: Below the loudest 20 ms by so much is silence.
_QUIET_DB = 38
_WINDOW = SAMPLE_RATE_HZ // 50
_MARGIN = SAMPLE_RATE_HZ // 100
_PEAK = 0.6 * 32767
_SILENT = 0.003
#: Seconds that a clip may last, by kind; a voice that is cut or rambles is drawn again.
_SECONDS = {WORD: (0.2, 3.0), NEAR: (0.12, 4.0), TALK: (0.5, 20.0)}


def cut(sound: Sound, kind: str) -> NDArray[np.int16] | None:
    """Return the samples of a clip, or None when nothing sensible was said.

    Args:
        sound: float [n] at 16 kHz, with silence around the speech.
        kind: of the clip, which bounds how long it may last.

    Returns:
        int16, at most 10 ms of silence on either side, the loudest sample at -4.4 dB.
    """
    if len(sound) < _WINDOW or not np.isfinite(sound).all() or np.abs(sound).max() < _SILENT:
        return None
    power = np.convolve(sound.astype(np.float64) ** 2, np.ones(_WINDOW) / _WINDOW, "same")
    loud = np.flatnonzero(power > power.max() * 10 ** (-_QUIET_DB / 10))
    start, end = max(0, loud[0] - _MARGIN + _WINDOW // 2), loud[-1] + _MARGIN - _WINDOW // 2
    speech = sound[start : end + 1].astype(np.float64)
    least, most = _SECONDS[kind]
    if not least <= len(speech) / SAMPLE_RATE_HZ <= most:
        return None
    samples: NDArray[np.int16] = np.rint(speech * (_PEAK / np.abs(speech).max())).astype(np.int16)
    return samples
