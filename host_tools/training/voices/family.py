"""What a voice family is: many speakers that say a text, the same samples every time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from host_tools.training.artefact import Artefact

#: Float samples at 16 kHz, full scale 1.0.
Sound = NDArray[np.float32]


@dataclass(frozen=True)
class Utterance:
    """What is to be said."""

    text: str
    #: As espeak-ng writes it, with stress marks and ties.
    ipa: str
    #: What ends it: a full stop, a question mark ...; may be empty.
    ending: str = "."


@dataclass(frozen=True)
class Source:
    """Where voices, or other material of a training run, come from, for the recipe."""

    name: str
    origin: str
    licence: str


class Family(Protocol):
    """Synthetic speakers of one kind."""

    name: str
    #: Whether it says `Utterance.ipa`; else it reads the text in its own accent.
    reads_ipa: bool
    artefacts: tuple[Artefact, ...]
    #: Packages whose version decides what it says, as the registry calls them.
    packages: tuple[str, ...]
    sources: tuple[Source, ...]

    def draw(self, rng: np.random.Generator, is_held_out: bool) -> str:
        """Return a speaker; the same state of `rng` gives the same one.

        One that `is_held_out` has nothing in common with any that is not.
        """

    def accent(self, speaker: str) -> str:
        """Return the accent of English, of `pronunciation.ACCENTS`, that fits the speaker."""

    def say(self, speaker: str, utterance: Utterance, tempo: float) -> Sound:
        """Return what the speaker says, with the silence around it, at a tempo of 0.5 to 2.

        Raises HostToolError when the voice does not work.
        """
