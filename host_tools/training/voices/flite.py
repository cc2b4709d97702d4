"""flite: four voices of another make, where the program is installed; for the report alone.

Training never hears them.  How much more often a model misses them than it misses unseen speakers
of the families that it was trained on says something of people, whom nobody here has recorded.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from host_tools.errors import HostToolError
from host_tools.training.artefact import Artefact
from host_tools.training.pronunciation import AMERICAN
from host_tools.training.voices.family import Sound, Source, Utterance

PROGRAM = "flite"
#: The mean pitch of each voice in Hz.
_PITCH_HZ = {"awb": 120, "kal16": 105, "rms": 105, "slt": 180}
_TIMEOUT_S = 60


class Flite:
    """The family."""

    name = "flite"
    reads_ipa = False
    artefacts: tuple[Artefact, ...] = ()
    packages: tuple[str, ...] = ()
    sources: tuple[Source, ...] = (
        Source("flite and its voices awb, kal16, rms, slt", "the system's package flite", "BSD"),
    )

    def draw(self, rng: np.random.Generator, is_held_out: bool) -> str:
        """Return voice and mean pitch in Hz as `slt@182`; every one is held out."""
        voice = sorted(_PITCH_HZ)[int(rng.integers(len(_PITCH_HZ)))]
        return f"{voice}@{round(_PITCH_HZ[voice] * rng.uniform(0.8, 1.3))}"

    def accent(self, speaker: str) -> str:
        """American; one is Scottish, and says American phonemes."""
        return AMERICAN

    def say(self, speaker: str, utterance: Utterance, tempo: float) -> Sound:
        """As `Family.say`; it reads the text, not the IPA."""
        from host_tools.audio.files import open_audio

        voice, _, pitch = speaker.partition("@")
        with tempfile.TemporaryDirectory(prefix="earnest-") as folder:
            path = Path(folder, "said.wav")
            command = [program(), "-voice", voice, "--setf", f"duration_stretch={1 / tempo:.3f}"]
            command += ["--setf", f"int_f0_target_mean={pitch}"]
            command += ["-t", utterance.text + utterance.ending, "-o", str(path)]
            done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S)
            if done.returncode != 0 or not path.is_file():
                raise HostToolError(f"flite did not speak: exit status {done.returncode}")
            samples = np.concatenate(list(open_audio(str(path), decode=False).blocks()))
        return (samples / 32768).astype(np.float32)


def is_installed() -> bool:
    """Whether the program is there."""
    return shutil.which(PROGRAM) is not None


def program() -> str:
    """Return the program's path; raises HostToolError when it is missing."""
    path = shutil.which(PROGRAM)
    if path is None:
        raise HostToolError("the program flite is missing", "sudo apt-get install flite")
    return path
