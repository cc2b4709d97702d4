"""Read a microWakeWord v2 manifest: the wake word, its cutoff and its sliding window.

The JSON file beside a .tflite.  What cannot be meant is refused, what is unusual becomes a note.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from firmware.wakeword import model_format as fmt
from host_tools.errors import HostToolError

VERSION = 2
MAX_USUAL_WINDOW = 50
_FIRST_WINDOW_FIELD = "sliding_window_average_size"  # version 1's name of sliding_window_size


@dataclass(frozen=True)
class Manifest:
    """The fields of a microWakeWord v2 manifest that the device needs; `notes` are for people."""

    wake_word: str
    probability_cutoff: float
    sliding_window_size: int
    notes: tuple[str, ...] = ()

    @property
    def cutoff(self) -> int:
        """Return the cutoff in 0..255, as ESPHome computes it."""
        return int(self.probability_cutoff * 255)

    @classmethod
    def from_json(cls, data: object) -> Manifest:
        """Read the parsed JSON of a manifest.

        Raises HostToolError with the field, its value and what is allowed.
        """
        if not isinstance(data, dict) or not isinstance(data.get("micro"), dict):
            raise HostToolError(
                "the manifest has no `micro` section",
                "give a microWakeWord v2 manifest (.json beside the .tflite)",
            )
        micro = data["micro"]
        if data.get("type") != "micro":
            raise _wrong("type", data.get("type"), "'micro'")
        notes = _check_version(data.get("version"), micro)
        word = data.get("wake_word")
        if (
            not isinstance(word, str)
            or not word.isprintable()  # which also leaves out what UTF-8 cannot encode
            or not 1 <= len(word.encode()) <= fmt.MAX_NAME_BYTES
        ):
            raise _wrong("wake_word", word, f"1 to {fmt.MAX_NAME_BYTES} bytes of printable text")
        cutoff = micro.get("probability_cutoff")
        if isinstance(cutoff, bool) or not isinstance(cutoff, int | float) or not 0 <= cutoff <= 1:
            raise _wrong("micro.probability_cutoff", cutoff, "0 to 1")
        window = micro.get("sliding_window_size")
        if (
            isinstance(window, bool)
            or not isinstance(window, int)
            or not 1 <= window <= fmt.MAX_WINDOW
        ):
            raise _wrong("micro.sliding_window_size", window, f"1 to {fmt.MAX_WINDOW}")
        step = micro.get("feature_step_size", fmt.FEATURE_STEP_MS)
        if step != fmt.FEATURE_STEP_MS:
            raise _wrong("micro.feature_step_size", step, f"{fmt.FEATURE_STEP_MS} (ms)")
        return cls(word, float(cutoff), window, notes + _unusual(float(cutoff), window))


def template(wake_word: str) -> str:
    """Return a manifest to start from, as one line of JSON."""
    return json.dumps(
        {
            "type": "micro",
            "wake_word": wake_word,
            "version": VERSION,
            "micro": {
                "probability_cutoff": 0.9,
                "sliding_window_size": 5,
                "feature_step_size": fmt.FEATURE_STEP_MS,
            },
        },
        ensure_ascii=False,
    )


def _wrong(name: str, value: object, allowed: str) -> HostToolError:
    return HostToolError(f"manifest: {name} is {value!r}; allowed: {allowed}")


def _check_version(version: object, micro: dict[str, Any]) -> tuple[str, ...]:
    """Return the notes; a manifest of version 1 with the fields of version 2 passes with one."""
    if version == VERSION and not isinstance(version, bool):
        return ()
    if version == 1 and not isinstance(version, bool):
        if "sliding_window_size" in micro:
            return ("the manifest says version 1 and has the fields of version 2; read as 2",)
        if _FIRST_WINDOW_FIELD in micro:
            raise HostToolError(
                "a manifest of version 1 (first-generation microWakeWord); version 2 is read",
                "for a v2 model, set version to 2 and rename "
                f"{_FIRST_WINDOW_FIELD} to sliding_window_size",
            )
    raise _wrong("version", version, str(VERSION))


def _unusual(cutoff: float, window: int) -> tuple[str, ...]:
    notes = []
    if cutoff >= 1:
        notes.append(f"a probability cutoff of {cutoff:g} can never be exceeded: it never detects")
    elif int(cutoff * 255) == 0:
        notes.append(f"a probability cutoff of {cutoff:g} detects in almost any sound")
    if window > MAX_USUAL_WINDOW:
        notes.append(
            f"a sliding window of {window} probabilities is longer than a wake word; "
            f"published models use 3 to 10, at most {MAX_USUAL_WINDOW} make sense"
        )
    return tuple(notes)
