"""Refuses what makes a bad wake word, before anything is downloaded or made."""

from __future__ import annotations

import re
from collections.abc import Sequence

from host_tools.audio import speech
from host_tools.errors import HostToolError
from host_tools.training import near_words, talk, word_list
from host_tools.training.pronunciation import Word, phonemes, word

MIN_SYLLABLES, MIN_PHONEMES = 2, 4
#: The network hears 1.5 s, and a slow speaker says so many sounds in that.
MAX_PHONEMES = 18
MAX_LETTERS = 40
_SHOWN = 6
#: Said in every home, beside what the talk of the training is made of.
_EVERYDAY = (
    *(
        "hello",
        "good morning",
        "good evening",
        "good night",
        "goodbye",
        "see you later",
        "come on",
    ),
    *("thank you", "thanks a lot", "you're welcome", "excuse me", "I'm sorry", "no problem"),
    *("how are you", "what's up", "bless you", "I love you", "let's go", "over here", "hurry up"),
    *(
        "what happened",
        "who is it",
        "be careful",
        "dinner's ready",
        "really",
        "maybe",
        "never mind",
    ),
    *("baby", "mommy", "daddy", "mother", "father", "sister", "brother", "darling", "honey"),
    *("computer", "telephone", "television", "radio", "music", "kitchen", "water", "coffee"),
    *("today", "tomorrow", "yesterday", "again", "always", "because", "something", "everything"),
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "birthday"),
)
_ANYWAY = "or add --anyway"
#: What calls somebody; a name follows, and nobody says two of these.
_CALLS = ("hey", "hi", "ok", "okay", "oh", "yo")


def checked(text: str, say: Sequence[str] = (), *, is_anyway: bool = False) -> Word:
    """Return the word with its pronunciations.

    Args:
        text: the wake word in English letters.
        say: other spellings of how it is said.
        is_anyway: take a word that is too short, or that people say all day.

    Raises:
        HostToolError: it is no wake word, or a bad one; the hint says what would be better.
    """
    for each in (text, *say):
        _check_letters(each)
    found = word(text, say)
    if found.phonemes > MAX_PHONEMES:
        raise HostToolError(
            f"{found.text!r} is too long: {found.phonemes} sounds, at most {MAX_PHONEMES}",
            "two words of two syllables are best, as in 'hey computer'",
        )
    if not found.phonemes:
        raise HostToolError(f"{found.text!r} has no sound in it", "give a word of English")
    if is_anyway:
        return found
    if found.syllables < MIN_SYLLABLES or found.phonemes < MIN_PHONEMES:
        raise HostToolError(
            f"{found.text!r} is too short: {_count(found.syllables, 'syllable')} and "
            f"{_count(found.phonemes, 'sound')}; talk and noise would fire it all day",
            f"put {_longer(found.text)}, {_ANYWAY}",
        )
    if phrase := everyday(found):
        raise HostToolError(
            f"{found.text!r} is everyday speech, as in {phrase!r}; "
            f"it sounds like {', '.join(near(found))}",
            f"take a rarer word, put a name before it, {_ANYWAY}",
        )
    return found


def everyday(found: Word) -> str:
    """Return an everyday phrase in which the word is said, or an empty text."""
    phrases = [*_EVERYDAY, *(each for each in talk.texts() if "{" not in each)]
    for phrase, ipa in zip(phrases, speech.pronounce(phrases), strict=True):
        if near_words.said_in(found, phrase, ipa):
            return phrase
    return ""


def near(found: Word) -> list[str]:
    """Return the everyday words and phrases that sound most like the word."""
    return [each.text for each in near_words.nearest(found, word_list.small(), _SHOWN)]


def _longer(text: str) -> str:
    if text.lower().split()[0] in _CALLS:
        return "a name after it, as in 'hey computer'"
    return f"a word before it, as in 'hey {text}'"


def _check_letters(text: str) -> None:
    if not text.strip():
        raise HostToolError("the word is empty", "give one: earnest train 'hey computer'")
    if len(text) > MAX_LETTERS:
        raise HostToolError(
            f"the word has {len(text)} letters; at most {MAX_LETTERS}",
            "two words of two syllables are best, as in 'hey computer'",
        )
    if re.search(r"\d", text):
        raise HostToolError(f"{text!r} has a digit in it", "write the number as a word: 'five'")
    if not re.fullmatch(r"[A-Za-z][A-Za-z' .-]*", text.strip()) or not phonemes(text.lower()):
        raise HostToolError(
            f"{text!r} has other characters than English letters",
            "the voices speak English: spell the word as it sounds in English",
        )


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"
