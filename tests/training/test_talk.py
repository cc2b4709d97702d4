"""The talk of the negatives: many different sentences, the same ones from the same seed."""

import re

import numpy as np

from host_tools.training import talk


def sentences(count, words=(), seed=0):
    rng = np.random.default_rng(seed)
    return [talk.sentence(rng, words) for _ in range(count)]


def test_the_same_seed_says_the_same_and_seldom_twice():
    said = sentences(300)
    assert said == sentences(300) != sentences(300, seed=1)
    assert len({text for text, _ in said}) > 290


def test_a_sentence_is_whole():
    for text, ending in sentences(300, ["abacus", "zebra"]):
        assert text[0].isupper() and ending in ".?!" and ending
        assert re.fullmatch(r"[A-Za-z' ,]+", text), text
        assert 3 <= len(text.split()) <= 40


def test_a_part_of_them_strings_words_of_the_dictionary_together():
    strings = [text for text, _ in sentences(500, ["abacus", "zebra"]) if "zebra" in text.lower()]
    assert 40 < len(strings) < 160
    assert not any("zebra" in text.lower() for text, _ in sentences(500))
