"""How a word is said: accents, other spellings, its sounds and syllables."""

import pytest

from host_tools.training import pronunciation
from host_tools.training.pronunciation import phonemes, plain, word


def test_a_word_comes_in_every_accent_once_the_plainest_first():
    alexa = word("  Alexa ")
    assert alexa.text == "Alexa" and alexa.spellings == ("Alexa",)
    assert alexa.pronunciations[0] == "ɐlˈɛksə" and "ɐlˈɛksɐ" in alexa.pronunciations
    assert len(set(alexa.pronunciations)) == len(alexa.pronunciations) > 2
    assert (alexa.syllables, alexa.phonemes) == (3, 6)


def test_other_spellings_add_pronunciations_behind_those_of_the_text():
    spelled = word("hey ernest", ["hay urnest", "hey ernest"])
    assert spelled.spellings == ("hey ernest", "hay urnest")
    alone = word("hey ernest")
    assert spelled.pronunciations[0] == alone.pronunciations[0]
    added = word("Alexa", ["a lexus"])
    assert set(added.pronunciations) - set(word("Alexa").pronunciations)


@pytest.mark.parametrize(
    "text, syllables, sounds",
    [("hi", 1, 2), ("hey computer", 4, 10), ("okay nabu", 4, 7), ("strengths", 1, 7)],
)
def test_sounds_and_syllables_are_counted(text, syllables, sounds):
    counted = word(text)
    assert (counted.syllables, counted.phonemes) == (syllables, sounds)


def test_sounds_are_the_same_with_ties_and_stress_and_without():
    ipa = "ðə^ʊ hˈe^ɪ kəmpjˈuːɾɚ d^ʒˈʌd^ʒ"
    assert plain(ipa) == "ðəʊ heɪ kəmpjuːɾɚ dʒʌdʒ"
    assert phonemes(ipa) == phonemes(plain(ipa)) == "ðOhAkəmpjutɜJəJ"


def test_every_sound_that_espeak_writes_is_known():
    """What is neither vowel nor consonant is dropped; no letter of any sentence may be."""
    from host_tools.audio import speech
    from host_tools.training import talk

    texts = [text for text in talk.texts() if "{" not in text]
    texts += ["a button", "a whale", "the loch", "a genre", "the little bottle", "Größe"]
    for accent in pronunciation.ACCENTS:
        written = set("".join(map(plain, speech.pronounce(texts, accent))))
        lost = {letter for letter in written if letter.isalpha() and not phonemes(letter)}
        assert lost <= set("ːʲ"), (accent, lost)
