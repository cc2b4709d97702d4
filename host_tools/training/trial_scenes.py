"""Make the scenes that judge a model: of speakers and clips that training never had.

They are put together as the scenes of training are, but apart by what they are to show: the word;
a word that sounds like it, in its place; talk without either; music and noise alone.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.progress import OpenProgress
from host_tools.training import clips
from host_tools.training.backgrounds import Backgrounds
from host_tools.training.clips import NEAR, TALK, WORD, Clip
from host_tools.training.scene_sounds import Material, other_scene, word_scene
from host_tools.training.scenes import content_hash, end_slice, slices_of
from host_tools.training.stages import Stages
from host_tools.training.trials import MUSIC, NO_WORD, Trial
from host_tools.training.utterances import Utterances

#: Of the random numbers: no other stage has it.
STAGE, VERSION = 7, 2
_TRIALS_A_FILE = 20
_BYTES_A_TRIAL = 40_000
_PACKAGES = ("numpy", "scipy", "pymicro-features")


@dataclass(frozen=True)
class TrialPlan:
    """How many scenes of each kind."""

    words: int = 400
    near: int = 200
    #: Talk, 7.8 s each; one in six is music or noise alone.
    others: int = 1200


def make(
    words: Sequence[Path],
    others: Path,
    plan: TrialPlan,
    seed: int,
    stages: Stages,
    open_progress: OpenProgress,
) -> Path:
    """Make the trials of held-out clips; return the finished stage's folder.

    Args:
        words: folders of clips, for the word.
        others: folder of clips, for talk and for what sounds like the word.
        plan: how many.
        seed: of the run.
        stages: where they are kept.
        open_progress: shows them as they are made.

    Raises:
        HostToolError: no held-out clips, too little space.
    """
    inputs = {
        "words": [content_hash(folder) for folder in words],
        "others": content_hash(others),
        "plan": dataclasses.asdict(plan),
        "seed": seed,
        "packages": {name: metadata.version(name) for name in _PACKAGES},
    }
    stage = stages.folder("trials", inputs, VERSION)
    if stage.is_done:
        return stage.path
    counts = {WORD: plan.words, NEAR: plan.near, TALK: plan.others}
    total = sum(counts.values())
    with stage.making(total * _BYTES_A_TRIAL) as folder, open_progress(total) as report:
        held_out = _held_out(words, others)
        for kind, count in counts.items():
            maker: Callable[[int], Trial] | None = None
            for start in range(0, count, _TRIALS_A_FILE):
                numbers = range(start, min(start + _TRIALS_A_FILE, count))
                path = folder / f"{kind}-{start:06d}.npz"
                if not path.exists():
                    maker = maker or _maker(kind, held_out, seed)
                    atomic_file.write(path, _packed([maker(number) for number in numbers]))
                report("trials", len(numbers))
        stage.finish()
    return stage.path


def _held_out(words: Sequence[Path], others: Path) -> list[Clip]:
    wanted = [(folder, True) for folder in words] + [(others, False)]
    return [
        clip
        for folder, is_word in wanted
        for clip in clips.load(folder)
        if clip.is_held_out and (clip.kind == WORD) == is_word
    ]


def load(folder: Path) -> list[Trial]:
    """Return the trials of a finished stage, in order."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        with np.load(path) as part:
            features, about = part["features"], json.loads(bytes(part["about"]))
        for slices, facts in zip(features, about, strict=True):
            found.append(Trial(features=slices, **facts))
    return found


def _maker(kind: str, held_out: Sequence[Clip], seed: int) -> Callable[[int], Trial]:
    """What makes trial `number` of a kind."""
    chosen = [clip for clip in held_out if clip.kind == kind]
    talk = [clip for clip in held_out if clip.kind == TALK]
    if not chosen or not talk:
        raise HostToolError(
            "there is no held-out speech to judge the model by", "give it more: --minutes"
        )
    spoken = talk if kind == TALK else [*(replace(clip, kind=WORD) for clip in chosen), *talk]
    utterances = Utterances(spoken)
    material = Material(utterances, Backgrounds(seed, utterances.talk))
    if kind == TALK:
        return lambda number: _other(material, _rng(seed, kind, number))
    return lambda number: _said(kind, material, chosen, number, _rng(seed, kind, number))


def _rng(seed: int, kind: str, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, STAGE, clips.KINDS.index(kind), number])


def _said(
    kind: str,
    material: Material,
    chosen: Sequence[Clip],
    number: int,
    rng: np.random.Generator,
) -> Trial:
    """The word, or a near word in its place."""
    samples, end, about = word_scene(material, rng, number)
    clip = chosen[number % len(chosen)]
    return _trial(slices_of(samples), about, kind, end_slice(end), clip.text, clip.family)


def _other(material: Material, rng: np.random.Generator) -> Trial:
    samples, about = other_scene(material, rng)
    kind = TALK if about["kind"] == "other" else MUSIC
    return _trial(slices_of(samples), about, kind, NO_WORD, "", "")


def _trial(
    slices: NDArray[np.int8], about: dict[str, Any], kind: str, end: int, text: str, family: str
) -> Trial:
    return Trial(
        slices,
        end if kind == WORD else NO_WORD,
        kind,
        text,
        family,
        tempo=float(about.get("tempo", 1.0)),
        snr_db=float(about["snr_db"]),
        room_s=float(about.get("t60_s", 0.0)),
    )


def _packed(made: Sequence[Trial]) -> bytes:
    """The file of some trials of one length."""
    facts = [
        {name: value for name, value in vars(trial).items() if name != "features"}
        for trial in made
    ]
    file = io.BytesIO()
    np.savez(
        file,
        features=np.stack([trial.features for trial in made]),
        about=np.frombuffer(json.dumps(facts, sort_keys=True).encode(), np.uint8),
    )
    return file.getvalue()
