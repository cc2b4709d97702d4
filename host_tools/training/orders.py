"""Decides every clip of a run before any is made: what is said, by whom, how fast.

A clip is decided by its kind and number alone, never by how many there are or by who makes it:
`np.random.default_rng([seed, kind, number, attempt])`.  The talk does not depend on the wake word,
so that another word can use its clips.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from host_tools.audio import speech as espeak
from host_tools.training import talk
from host_tools.training.clips import KINDS, NEAR, WORD
from host_tools.training.pronunciation import Word
from host_tools.training.voices.family import Family

#: Of so many clips the last is said by a speaker that training never sees.
HELD_OUT_EVERY = 10
MIN_TEMPO, MAX_TEMPO = 0.72, 1.35
_ENDINGS = (".", ".", "!", "?", ",", "")
_ANY_ACCENT_SHARE = 0.5


@dataclass(frozen=True)
class Texts:
    """What may be said: chosen once, for all clips of a run."""

    word: Word
    #: Words and phrases that sound like the word, the nearest first.
    near: tuple[str, ...]
    #: The words of the dictionary, for the talk; may be empty.
    dictionary: tuple[str, ...] = ()


@dataclass(frozen=True)
class Order:
    """One clip that is to be made."""

    kind: str
    number: int
    attempt: int
    family: str
    speaker: str
    accent: str
    text: str
    #: How it is said, as espeak-ng writes it; empty until `pronounced` fills it in.
    ipa: str
    ending: str
    tempo: float
    is_held_out: bool


def draw(
    kind: str,
    number: int,
    texts: Texts,
    families: Sequence[Family],
    second_share: float,
    seed: int,
) -> Order:
    """Decide one clip.

    Args:
        kind: of `clips.KINDS`.
        number: of the clip among those of its kind.
        texts: what may be said.
        families: the first says most, the second `second_share` of the clips.
        second_share: 0 to 1.
        seed: of the whole run.
    """
    rng = np.random.default_rng([seed, KINDS.index(kind), number, 0])
    is_held_out = number % HELD_OUT_EVERY == HELD_OUT_EVERY - 1
    is_second = rng.random() < second_share and len(families) > 1 and not is_held_out
    family = families[1 if is_second else 0]
    speaker = family.draw(rng, is_held_out)
    tempo = round(float(rng.uniform(MIN_TEMPO, MAX_TEMPO)), 2)
    ending = _ENDINGS[int(rng.integers(len(_ENDINGS)))]
    ipa = ""
    if kind == WORD:
        text = _one(rng, texts.word.spellings)
        way = _one(rng, texts.word.pronunciations)
        if rng.random() < _ANY_ACCENT_SHARE and family.reads_ipa:
            ipa = way
    elif kind == NEAR:
        text = texts.near[number % len(texts.near)]
    else:
        text, ending = talk.sentence(rng, texts.dictionary)
    return Order(
        kind, number, 0, family.name, speaker, family.accent(speaker), text, ipa, ending,
        tempo, is_held_out,
    )  # fmt: skip


def again(order: Order, families: Sequence[Family], seed: int) -> Order:
    """Decide anew who says it and how fast, for a clip that did not come out."""
    attempt = order.attempt + 1
    rng = np.random.default_rng([seed, KINDS.index(order.kind), order.number, attempt])
    family = next(each for each in families if each.name == order.family)
    speaker = family.draw(rng, order.is_held_out)
    fresh = dataclasses.replace(
        order,
        attempt=attempt,
        speaker=speaker,
        accent=family.accent(speaker),
        ipa="",
        tempo=round(float(rng.uniform(MIN_TEMPO, MAX_TEMPO)), 2),
    )
    return pronounced([fresh])[0]


def pronounced(orders: Sequence[Order]) -> list[Order]:
    """Return the orders with their IPA; raises HostToolError when espeak-ng does not work."""
    wanted: dict[str, dict[str, str]] = {}
    for order in orders:
        if not order.ipa:
            wanted.setdefault(order.accent, {})[order.text] = ""
    for accent, said in wanted.items():
        said.update(zip(said, espeak.pronounce(list(said), accent), strict=True))
    return [
        order if order.ipa else dataclasses.replace(order, ipa=wanted[order.accent][order.text])
        for order in orders
    ]


def digest(orders: Sequence[Order]) -> str:
    """Return the SHA-256 over all that the orders say."""
    told = json.dumps([dataclasses.astuple(order) for order in orders])
    return hashlib.sha256(told.encode()).hexdigest()


def interleaved(orders: Mapping[str, Sequence[Order]]) -> list[tuple[str, Order]]:
    """Return all orders of several lists, each list's spread evenly, so that a part has of all."""
    placed = [
        ((place + 0.5) / len(each), name, order)
        for name, each in orders.items()
        for place, order in enumerate(each)
    ]
    return [(name, order) for _, name, order in sorted(placed, key=lambda each: each[:2])]


def _one(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]
