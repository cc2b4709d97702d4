"""Words that sound like the wake word, and whether it is said somewhere in a sentence.

The words come from the CMU pronouncing dictionary, which has their phonemes.  The distance of two
sequences of phonemes is the least cost of turning one into the other: 1 for a sound that is put
in, left out or replaced, and half for a vowel by a vowel or a consonant by its neighbour.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from host_tools.training.pronunciation import CONSONANTS, VOWELS, Word, phonemes
from host_tools.training.pronunciation import word as pronounced

#: Closer than this is the word itself, said carelessly, and no negative.
SAME_WORD = 1.0
#: Consonants that differ in voice alone, or that are easily taken for each other.
_NEIGHBOURS = frozenset(
    frozenset(pair) for pair in "bp dt gk vf zs ʒʃ JC ðθ mn nŋ lɹ wv sθ ʃs fθ zð".split()
)
#: The letters of the dictionary in the coarse alphabet of `pronunciation`.
_ARPABET = {
    **{"AA": "ɑ", "AE": "æ", "AH": "ə", "AO": "ɑ", "AW": "W", "AY": "I", "B": "b", "CH": "C"},
    **{"D": "d", "DH": "ð", "EH": "e", "ER": "ɜ", "EY": "A", "F": "f", "G": "g", "HH": "h"},
    **{"IH": "ɪ", "IY": "i", "JH": "J", "K": "k", "L": "l", "M": "m", "N": "n", "NG": "ŋ"},
    **{"OW": "O", "OY": "Y", "P": "p", "R": "ɹ", "S": "s", "SH": "ʃ", "T": "t", "TH": "θ"},
    **{"UH": "ʊ", "UW": "u", "V": "v", "W": "w", "Y": "j", "Z": "z", "ZH": "ʒ"},
}
_MAX_LENGTH_APART = 3


@dataclass(frozen=True)
class Near:
    """Words that sound like the wake word."""

    text: str
    distance: float


def cost(a: str, b: str) -> float:
    """What it costs to say sound `b` for sound `a`: 0, 0.5 or 1."""
    if a == b:
        return 0.0
    both_vowels = a in VOWELS and b in VOWELS
    return 0.5 if both_vowels or frozenset(a + b) in _NEIGHBOURS else 1.0


_SOUNDS = sorted(VOWELS | CONSONANTS)
_NUMBERS = {sound: number for number, sound in enumerate(_SOUNDS)}
_COSTS = np.array([[cost(a, b) for b in _SOUNDS] for a in _SOUNDS])


def distance(a: str, b: str) -> float:
    """Return the distance of two sequences of phonemes, 0 when they are the same."""
    return float(_distances(a, [b])[0])


def said_in(word: Word, text: str, ipa: str) -> bool:
    """Whether the word is said in a sentence: spelled in its text, or heard in its phonemes."""
    letters = _letters(text)
    if any(f" {_letters(way)} " in f" {letters} " for way in (word.text, *word.spellings)):
        return True
    heard = phonemes(ipa)
    for way in {phonemes(each) for each in word.pronunciations}:
        if way in heard or _least_within(way, heard) < SAME_WORD:
            return True
    return False


def read_dictionary(text: str) -> dict[str, tuple[str, ...]]:
    """Return word -> its pronunciations in coarse phonemes, of the CMU dictionary's text."""
    words: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        head, *sounds = line.partition("#")[0].split()
        name = re.sub(r"\(\d+\)$", "", head)
        if re.fullmatch(r"[a-z]{2,14}", name):
            said = "".join(_ARPABET[sound.rstrip("012")] for sound in sounds)
            words[name] = (*words.get(name, ()), said)
    return words


def nearest(word: Word, dictionary: dict[str, tuple[str, ...]], count: int) -> list[Near]:
    """Return the `count` nearest words and phrases that are not the word, nearest first.

    A wake word of several words gets phrases in which one of them, or each, is replaced.
    """
    found = _ranked(word, list(dictionary), dictionary, 2 * count + 100)
    parts = word.text.split()
    if len(parts) > 1:
        found = found[:count] + _phrases(parts, dictionary, count)
    best: dict[str, float] = {}
    for near in found:
        best[near.text] = min(near.distance, best.get(near.text, near.distance))
    ranked = sorted((Near(text, far) for text, far in best.items()), key=_rank)
    return [near for near in ranked if near.distance > SAME_WORD][:count]


def _rank(near: Near) -> tuple[float, str]:
    return near.distance, near.text


def _mixed_rank(near: Near) -> tuple[float, bytes]:
    """As `_rank`, but words of one distance are not in the order of the alphabet."""
    return near.distance, hashlib.sha256(near.text.encode()).digest()


def _ranked(
    word: Word, names: Sequence[str], dictionary: dict[str, tuple[str, ...]], count: int
) -> list[Near]:
    """The nearest of these names, by their nearest pronunciation, those that spell it left out."""
    spelled = {_letters(way) for way in (word.text, *word.spellings)}
    told = [(name, said) for name in names for said in dictionary[name] if name not in spelled]
    best: dict[str, float] = {}
    for way in sorted({phonemes(each) for each in word.pronunciations}):
        near = [each for each in told if abs(len(each[1]) - len(way)) <= _MAX_LENGTH_APART]
        for (name, _), far in zip(near, _distances(way, [s for _, s in near]), strict=True):
            best[name] = min(float(far), best.get(name, float(far)))
    return sorted((Near(name, far) for name, far in best.items()), key=_rank)[:count]


def _phrases(parts: list[str], dictionary: dict[str, tuple[str, ...]], count: int) -> list[Near]:
    """Phrases like the word, with near words in the places of its parts.

    Half of a large `count` replaces one part, the other half every part; a replacement comes
    in a few phrases only, so that none crowds out the others.
    """
    choices = [_replacements(pronounced(part), dictionary, count) for part in parts]
    found = []
    for place in range(len(parts)):
        for near in choices[place][: count // (2 * len(parts))]:
            text = " ".join(parts[:place] + [near.text] + parts[place + 1 :])
            found.append(Near(text, near.distance))
    for turn in range(count // 2 if all(choices) else 0):
        chosen = [each[(turn * (7 * place + 1)) % len(each)] for place, each in enumerate(choices)]
        text = " ".join(near.text for near in chosen)
        found.append(Near(text, sum(near.distance for near in chosen)))
    return found


def _replacements(part: Word, dictionary: dict[str, tuple[str, ...]], count: int) -> list[Near]:
    """Words near to a part, one of those that sound the same, none that sounds like it."""
    kept: dict[tuple[str, ...], Near] = {}
    ranked = _ranked(part, list(dictionary), dictionary, len(dictionary))
    for near in sorted(ranked, key=_mixed_rank):
        if near.distance > SAME_WORD:
            kept.setdefault(dictionary[near.text][:1], near)
    return list(kept.values())[:count]


def _letters(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9']+", text.lower()))


def _distances(a: str, many: Sequence[str]) -> NDArray[np.float64]:
    """The distance of `a` to each of many sequences, those of one length at a time."""
    result = np.zeros(len(many))
    by_length: dict[int, list[int]] = {}
    for index, each in enumerate(many):
        by_length.setdefault(len(each), []).append(index)
    for length, indexes in by_length.items():
        sounds = np.array([[_NUMBERS[each] for each in many[index]] for index in indexes], int)
        sounds = sounds.reshape(len(indexes), length)
        row = np.arange(length + 1.0) * np.ones((len(indexes), 1))
        for i, sound in enumerate(a, 1):
            before, row = row, np.full_like(row, float(i))
            replacing = _COSTS[_NUMBERS[sound]][sounds]
            for j in range(1, length + 1):
                moved = np.minimum(before[:, j], row[:, j - 1]) + 1
                row[:, j] = np.minimum(moved, before[:, j - 1] + replacing[:, j - 1])
        result[indexes] = row[:, -1]
    return result


def _least_within(way: str, heard: str) -> float:
    """The least distance of `way` to any part of `heard`."""
    sounds = [_NUMBERS[sound] for sound in heard]
    places = np.arange(len(heard) + 1.0)
    row = np.zeros(len(heard) + 1)
    for i, sound in enumerate(way, 1):
        replaced = row[:-1] + _COSTS[_NUMBERS[sound]][sounds]
        best = np.concatenate([[i], np.minimum(row[1:] + 1, replaced)])
        # The least of `best` at any place before, and 1 for each sound from there to here.
        row = np.minimum.accumulate(best - places) + places
    return float(row.min())
