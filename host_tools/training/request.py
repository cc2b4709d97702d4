"""What is asked of a training run, and the name under which its word will be found."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from firmware.wakeword.model_format import MAX_NAME_BYTES
from host_tools.errors import HostToolError
from host_tools.models.catalog import known_models

KOKORO, ESPEAK = "kokoro", "espeak"
VOICES = (KOKORO, ESPEAK)
#: Minutes of computing, all cores together.
DEFAULT_MINUTES, MIN_MINUTES, MAX_MINUTES = 60, 1, 6000
MAX_FILE_NAME = 32


@dataclass(frozen=True)
class Request:
    """One training run.  What has no part in the result (workers, folders) is not in here."""

    text: str
    say: tuple[str, ...] = ()
    seed: int = 0
    minutes: int = DEFAULT_MINUTES
    voices: str = KOKORO
    #: The user's own recordings without the word, and music; empty: none.
    negatives: tuple[Path, ...] = ()
    music: tuple[Path, ...] = ()
    #: The receiver's folder, for its kept false wakes; None: not wanted.
    false_wakes: Path | None = None
    #: Learn from the household's recordings (`--hear`), too.
    fine_tune: bool = False

    @property
    def name(self) -> str:
        """The name of the model: `hey_computer`; never that of a model that comes with Earnest."""
        plain = re.sub(r"[^a-z0-9]+", "_", self.text.lower()).strip("_")
        shortened = plain[:MAX_FILE_NAME].rstrip("_")
        return f"my_{shortened}"[:MAX_FILE_NAME] if shortened in known_models() else shortened

    @property
    def word(self) -> str:
        """The wake word as the manifest has it."""
        return self.text[:1].upper() + self.text[1:]

    def as_json(self) -> dict[str, Any]:
        """What the recipe says of it: no path of this computer."""
        return {
            "word": self.text,
            "say": list(self.say),
            "seed": self.seed,
            "minutes": self.minutes,
            "voices": self.voices,
            "with_own_negatives": bool(self.negatives),
            "with_own_music": bool(self.music),
            "with_false_wakes": self.false_wakes is not None,
            "fine_tuned": self.fine_tune,
        }


def check(request: Request) -> None:
    """Raise HostToolError for a text that cannot be a wake word at all."""
    text = request.text
    if not request.name:
        raise HostToolError(
            f"{text!r} has no letter of English in it", "give a word: earnest train 'hey computer'"
        )
    if not text.isprintable() or len(text.encode()) > MAX_NAME_BYTES or text != text.strip():
        raise HostToolError(
            f"{text!r} cannot be a wake word",
            f"one line of at most {MAX_NAME_BYTES} letters, without spaces around it",
        )
