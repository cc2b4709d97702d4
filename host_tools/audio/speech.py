"""Make speech for the demo and the tests with the espeak-ng library from PyPI.

No recording has to be kept, and no system package is needed.  The same text, voice and speed give
the same samples on every call and in every process (see `speech_worker`); the breath of the
variants +f2, +f3 and +f5 alone differs, because espeak-ng seeds it by the clock.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from host_tools.audio import speech_worker
from host_tools.errors import HostToolError

if TYPE_CHECKING:  # `files` needs soundfile, and `earnest receive --answers` does without
    from host_tools.audio.files import Samples

SAMPLE_RATE_HZ = 16000
# The range that espeak-ng speaks at; outside it the library silently clamps.
MIN_WORDS_PER_MINUTE = 80
MAX_WORDS_PER_MINUTE = 450
MAX_PITCH = 99
MAX_TEXT_BYTES = 10_000
_TIMEOUT_S = 60


def synthesise(
    text: str, voice: str = "en-us", words_per_minute: int = 140, pitch: int = 50
) -> Samples:
    """Say `text`; return int16 samples at 16 kHz, 1-D, without silence around them.

    `voice` is an espeak-ng voice name, with a variant if wanted (`en-us`, `en-us+f3`, `de`);
    `words_per_minute` 80..450; `pitch` 0..99.  Raises HostToolError for anything else.
    """
    if not MIN_WORDS_PER_MINUTE <= words_per_minute <= MAX_WORDS_PER_MINUTE:
        raise HostToolError(
            f"cannot speak at {words_per_minute} words per minute",
            f"choose {MIN_WORDS_PER_MINUTE} to {MAX_WORDS_PER_MINUTE}",
        )
    if not 0 <= pitch <= MAX_PITCH:
        raise HostToolError(f"cannot speak at pitch {pitch}", f"choose 0 to {MAX_PITCH}")
    encoded = text.encode()
    if not text.strip() or b"\0" in encoded or len(encoded) > MAX_TEXT_BYTES:
        raise HostToolError(
            "nothing to say: the text is empty, longer than "
            f"{MAX_TEXT_BYTES} bytes, or has a zero character in it",
            "give a sentence or two",
        )
    samples = np.frombuffer(_speak(encoded, voice, words_per_minute, pitch), "<i2")
    return samples.astype(np.int16)


def pronounce(lines: Sequence[str], voice: str = "en-us") -> list[str]:
    """Return how espeak-ng says each line, in IPA with stress marks; a line for a line.

    Two letters of one sound have `speech_worker.TIE` between them, clauses have `, `.  Raises
    HostToolError for a voice that is not there and for a line with a zero character in it.
    """
    return pronounce_all(lines, (voice,))[0]


def pronounce_all(lines: Sequence[str], voices: Sequence[str]) -> list[list[str]]:
    """Return the same by each of several voices."""
    if not lines:
        return [[] for _ in voices]
    return [list(said) for said in _pronounced(tuple(lines), tuple(voices))]


@lru_cache(maxsize=64)
def _pronounced(lines: tuple[str, ...], voices: tuple[str, ...]) -> list[list[str]]:
    asked = [line.replace("\n", " ").encode() for line in lines]
    if any(b"\0" in line for line in asked):
        raise HostToolError("nothing to say: the text has a zero character in it")
    names = ",".join(voices)
    said = _worker([names], b"\n".join(asked), names).decode().split("\n")[:-1]
    if len(said) != len(lines) * len(voices):
        raise HostToolError(
            f"espeak-ng pronounced {len(said)} of {len(lines) * len(voices)} lines",
            "reinstall it: pip install --force-reinstall espeakng-loader",
        )
    cleaned = [line.strip() for line in said]
    return [cleaned[start : start + len(lines)] for start in range(0, len(said), len(lines))]


@lru_cache(maxsize=256)
def _speak(text: bytes, voice: str, words_per_minute: int, pitch: int) -> bytes:
    """Return the samples as 16 kHz little-endian int16 bytes."""
    rate, _, data = _worker([voice, str(words_per_minute), str(pitch)], text, voice).partition(
        b"\n"
    )
    samples = np.frombuffer(data, "<i2").astype(np.float64)
    if not samples.size:
        return b""
    from scipy.signal import resample_poly  # its import takes most of a second

    resampled = resample_poly(samples, SAMPLE_RATE_HZ, int(rate))
    clipped: Samples = np.clip(np.rint(resampled), -32768, 32767).astype("<i2")
    return clipped.tobytes()


def _worker(arguments: list[str], text: bytes, voice: str) -> bytes:
    """Run `speech_worker` on the text; return what it writes, or raise HostToolError."""
    command = [sys.executable, str(Path(speech_worker.__file__)), *arguments]
    done = subprocess.run(command, input=text, capture_output=True, timeout=_TIMEOUT_S)
    if done.returncode == speech_worker.NO_SUCH_VOICE:
        raise HostToolError(
            f"espeak-ng has no voice named {voice!r}",
            "try en-us, en-gb-x-rp, de, fr, or a variant such as en-us+f3",
        )
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise HostToolError(
            f"espeak-ng did not speak: {lines[-1] if lines else done.returncode}",
            "reinstall it: pip install --force-reinstall espeakng-loader",
        )
    return done.stdout


def bench_speech(seconds: float) -> Samples:
    """The same speech on every run, repeated or cut to the length: what `earnest bench` counts."""
    spoken = synthesise("Okay Nabu, what is the weather like in the mountains today?")
    return np.resize(spoken, round(seconds * SAMPLE_RATE_HZ))


def silence(seconds: float) -> Samples:
    """Return digital silence: int16 zeros at 16 kHz."""
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.int16)


def pad(samples: Samples, before_s: float = 1.0, after_s: float = 1.0) -> Samples:
    """Put silence around samples (a short clip wants half a second after the word)."""
    return np.concatenate([silence(before_s), samples, silence(after_s)])
