"""Bad wake words are refused in two lines that say why and what would be better."""

import pytest

from host_tools.errors import HostToolError
from host_tools.training import word_checks


@pytest.mark.parametrize(
    "text, message, hint",
    [
        ("", "the word is empty", "give one: earnest train 'hey computer'"),
        ("   ", "the word is empty", "give one: earnest train 'hey computer'"),
        ("hey " * 11, "the word has 44 letters; at most 40", "two words of two syllables"),
        ("agent 7", "'agent 7' has a digit in it", "write the number as a word"),
        ("größe", "'größe' has other characters than English letters", "spell the word as it"),
        ("x\ny", "has other characters than English letters", "spell the word as it sounds"),
        ("[[hey]]", "has other characters than English letters", "spell the word as it sounds"),
        ("extraordinary telecommunication", "is too long: 29 sounds, at most 18", "two words of"),
        (
            "hi",
            "'hi' is too short: 1 syllable and 2 sounds",
            "as in 'hey computer', or add --anyway",
        ),
        ("strengths", "'strengths' is too short: 1 syllable and 7 sounds", "add --anyway"),
        ("Eva", "'Eva' is too short: 2 syllables and 3 sounds", "add --anyway"),
        ("chicken soup", "'chicken soup' is everyday speech, as in 'chicken soup'", "rarer word"),
        ("good morning", "is everyday speech, as in 'good morning'", "or add --anyway"),
    ],
)
def test_a_bad_word_is_refused_with_the_reason_and_the_remedy(text, message, hint):
    with pytest.raises(HostToolError) as refused:
        word_checks.checked(text)
    assert message in refused.value.message and hint in refused.value.hint
    assert "\n" not in refused.value.message + refused.value.hint


def test_an_everyday_word_is_refused_with_what_sounds_like_it():
    with pytest.raises(HostToolError, match="it sounds like .*letter, ") as refused:
        word_checks.checked("the letter")
    assert len(refused.value.message.split("sounds like")[1].split(", ")) == 6


@pytest.mark.parametrize("text", ["hi", "Eva", "chicken soup"])
def test_anyway_takes_what_is_short_or_usual(text):
    assert word_checks.checked(text, is_anyway=True).text == text


@pytest.mark.parametrize("text", ["", "größe", "extraordinary telecommunication"])
def test_anyway_does_not_take_what_cannot_be_said(text):
    with pytest.raises(HostToolError):
        word_checks.checked(text, is_anyway=True)


@pytest.mark.parametrize("text", ["Alexa", "hey earnest", "Hey Computer", "okay nabu", "o'leary"])
def test_good_words_pass(text):
    assert word_checks.checked(text).text == text


def test_another_spelling_is_looked_at_as_the_word_is():
    with pytest.raises(HostToolError, match="digit"):
        word_checks.checked("hey earnest", ["hey 3rnest"])
    assert len(word_checks.checked("hey earnest", ["hay urnist"]).spellings) == 2
