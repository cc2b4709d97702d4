"""flite speaks where it is installed, the same every time, and training has no use for it."""

import numpy as np
import pytest

from host_tools.errors import HostToolError
from host_tools.training import voices
from host_tools.training.speech import SpeechPlan
from host_tools.training.voices import flite
from host_tools.training.voices.family import Utterance

ALEXA = Utterance("Alexa", "ɐlˈɛksə", "!")


@pytest.fixture
def installed():
    if not flite.is_installed():
        pytest.skip("flite is missing: sudo apt-get install flite")


def test_it_says_the_same_again(installed):
    said = flite.Flite().say("slt@182", ALEXA, 1.0)
    assert np.array_equal(said, flite.Flite().say("slt@182", ALEXA, 1.0))
    assert said.dtype == np.float32 and 0.4 < len(said) / 16000 < 2 and np.abs(said).max() < 1
    assert len(flite.Flite().say("slt@182", ALEXA, 0.75)) > 1.2 * len(said)
    assert voices.unseen() == ["flite"]


def test_speakers_are_four_voices_at_many_pitches():
    rng = np.random.default_rng(0)
    drawn = {flite.Flite().draw(rng, True) for _ in range(100)}
    assert {speaker.partition("@")[0] for speaker in drawn} == {"awb", "kal16", "rms", "slt"}
    assert len(drawn) > 60


def test_without_the_program_it_says_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert voices.unseen() == []
    with pytest.raises(HostToolError, match="flite is missing") as missing:
        flite.Flite().say("slt@182", ALEXA, 1.0)
    assert missing.value.hint == "sudo apt-get install flite"


def test_training_does_not_use_it():
    assert "flite" not in SpeechPlan().families
