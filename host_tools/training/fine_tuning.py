"""A last short run over the household's own recordings, from the weights of the training.

    scenes: the recordings in rooms, with noise and talk, as `scenes` makes them of clips
    hard negatives: what the trained network still takes for the word
    steps: the household's scenes by their labels; of all others, also of hard negatives and of
        collages, it goes on saying what the trained network says

By labels alone it would hear the household as well, and wake for other talk far more often.

The stages before it do not know of it, so they are those of a run without it.  What is made of
the recordings goes to the stages of the private folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from host_tools import atomic_file
from host_tools.progress import OpenProgress
from host_tools.training import clips as clip_files
from host_tools.training import mining, scenes, training_steps, weights_file
from host_tools.training.batches import Source
from host_tools.training.clips import WORD, Clip
from host_tools.training.dense_training import TrainPlan
from host_tools.training.objectives import Ensemble
from host_tools.training.scene_sounds import WORD_SECONDS, Material, word_scene
from host_tools.training.stages import Stages
from host_tools.training.training_steps import Steps
from host_tools.training.utterances import without_the_word_in_others

STAGE, VERSION = 8, 1
SPEAKER = "household"
_CHECKPOINT = ".checkpoint.npz"
_PACKAGES = ("numpy", "scipy", "pymicro-features")


@dataclass(frozen=True)
class FineTunePlan:
    """How long, and over how much."""

    #: Scenes of the household's recordings, 3.9 s each.
    scenes: int = 800
    steps: int = 200
    #: Scenes of 7.8 s that are heard to find hard negatives.
    heard: int = 500
    #: How many of a batch's scenes with the word are of the household.
    words: int = 10
    rate: float = 1e-3


@dataclass(frozen=True)
class Before:
    """What the training left."""

    clips: Path
    scenes: Path
    weights: Path


def tune(
    before: Before,
    learned: Sequence[NDArray[np.int16]],
    plan: FineTunePlan,
    training: TrainPlan,
    seed: int,
    stages: Stages,
    private: Stages,
    open_progress: OpenProgress,
    workers: int = 1,
    negatives: Sequence[NDArray[np.int16]] = (),
    music: Sequence[NDArray[np.int16]] = (),
) -> Path:
    """Train for a last time; return the file of its weights.

    Args:
        before: clips, scenes and weights of the training.
        learned: the household's recordings, as `household.word_in` cuts them.
        plan: how long, and over how much.
        training: the plan of the training before.
        seed: of the run.
        stages: for the hard negatives.
        private: for all that is made of the recordings; the run removes it.
        open_progress: shows scenes, search and steps, one bar each.
        workers: processes; the result is the same.
        negatives: as for the training.
        music: as for the training.

    Raises:
        HostToolError: the loss is not finite, too little space, or another run.
    """
    own = _make_scenes(before.clips, learned, plan.scenes, seed, private, open_progress)
    searched = training.rounds + 1  # no round of the training has this number
    search = mining.Search(
        (before.weights,), before.clips, plan.heard, seed, searched, negatives, music
    )
    mined = mining.make(search, stages, open_progress, workers)
    inputs = {
        "plan": [asdict(plan), asdict(training)],
        "seed": seed,
        "before": scenes.file_hash(before.weights),
        "scenes": [scenes.content_hash(folder) for folder in (own, before.scenes, mined)],
        "packages": {name: metadata.version(name) for name in ("numpy", "torch")},
    }
    stage = private.folder("network", inputs, VERSION)
    file = stage.path / weights_file.NAME
    if not stage.is_done:
        with stage.making(20_000_000) as folder, open_progress(plan.steps) as report:
            weights, shape = weights_file.load(before.weights)
            found = training_steps.run(
                weights,
                shape,
                Ensemble(
                    _sources(before.scenes, own, mined, plan, training),
                    [(weights, shape)],
                    training.collages,
                    told=1.0,
                    labelled=plan.words,
                ),
                Steps(plan.steps, plan.rate, (seed, STAGE)),
                folder / _CHECKPOINT,
                lambda text, done: report(f"fine-tuning, {text}", done),
            )
            weights_file.save(file, found, shape)
            (folder / _CHECKPOINT).unlink(missing_ok=True)
            stage.finish()
    return file


def _sources(
    scenes_folder: Path, own_folder: Path, mined: Path, plan: FineTunePlan, training: TrainPlan
) -> list[Source]:
    """A batch as the training's, but the household takes some of the scenes with the word: the
    first of them."""
    words, others = scenes.load(scenes_folder)
    own, _ = scenes.load(own_folder)
    return [
        Source(own, plan.words),
        Source(words, max(0, training.words - plan.words)),
        Source(others, training.others - training.mined),
        Source(mining.load([mined]), training.mined),
    ]


def _make_scenes(
    clips_folder: Path,
    learned: Sequence[NDArray[np.int16]],
    count: int,
    seed: int,
    stages: Stages,
    open_progress: OpenProgress,
) -> Path:
    """Make the scenes of the recordings; return the finished stage's folder."""
    inputs = {
        "clips": scenes.content_hash(clips_folder),
        "household": scenes.sounds_hash(learned),
        "count": count,
        "seed": seed,
        "packages": {name: metadata.version(name) for name in _PACKAGES},
    }
    stage = stages.folder("household", inputs, VERSION)
    if not stage.is_done:
        with (
            stage.making(int(count * WORD_SECONDS * 4200)) as folder,
            open_progress(count) as report,
        ):
            material = _material(clip_files.load(clips_folder), learned, seed)
            for start in range(0, count, scenes.SCENES_A_SHARD):
                numbers = range(start, min(start + scenes.SCENES_A_SHARD, count))
                path = folder / f"word-{start:06d}.npz"
                if not path.exists():
                    atomic_file.write(path, _shard(material, numbers, seed))
                report("your recordings", len(numbers))
            stage.finish()
    return stage.path


def _material(clips: Sequence[Clip], learned: Sequence[NDArray[np.int16]], seed: int) -> Material:
    """The recordings as the word, and the talk of speakers that training sees around it."""
    said = next(clip for clip in clips if clip.kind == WORD)
    own = [
        replace(said, samples=word, family=SPEAKER, speaker=SPEAKER, tempo=1.0, is_held_out=False)
        for word in learned
    ]
    others = [clip for clip in without_the_word_in_others(clips) if clip.kind != WORD]
    return Material.of([*own, *others], False, seed)


def _shard(material: Material, numbers: range, seed: int) -> bytes:
    """The file of some scenes."""
    made = [
        word_scene(material, np.random.default_rng([seed, STAGE, number]), number)
        for number in numbers
    ]
    return scenes.packed(
        [scenes.slices_of(samples) for samples, _, _ in made],
        [scenes.end_slice(end) for _, end, _ in made],
        [about for _, _, about in made],
    )
