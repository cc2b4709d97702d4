"""The sound of a scene: an utterance in a room, over a background, through a microphone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from host_tools.errors import HostToolError
from host_tools.training import rooms
from host_tools.training.backgrounds import LEAST_SNR_OVER_TALK_DB, TALK, Backgrounds
from host_tools.training.clips import Clip
from host_tools.training.rooms import SAMPLE_RATE_HZ, Audio
from host_tools.training.utterances import ALL_PIECES, FLUENT, Utterance, Utterances

WORD_SECONDS, OTHER_SECONDS = 3.9, 7.8
#: Shares of the scenes without the word in which nobody speaks, and of those in a room.
SILENT, IN_ROOM, COLOURED = 0.17, 0.65, 0.65
#: Of the scenes, in how many speech is stressed otherwise than the synthesiser did.
STRESSED = 0.6
QUIETEST_DBFS, LOUDEST_DBFS = -36.0, -3.0
#: SNR, dB: mostly of a room with noise, else of a quiet one, or of one whose noise a microphone's
#: software took away.  In such silence the front end hears a word otherwise: its gain rises.
SNRS_DB = ((-2.0, 25.0), (25.0, 45.0), (45.0, 85.0))
SNR_SHARES = (0.7, 0.15, 0.15)


@dataclass(frozen=True)
class Material:
    """What scenes are made of."""

    utterances: Utterances
    backgrounds: Backgrounds

    @classmethod
    def of(
        cls,
        clips: Sequence[Clip],
        is_held_out: bool,
        seed: int,
        negatives: Sequence[NDArray[np.int16]] = (),
        music: Sequence[NDArray[np.int16]] = (),
    ) -> Material:
        """Take the clips of speakers that training sees, or of those that are held out.

        Raises HostToolError when a kind of clip is missing.
        """
        chosen = [clip for clip in clips if clip.is_held_out == is_held_out]
        utterances = Utterances(chosen, negatives)
        if not utterances.has_words or not utterances.has_others:
            raise HostToolError(
                f"no {'held-out ' if is_held_out else ''}speech to make scenes of",
                "make clips of every kind",
            )
        own_music = [piece.astype(np.float32) for piece in music]
        return cls(utterances, Backgrounds(seed, utterances.talk, own_music))


def word_scene(
    material: Material, rng: np.random.Generator, number: int
) -> tuple[NDArray[np.int16], int, dict[str, object]]:
    """Return int16 samples of WORD_SECONDS, the sample after the word's last one, and facts."""
    said = material.utterances.with_word(rng, number, WORD_SECONDS)
    assert said.word_end is not None
    samples, about = _placed(material, rng, said)
    return samples, said.word_end, about


def other_scene(
    material: Material,
    rng: np.random.Generator,
    seconds: float = OTHER_SECONDS,
    is_fluent: bool = False,
) -> tuple[NDArray[np.int16], dict[str, object]]:
    """Return int16 samples without the word, and facts; fluent: nothing chosen to be near it."""
    if rng.random() >= SILENT:
        kinds = FLUENT if is_fluent else ALL_PIECES
        return _placed(material, rng, material.utterances.without_word(rng, seconds, kinds))
    count = int(seconds * SAMPLE_RATE_HZ)
    is_music = rng.random() < 0.5
    audio = material.backgrounds.music(rng, count) if is_music else np.zeros(count, np.float32)
    said = Utterance(audio, None, {"kind": "music" if is_music else "silence"})
    return _placed(material, rng, said)


def _placed(
    material: Material, rng: np.random.Generator, said: Utterance
) -> tuple[NDArray[np.int16], dict[str, object]]:
    """The utterance in a room, over a background, through a microphone."""
    about = dict(said.about)
    audio = said.audio / np.float32(_loudness(said.audio))
    if rng.random() < STRESSED:
        audio = rooms.stressed(rng, audio)
    if rng.random() < IN_ROOM:
        response, about["t60_s"] = rooms.impulse_response(rng)
        audio = rooms.in_room(audio, response)
    background, kind = material.backgrounds.draw(rng, len(audio))
    low, high = SNRS_DB[rng.choice(len(SNRS_DB), p=SNR_SHARES)]
    snr_db = float(rng.uniform(low, high))
    if kind == TALK:
        snr_db = max(snr_db, LEAST_SNR_OVER_TALK_DB)
    audio = audio + background * np.float32(10 ** (-snr_db / 20))
    if rng.random() < COLOURED:
        audio = rooms.microphone(rng, audio)
    samples, level_dbfs = rooms.as_samples(rng, audio, QUIETEST_DBFS, LOUDEST_DBFS)
    about |= {"background": kind, "snr_db": round(snr_db, 2), "level_dbfs": round(level_dbfs, 2)}
    return samples, about


def _loudness(audio: Audio) -> float:
    """The RMS of what is not a pause, so that pauses do not change the SNR; 1 for silence."""
    blocks = audio[: len(audio) // 320 * 320].reshape(-1, 320)
    powers = np.mean(np.square(blocks), axis=1)
    loud = powers[powers > powers.max(initial=0) * 1e-3]
    return float(np.sqrt(loud.mean())) if len(loud) else 1.0
