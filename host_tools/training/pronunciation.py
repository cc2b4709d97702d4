"""How a word is said: espeak-ng's IPA in several accents, its phonemes and its syllables.

Phonemes are compared in a coarse alphabet, one letter for each sound of English: what accents say
differently and listeners take for the same, as the vowels of "the", is one letter there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from host_tools.audio import speech
from host_tools.audio.speech_worker import TIE

AMERICAN, BRITISH = "en-us", "en"
#: espeak-ng's accents of English, the plainest first.
ACCENTS = (
    *(AMERICAN, BRITISH, "en-gb-x-rp", "en-gb-scotland"),
    *("en-us-nyc", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd"),
)
_STRESS = "ˈˌ"
#: IPA to the coarse alphabet, the longest first: diphthongs and affricates, then single letters.
_COARSE = (
    *(("eɪ", "A"), ("aɪ", "I"), ("ɔɪ", "Y"), ("aʊ", "W"), ("oʊ", "O"), ("əʊ", "O"), ("ʌʊ", "O")),
    *(("əu", "u"), ("əɪ", "ɜ"), ("dʒ", "J"), ("tʃ", "C"), ("ɜːɹ", "ɜ"), ("ɐ", "ə"), ("ʌ", "ə")),
    *(("ɚ", "ɜ"), ("ɝ", "ɜ"), ("ᵻ", "ɪ"), ("ɒ", "ɑ"), ("ɔ", "ɑ"), ("ɛ", "e"), ("ʉ", "u")),
    *(("a", "æ"), ("r", "ɹ"), ("ɾ", "t"), ("ʔ", "t"), ("ʍ", "w"), ("ɫ", "l"), ("x", "k")),
    *(("ç", "k"), ("ɡ", "g"), ("o", "O")),
)
VOWELS = frozenset("AIYWOæɑəeɜɪiʊu")
CONSONANTS = frozenset("bCdðfghJjklmnŋpɹsʃtθvwzʒ")


@dataclass(frozen=True)
class Word:
    """A wake word and the ways to say it."""

    text: str
    #: IPA with stress marks, as espeak-ng writes it; the plainest first, none twice.
    pronunciations: tuple[str, ...]
    #: Of the plainest pronunciation.
    syllables: int
    phonemes: int
    #: How `pronunciations` were spelled: the text, then what `--say` added.
    spellings: tuple[str, ...] = ()


def word(text: str, say: Sequence[str] = ()) -> Word:
    """Return the word with its pronunciations in every accent; `say` are other spellings of it.

    Raises HostToolError when espeak-ng is missing.
    """
    spellings = tuple(dict.fromkeys(" ".join(each.split()) for each in (text, *say)))
    said: dict[str, None] = {}
    for lines in speech.pronounce_all(spellings, ACCENTS):
        said.update(dict.fromkeys(lines))
    ways = tuple(said)
    sounds = phonemes(ways[0])
    syllables = sum(sound in VOWELS for sound in sounds)
    return Word(spellings[0], ways, syllables, len(sounds), spellings)


def phonemes(ipa: str) -> str:
    """Return the sounds of an IPA text, one letter each, without stress, pauses or words' ends.

    With ties or without, as `plain` leaves it.
    """
    ipa = plain(ipa)
    for letters, coarse in _COARSE:
        ipa = ipa.replace(letters, coarse)
    return "".join(letter for letter in ipa if letter in VOWELS or letter in CONSONANTS)


def plain(ipa: str) -> str:
    """Return IPA without stress marks and ties, for people and for the files of clips."""
    return re.sub(f"[{_STRESS}{re.escape(TIE)}]", "", ipa)
