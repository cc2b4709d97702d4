"""Near words are near and never the word; a sentence that says the word is found out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from host_tools.audio import speech
from host_tools.training import near_words
from host_tools.training.pronunciation import CONSONANTS, VOWELS, phonemes, word

DICTIONARY = near_words.read_dictionary(
    """elixir IH0 L IH1 K S ER0
elector IH0 L EH1 K T ER0 # a comment
alexa AH0 L EH1 K S AH0
alexa's AH0 L EH1 K S AH0 Z
alexas AH0 L EH1 K S AH0 Z
lexus L EH1 K S AH0 S
lexus(2) L EH1 K S IH0 S
banana B AH0 N AE1 N AH0
honest AA1 N AH0 S T
furnace F ER1 N AH0 S
hay HH EY1
hay(2) HH EY1
they DH EY1
"""
)
SOUNDS = st.text(sorted(VOWELS | CONSONANTS), max_size=7)


def slow_distance(a, b):
    """The definition, without a table."""
    if not a or not b:
        return len(a) + len(b)
    return min(
        slow_distance(a[1:], b) + 1,
        slow_distance(a, b[1:]) + 1,
        slow_distance(a[1:], b[1:]) + near_words.cost(a[0], b[0]),
    )


@given(SOUNDS.filter(lambda text: len(text) < 5), SOUNDS.filter(lambda text: len(text) < 5))
def test_the_distance_is_the_least_cost(a, b):
    assert near_words.distance(a, b) == slow_distance(a, b) == near_words.distance(b, a)


@settings(max_examples=30)
@given(SOUNDS.filter(bool), st.text(sorted(VOWELS | CONSONANTS), max_size=12))
def test_a_word_is_looked_for_in_every_part_of_a_sentence(way, heard):
    parts = [heard[i:j] for i in range(len(heard) + 1) for j in range(i, len(heard) + 1)]
    least = min(near_words.distance(way, part) for part in parts)
    assert near_words._least_within(way, heard) == least


@pytest.mark.parametrize(
    "a, b, cost", [("a", "a", 0), ("æ", "e", 0.5), ("b", "p", 0.5), ("b", "s", 1), ("b", "æ", 1)]
)
def test_vowels_and_neighbours_cost_half(a, b, cost):
    assert near_words.cost(a, b) == near_words.cost(b, a) == cost


def test_the_dictionary_is_read_with_all_pronunciations_and_without_apostrophes():
    assert DICTIONARY["lexus"] == ("leksəs", "leksɪs") and DICTIONARY["elector"] == ("ɪlektɜ",)
    assert "alexa's" not in DICTIONARY


def test_near_words_come_nearest_first_and_are_not_the_word():
    near = near_words.nearest(word("Alexa"), DICTIONARY, 3)
    assert [each.text for each in near] == ["elixir", "elector", "lexus"]
    assert [each.distance for each in near] == [1.5, 2.0, 2.0]


def test_a_phrase_is_replaced_in_part_and_whole():
    texts = {near.text for near in near_words.nearest(word("hey earnest"), DICTIONARY, 30)}
    assert {"hey furnace", "hey lexus", "furnace earnest"} <= texts
    parts = [text.split() for text in texts if " " in text]
    assert any(first != "hey" and second != "earnest" for first, second in parts)
    assert not texts & {"hey earnest", "hay earnest", "they earnest", "hay honest"}


@pytest.mark.parametrize(
    "text, is_said",
    [
        ("I asked alexa, and she knew", True),
        ("this is a lexer for Python", True),  # the same sounds, other words
        ("the elixir of life", False),
        ("a lecture", False),
        ("", False),
    ],
)
def test_a_sentence_that_says_the_word_is_found_by_text_and_by_sound(text, is_said):
    (ipa,) = speech.pronounce([text])
    assert near_words.said_in(word("Alexa"), text, ipa) is is_said
    assert near_words.said_in(word("Alexa"), "", ipa) is (is_said and bool(phonemes(ipa)))


def test_another_spelling_is_the_word_too():
    spelled = word("hey ernest", ["hay urnist"])
    assert near_words.said_in(spelled, "he said Hay, Urnist!", "")
    assert not near_words.said_in(spelled, "he said hay furnace", "")
