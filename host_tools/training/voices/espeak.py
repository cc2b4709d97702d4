"""espeak-ng: a hundred variants that sound like robots, for a few of the clips and for tests."""

from __future__ import annotations

import numpy as np

from host_tools.audio import speech
from host_tools.training.artefact import Artefact
from host_tools.training.pronunciation import ACCENTS
from host_tools.training.voices.family import Sound, Source, Utterance

_WORDS_PER_MINUTE = 150
#: Variants of the library that are people; those with breath differ from call to call, and
#: whispers, croaks and machines are left out.
TRAINING = (
    *("Andrea", "Andy", "Annie", "Denis", "Diogo", "Gene", "Hugo", "Jacky", "Lee", "Marco"),
    *("Mario", "Michael", "Mike", "adam", "anika", "antonio", "aunty", "belinda", "benjamin"),
    *("boris", "david", "ed", "edward", "f1", "f4", "grandma", "grandpa", "ian", "iven", "john"),
    *("linda", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "marcelo", "max", "miguel", "norbert"),
    *("pablo", "paul", "pedro", "quincy", "rob", "robert", "shelby", "steph", "travis", "zac"),
)
HELD_OUT = ("Alex", "kaukovalta", "m8", "michel", "steph2", "edward2", "Henrique", "gustave")


class Espeak:
    """The family."""

    name = "espeak"
    reads_ipa = False
    artefacts: tuple[Artefact, ...] = ()
    packages: tuple[str, ...] = ("espeakng-loader",)
    sources: tuple[Source, ...] = (Source("espeak-ng", "PyPI espeakng-loader 0.2.4", "GPL-3.0"),)

    def draw(self, rng: np.random.Generator, is_held_out: bool) -> str:
        """Return accent, variant and pitch as `en-us+m3@45`."""
        variant = rng.choice(HELD_OUT if is_held_out else TRAINING)
        return f"{rng.choice(ACCENTS)}+{variant}@{rng.integers(25, 80)}"

    def accent(self, speaker: str) -> str:
        """Return the accent that the speaker's name begins with."""
        return speaker.partition("+")[0]

    def say(self, speaker: str, utterance: Utterance, tempo: float) -> Sound:
        """As `Family.say`; it reads the text, not the IPA."""
        voice, _, pitch = speaker.partition("@")
        spoken = speech.synthesise(
            utterance.text + utterance.ending,
            voice,
            round(_WORDS_PER_MINUTE * tempo),
            int(pitch),
        )
        return (spoken / 32768).astype(np.float32)
