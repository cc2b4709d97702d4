"""What is said in a scene: the word with what goes before and after it, or anything but the word.

Audio comes out as float32 with a peak of about 1, dry; `scenes` puts it into a room.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np
from numpy.typing import NDArray

from host_tools.training.clips import NEAR, TALK, WORD, Clip
from host_tools.training.rooms import SAMPLE_RATE_HZ, Audio, other_speaker

#: Clips are cut where speech begins and ends: faded, so that no click tells where that is.
FADE_SECONDS = 0.008
#: A scene goes on this long after the word, so that its label fits in.
AFTER_WORD_SECONDS = 0.66
#: Shares of the word scenes: a command follows, somebody was talking.
FOLLOWED, AFTER_TALK = 0.42, 0.2
#: Of a word, at most this much from its beginning, or from its end, is not yet the word.
MOST_OF_BEGINNING, MOST_OF_END = 0.62, 0.5
#: What a scene without the word is made of, and how often.  Parts of the word are few: people
#: swallow syllables, and what has to refuse every part refuses them.
_PIECES = {"talk": 0.6, "near": 0.2, "cut": 0.05, "begun": 0.03, "ended": 0.02, "shuffled": 0.1}
#: Of these, what is not chosen to be near the word.
ALL_PIECES = frozenset(_PIECES)
FLUENT = frozenset({"talk", "shuffled", "own"})
_PARTS_OF_THE_WORD = {"cut", "begun", "ended"}
BETWEEN_PARTS_SECONDS = 0.4


@dataclass
class Utterance:
    """Dry speech, where the word ends in it (the sample after its last), and facts about it."""

    audio: Audio
    word_end: int | None = None
    about: dict[str, object] = field(default_factory=dict)


def faded(audio: Audio, seconds: float = FADE_SECONDS) -> Audio:
    """Return the audio with a short fade at both ends."""
    count = min(int(seconds * SAMPLE_RATE_HZ), len(audio) // 2)
    if count == 0:
        return audio
    ramp = np.linspace(0, 1, count, endpoint=False, dtype=np.float32)
    out = audio.copy()
    out[:count] *= ramp
    out[-count:] *= ramp[::-1]
    return out


def normal(samples: NDArray[np.int16]) -> Audio:
    """Return int16 samples as float32 with a peak of 1, faded."""
    audio = samples.astype(np.float32)
    return faded(audio / np.float32(max(1.0, float(np.abs(audio).max()))))


class Normal(Sequence[Audio]):
    """Pieces as `normal` returns them, made when they are asked for: an hour of talk as float32
    would be 230 MB in every process.
    """

    def __init__(self, pieces: Sequence[NDArray[np.int16]]) -> None:
        self._pieces = pieces

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, index: int) -> Audio: ...
    @overload
    def __getitem__(self, index: slice) -> Normal: ...
    def __getitem__(self, index: int | slice) -> Audio | Normal:
        if isinstance(index, slice):
            return Normal(self._pieces[index])
        return normal(self._pieces[index])


def without_the_word_in_others(clips: Sequence[Clip]) -> list[Clip]:
    """Return the clips without near words and talk that say the word, by text or by phonemes."""
    words = [clip for clip in clips if clip.kind == WORD]
    texts = {_letters(clip.text) for clip in words} - {""}
    ways = {clip.phonemes.replace(" ", "") for clip in words} - {""}
    return [
        clip
        for clip in clips
        if clip.kind == WORD
        or not any(text in _letters(clip.text) for text in texts)
        and not any(way in clip.phonemes.replace(" ", "") for way in ways)
    ]


def _letters(text: str) -> str:
    """The text's letters and digits in small letters: "Hey, You!" as "heyyou"."""
    return "".join(letter for letter in text.lower() if letter.isalnum())


class Utterances:
    """Draws utterances from clips.

    Args:
        clips: every one may be used; each word clip is used equally often.
        own_negatives: what the owner knows not to be the word, as false wakes that were kept.
    """

    def __init__(
        self, clips: Sequence[Clip], own_negatives: Sequence[NDArray[np.int16]] = ()
    ) -> None:
        self._clips = without_the_word_in_others(clips)
        numbers = range(len(self._clips))
        self._words, self._near, self._talk = (
            [number for number in numbers if self._clips[number].kind == kind]
            for kind in (WORD, NEAR, TALK)
        )
        self._by_speaker: dict[str, list[int]] = {}
        for number in self._talk + self._near:
            self._by_speaker.setdefault(self._clips[number].speaker, []).append(number)
        self._own_negatives = list(own_negatives)
        self.talk = Normal([self._clips[number].samples for number in self._talk])
        usable = {TALK: self._talk, NEAR: self._near}
        shares = {
            kind: share
            for kind, share in _PIECES.items()
            if (self._words if kind == "cut" else usable.get(kind, self._talk))
            and (self._words or kind not in ("begun", "ended"))
        }
        if self._own_negatives:
            shares["own"] = 0.25
        self._shares = shares

    @property
    def has_words(self) -> bool:
        return bool(self._words)

    @property
    def has_others(self) -> bool:
        return bool(self._shares)

    def with_word(self, rng: np.random.Generator, number: int, seconds: float) -> Utterance:
        """Return the word of scene `number`: alone, before a command, or after talk."""
        count = int(seconds * SAMPLE_RATE_HZ)
        chosen = self._words[number % len(self._words)]
        clip = self._clips[chosen]
        word, factor = other_speaker(rng, normal(clip.samples))
        latest = count - int(AFTER_WORD_SECONDS * SAMPLE_RATE_HZ) - len(word)
        at = int(
            (rng.uniform(0.5, 2.2) if rng.random() < 0.75 else rng.uniform(0.05, 0.5)) * 16000
        )
        at = max(0, min(at, latest))
        word = word[: count - at]
        audio = np.zeros(count, np.float32)
        audio[at : at + len(word)] = word
        end = at + len(word)
        about = {"kind": WORD, "clip": chosen, "tempo": round(clip.tempo * factor, 3)}
        about |= {"speaker": clip.speaker, "family": clip.family}
        chance = rng.random()
        if chance < FOLLOWED and self._talk:
            gap = rng.uniform(0.0, 0.1) if rng.random() < 0.6 else rng.uniform(0.1, 0.6)
            self._say(rng, audio, end + int(gap * SAMPLE_RATE_HZ), clip.speaker, factor)
            about["followed"] = True
        elif chance < FOLLOWED + AFTER_TALK and self._talk:
            speech = self._said_by(rng, clip.speaker, factor)
            before = at - int(rng.uniform(0.03, 0.6) * SAMPLE_RATE_HZ)
            if before > 0:
                speech = faded(speech[-before:])
                audio[before - len(speech) : before] += speech
                about["after_talk"] = True
        return Utterance(audio, end, about)

    def without_word(
        self, rng: np.random.Generator, seconds: float, kinds: Collection[str] = ALL_PIECES
    ) -> Utterance:
        """Return a sequence of talk, near words and parts of the word, with pauses.

        Args:
            rng: draws everything.
            seconds: how long it is.
            kinds: which pieces may come, `FLUENT` or all; the owner's always do.
        """
        chosen = [kind for kind in self._shares if kind in kinds or kind == "own"]
        shares = np.array([self._shares[kind] for kind in chosen])
        count = int(seconds * SAMPLE_RATE_HZ)
        audio = np.zeros(count, np.float32)
        at = int(rng.uniform(0, 0.6) * SAMPLE_RATE_HZ)
        parts: list[str] = []
        while at < count:
            kind = str(rng.choice(chosen, p=shares / shares.sum()))
            if parts and {kind, parts[-1]} <= _PARTS_OF_THE_WORD:  # two may be the whole word
                at += int(BETWEEN_PARTS_SECONDS * SAMPLE_RATE_HZ)
            piece = self._piece(rng, kind)
            piece = piece[: max(0, count - at)] * np.float32(rng.uniform(0.5, 1))
            audio[at : at + len(piece)] += piece
            at += len(piece) + int(rng.uniform(0.02, 0.9) ** 2 * SAMPLE_RATE_HZ)
            parts.append(kind)
        return Utterance(audio, None, {"kind": "other", "parts": parts})

    def _piece(self, rng: np.random.Generator, kind: str) -> Audio:
        if kind == "own":
            return normal(self._own_negatives[rng.integers(len(self._own_negatives))])
        if kind == "cut":
            return self._begun(rng) if rng.random() < 0.6 else self._ended(rng)
        if kind == "shuffled":
            return self._shuffled(rng)
        clip = self._any(rng, self._near if kind == "near" else self._talk)
        speech = other_speaker(rng, normal(clip.samples))[0]
        if kind == "begun":  # "Ale-" and then something else at once
            return np.concatenate([self._begun(rng), faded(speech[: int(rng.uniform(3e3, 3e4))])])
        if kind == "ended":
            return np.concatenate([faded(speech[: int(rng.uniform(3e3, 3e4))]), self._ended(rng)])
        return speech

    def _begun(self, rng: np.random.Generator) -> Audio:
        word = other_speaker(rng, normal(self._any(rng, self._words).samples))[0]
        return faded(word[: int(len(word) * rng.uniform(0.2, MOST_OF_BEGINNING))])

    def _ended(self, rng: np.random.Generator) -> Audio:
        word = other_speaker(rng, normal(self._any(rng, self._words).samples))[0]
        return faded(word[-int(len(word) * rng.uniform(0.15, MOST_OF_END)) :])

    def _shuffled(self, rng: np.random.Generator) -> Audio:
        """Talk cut into syllable-long grains in another order: sounds next to each other that no
        sentence has."""
        speech = other_speaker(rng, normal(self._any(rng, self._talk).samples))[0]
        grains = np.array_split(speech, max(1, round(len(speech) / rng.uniform(1600, 6400))))
        return np.concatenate([faded(grains[i]) for i in rng.permutation(len(grains))])

    def _any(self, rng: np.random.Generator, numbers: list[int]) -> Clip:
        return self._clips[numbers[rng.integers(len(numbers))]]

    def _said_by(self, rng: np.random.Generator, speaker: str, factor: float) -> Audio:
        """Talk of the same speaker, of another one where there is none."""
        same = self._by_speaker.get(speaker, [])
        clip = self._any(rng, same or self._talk)
        audio = normal(clip.samples) * np.float32(rng.uniform(0.5, 1))
        return other_speaker(rng, audio, factor)[0]

    def _say(
        self, rng: np.random.Generator, audio: Audio, at: int, speaker: str, factor: float
    ) -> None:
        speech = self._said_by(rng, speaker, factor)[: max(0, len(audio) - at)]
        audio[at : at + len(speech)] += speech
