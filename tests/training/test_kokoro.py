"""Kokoro's speakers are mixtures, its letters are misaki's; with its files, it speaks."""

import numpy as np
import pytest

from host_tools.errors import HostToolError
from host_tools.training import artefact, speech
from host_tools.training.voices import kokoro
from host_tools.training.voices.family import Utterance
from host_tools.training.voices.kokoro import FOREIGN, HELD_OUT, TRAINING, Kokoro


def names_of(speaker):
    return {
        part.partition(":")[0] for mixture in speaker.split("/") for part in mixture.split("+")
    }


def drawn(is_held_out, count=300):
    rng = np.random.default_rng(0)
    return [Kokoro(speech.VOICES).draw(rng, is_held_out) for _ in range(count)]


def test_all_54_voices_are_listed_once():
    assert len({*TRAINING, *HELD_OUT, *FOREIGN}) == 54
    assert (len(TRAINING), len(HELD_OUT)) == (22, 6)


def test_a_held_out_speaker_shares_no_voice_with_any_other():
    trained, held_out = (set.union(*map(names_of, drawn(each))) for each in (False, True))
    assert held_out == set(HELD_OUT) and trained == {*TRAINING, *FOREIGN}


def test_speakers_differ_and_their_weights_are_whole():
    speakers = drawn(False)
    assert len(set(speakers)) > 200 and sum("/" in speaker for speaker in speakers) > 100
    for speaker in speakers:
        for mixture in speaker.split("/"):
            weights = [float(part.partition(":")[2]) for part in mixture.split("+")]
            assert 0.97 <= sum(weights) <= 1.03 and min(weights) > 0


@pytest.mark.parametrize(
    "speaker, accent",
    [
        ("bm_lewis:0.60+af_sky:0.40", "en"),
        ("bm_lewis:0.40+af_sky:0.60", "en-us"),
        ("af_sky:1.00/bm_lewis:1.00", "en-us"),
    ],
)
def test_the_accent_is_that_of_most_of_the_timbre(speaker, accent):
    assert Kokoro(speech.VOICES).accent(speaker) == accent


@pytest.mark.parametrize(
    "ipa, american, british",
    [
        ("hˈe^ɪ kəmpjˈuːɾɚ", "hˈA kəmpjˈuɾəɹ", "hˈA kəmpjˈuːɾəɹ"),
        ("ɐlˈɛksə", "əlˈɛksə", "əlˈɛksə"),
        ("hˈe^ɪ ˈɜːnɪst", "hˈA ˈɜɹnɪst", "hˈA ˈɜːnɪst"),
        ("bˈʌʔn̩ d^ʒˈʌd^ʒ ɡˈo^ʊ", "bˈʌtᵊn ʤˈʌʤ ɡˈO", "bˈʌtᵊn ʤˈʌʤ ɡˈQ"),
        ("skwˈe^ə nˈo^ʊ bˈɔ^ɪ", "skwˈeə nˈO bˈY", "skwˈɛː nˈQ bˈY"),
    ],
)
def test_the_networks_letters(ipa, american, british):
    assert (kokoro.letters(ipa, False), kokoro.letters(ipa, True)) == (american, british)


@pytest.fixture(scope="module")
def voice():
    """The family with its files, where a run has fetched them."""
    pytest.importorskip("onnxruntime", reason="no onnxruntime: make setup-train brings it")
    if missing := artefact.missing(speech.VOICES, Kokoro.artefacts):
        pytest.skip(f"no {missing[0]}: `earnest train` fetches the voices")
    return Kokoro(speech.VOICES)


def test_it_says_the_same_again_whatever_it_said_before(voice):
    speaker, utterance = "af_heart:0.61+bm_lewis:0.39/am_puck:1.00", Utterance("Alexa", "ɐlˈɛksə")
    first = voice.say(speaker, utterance, 1.0)
    voice.say("zm_yunxi:1.00", Utterance("hey", "hˈe^ɪ", "!"), 1.3)
    assert first.dtype == np.float32 and np.array_equal(first, voice.say(speaker, utterance, 1.0))
    assert 0.5 < len(first) / 16000 < 2.5 and 0.1 < np.abs(first).max() < 1.5
    slow, fast = (len(voice.say(speaker, utterance, tempo)) for tempo in (0.75, 1.35))
    assert slow > 1.2 * fast


def test_every_voice_speaks_and_timbre_and_intonation_are_apart(voice):
    assert set(voice._styles) == {*TRAINING, *HELD_OUT, *FOREIGN}
    utterance = Utterance("hi", "hˈa^ɪ")
    own, mixed = (voice.say(name, utterance, 1.0) for name in ("af_sky:1", "af_sky:1/am_onyx:1"))
    assert len(own) != len(mixed) or not np.allclose(own, mixed, atol=0.01)


def test_what_has_no_sound_is_refused(voice):
    with pytest.raises(HostToolError, match="nothing to say: '…'"):
        voice.say("af_sky:1.00", Utterance("…", "", ""), 1.0)
