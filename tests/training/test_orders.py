"""What is said by whom is decided clip by clip, so neither count nor order changes a clip."""

import pytest

from host_tools.training import orders
from host_tools.training.clips import NEAR, TALK, WORD
from host_tools.training.orders import Texts
from host_tools.training.pronunciation import ACCENTS, word
from host_tools.training.voices.espeak import Espeak
from host_tools.training.voices.family import Source


class Choir:
    """A family that is no more than names: twenty singers, the last two held out."""

    name = "choir"
    reads_ipa = True
    artefacts = ()
    packages = ()
    sources = (Source("choir", "here", "none"),)

    def draw(self, rng, is_held_out):
        return f"singer{rng.integers(18, 20) if is_held_out else rng.integers(0, 18)}"

    def accent(self, speaker):
        return "en" if speaker.endswith("1") else "en-us"


FAMILIES = (Choir(), Espeak())
TEXTS = Texts(word("Alexa", ["a lexer"]), ("elixir", "lexus", "alaska"), ("abacus", "zebra"))


def drawn(kind, count, seed=3, share=0.3):
    return [orders.draw(kind, n, TEXTS, FAMILIES, share, seed) for n in range(count)]


@pytest.mark.parametrize("kind", [WORD, NEAR, TALK])
def test_more_clips_begin_with_the_same_ones_and_another_seed_gives_others(kind):
    assert drawn(kind, 30)[:10] == drawn(kind, 10) != drawn(kind, 10, seed=4)
    assert drawn(kind, 30)[7] == orders.draw(kind, 7, TEXTS, FAMILIES, 0.3, 3)


def test_every_tenth_speaker_is_held_out_and_never_another():
    told = drawn(WORD, 400)
    held_out = {order.speaker for order in told if order.is_held_out}
    assert [order.number for order in told if order.is_held_out] == list(range(9, 400, 10))
    assert held_out == {"singer18", "singer19"}
    assert not held_out & {order.speaker for order in told if not order.is_held_out}


def test_the_second_family_says_its_share():
    assert 80 < sum(order.family == "espeak" for order in drawn(WORD, 400)) < 160
    assert not any(order.family == "espeak" for order in drawn(WORD, 50, share=0.0))


def test_the_word_is_said_in_every_way_and_spelling():
    told = orders.pronounced(drawn(WORD, 400))
    assert {order.text for order in told} == {"Alexa", "a lexer"}
    sung = {order.ipa for order in told if order.family == "choir"}
    assert sung >= set(TEXTS.word.pronunciations)
    assert all(0.7 < order.tempo < 1.4 and order.accent in ACCENTS for order in told)


def test_the_talk_does_not_depend_on_the_word():
    other = Texts(word("hey earnest"), ("honest",), TEXTS.dictionary)
    assert drawn(TALK, 20) == [orders.draw(TALK, n, other, FAMILIES, 0.3, 3) for n in range(20)]


def test_a_clip_that_did_not_come_out_is_said_by_somebody_else():
    (order,) = orders.pronounced(drawn(WORD, 1))
    fresh = orders.again(order, FAMILIES, 3)
    assert (fresh.attempt, fresh.text, fresh.number) == (1, order.text, 0) and fresh.ipa
    assert (fresh.speaker, fresh.tempo) != (order.speaker, order.tempo)
    assert fresh == orders.again(order, FAMILIES, 3) != orders.again(fresh, FAMILIES, 3)


def test_several_lists_are_spread_evenly():
    lists = {"word": drawn(WORD, 6), "near": drawn(NEAR, 3), "talk": drawn(TALK, 2)}
    mixed = orders.interleaved(lists)
    assert [name for name, _ in mixed[:6]].count("word") == 3
    assert sorted(name for name, _ in mixed) == ["near"] * 3 + ["talk"] * 2 + ["word"] * 6
    for name, each in lists.items():
        assert [order for kind, order in mixed if kind == name] == each


def test_the_digest_follows_every_word_of_the_orders():
    told = orders.pronounced(drawn(WORD, 3))
    assert orders.digest(told) == orders.digest(list(told))
    assert orders.digest(told) != orders.digest(told[:2])
    assert orders.digest(told) != orders.digest(drawn(WORD, 3))
