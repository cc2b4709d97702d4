"""Fluent sentences for the negatives: what is said in a home all day, and never the wake word.

A small grammar makes them: patterns with slots, slots with lists of words.  Every fifth sentence
strings words of the dictionary together, so that all sounds of English come in all neighbourhoods.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

_SLOTS = {
    "who": "my sister|the neighbour|our teacher|his uncle|Anna|Michael|the doctor|your cousin|"
    "the plumber|Sarah|old Mr Collins|the new manager|Jessica|grandma|a friend of mine|Oliver|"
    "the children|everybody|nobody|the boy next door|Rebecca|Thomas|the postman|my boss",
    "thing": "the blue jacket|a box of matches|the bicycle|two loaves of bread|the remote control|"
    "an old guitar|the newspaper|my glasses|the washing machine|a cup of coffee|the extra key|"
    "a yellow umbrella|the electric kettle|the laptop|a bag of oranges|the garden hose|the letter|"
    "a bottle of milk|the exercise book|six eggs|the vacuum cleaner|a wooden chair|the tickets",
    "place": "in the kitchen|at the office|behind the house|on the other side of town|upstairs|"
    "near the station|in Chicago|next to the library|at the market|under the table|by the lake|"
    "in the back of the car|at the airport|across the street|in London|on the balcony|at school",
    "when": "yesterday|on Tuesday|last night|in the morning|after dinner|at half past seven|"
    "two weeks ago|every single day|before the election|around noon|next month|at the weekend|"
    "during the holidays|in nineteen eighty six|a moment ago|later this evening|on the first of "
    "May",
    "did": "forgot|bought|found|wanted to sell|dropped|was looking for|repaired|took|left|"
    "could not find|asked about|paid for|borrowed|put down|complained about|was talking about",
    "how": "quickly|by mistake|for no reason|without saying a word|as usual|at last|of course|"
    "with a smile|for the second time|all alone|very carefully|in the end|reluctantly|anyway",
    "feel": "tired|extremely happy|a little worried|not so sure|relaxed|hungry|annoyed|excited|"
    "surprised|much better|sick of it|proud|perfectly fine|rather nervous|quite lucky",
    "topic": "the weather|football|the price of petrol|that film|the new album|politics|her exam|"
    "the election|taxes|his back pain|the recipe|their wedding|the traffic|climate change|"
    "the hospital|an article about space|the stock market|the neighbour's cat|chess|the elections",
    "clause": "it has been raining all week|the train was late again|I have a headache|"
    "we are running out of time|they changed the rules|the shop closes at six|dinner is ready|"
    "it is far too expensive|the battery is empty|somebody left the door open|it made no sense|"
    "the kids are asleep|the lights went out|she is allergic to nuts|he never answers the phone|"
    "the lecture was excellent|there is a leak in the roof|nothing works the way it should",
    "number": "three|eleven|forty two|a hundred and five|sixteen|two thousand|seven and a half|"
    "ninety nine|a dozen|twenty eight|six hundred|one|five|about thirty|fourteen",
    "food": "pasta|chicken soup|rice and beans|a cheese sandwich|apple pie|fried eggs|salad|"
    "chocolate|lentils|fish and chips|pancakes|mashed potatoes|yogurt|an omelette",
    "start": "well|you know|honestly|look|actually|listen|so|right|okay|hey|hmm|oh|yes|no|"
    "and then|by the way|anyway|to be fair|let me see|excuse me|alright",
    "verb": "remember|call|visit|ask|tell|thank|invite|wait for|write to|listen to|forget|trust",
}
_PATTERNS = (
    "{who} {did} {thing} {place} {when}",
    "{start}, {who} {did} {thing} {how}",
    "{when} {who} {did} {thing}, because {clause}",
    "did you {verb} {who}, or was that {when}",
    "I think {clause}, but {who} says that {clause}",
    "we had {food} and {food} {place}, and then {clause}",
    "{start}, can you pass me {thing}, please",
    "how much is {thing}, is it {number} or {number}",
    "she was {feel} when {who} {did} {thing}",
    "they kept talking about {topic} and {topic} {when}",
    "if {clause}, we should {verb} {who} {when}",
    "{number} people were waiting {place}, all of them {feel}",
    "what do you think about {topic}, {start}, I mean {topic}",
    "nobody knows why {who} {did} {thing} {how}",
    "the news said that {clause} {place}",
    "you have to mix {number} grams of flour with {food}",
    "please {verb} {who} {when}, {clause}",
    "I am {feel}, because {clause}",
    "{start}, turn left {place} and walk for {number} minutes",
    "no, that is not {thing}, that is {thing}",
    "it costs {number} dollars and {number} cents {place}",
    "have you ever tried {food} with {food}",
    "at {number} o'clock {who} {did} {thing} {place}, {how}",
    "{who} said, {start}, {clause}, and that was all about {topic}",
)
_DICTIONARY_SHARE = 0.2
_STRINGS = (
    "{w} and {w}, {w} or {w}, and also {w}",
    "they spoke of {w}, {w} and {w} {when}",
    "the {w} is a {w}, not a {w}",
    "next on the list, {w}, {w}, {w}, {w}",
    "{who} read aloud, {w} {w} {w}",
)
_ENDINGS = (".", ".", ".", "?", "!")


def sentence(rng: np.random.Generator, words: Sequence[str] = ()) -> tuple[str, str]:
    """Return a sentence and what ends it; the same state of `rng` gives the same one.

    Args:
        rng: where the choices come from.
        words: of a dictionary, in order; without them every sentence is of the grammar.
    """
    takes_words = bool(words) and rng.random() < _DICTIONARY_SHARE
    patterns = _STRINGS if takes_words else _PATTERNS
    pattern = patterns[int(rng.integers(len(patterns)))]

    def fill(slot: re.Match[str]) -> str:
        if slot[1] == "w":
            return words[int(rng.integers(len(words)))]
        choices = _SLOTS[slot[1]].split("|")
        return choices[int(rng.integers(len(choices)))]

    text = re.sub(r"\{(\w+)\}", fill, pattern)
    return text[0].upper() + text[1:], _ENDINGS[int(rng.integers(len(_ENDINGS)))]


def texts() -> list[str]:
    """Everything that the grammar can put in a slot, and its patterns: for a look at all of it."""
    return [each for slot in _SLOTS.values() for each in slot.split("|")] + list(_PATTERNS)
