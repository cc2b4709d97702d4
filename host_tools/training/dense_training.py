"""Stage 5: training: an ensemble of networks first, and from it the one that a device runs.

    round 0: the ensemble, each network from random weights of its own, over the scenes
    round 1: each goes on from there, over the scenes and the hard negatives of round 0
    the student: from random weights, over the same; it learns what the ensemble says on average

Networks that are equal on synthetic speech differ on people, where each takes other things for the
word.  Their mean does not, and a single network can learn most of that mean (distillation: Hinton,
Vinyals and Dean, 2015).
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from host_tools.progress import OpenProgress, Report
from host_tools.training import clips as clip_files
from host_tools.training import mining, scenes, training_steps, weights_file
from host_tools.training.batches import Source
from host_tools.training.clips import WORD
from host_tools.training.network import Shape, Weights, initial_weights, shape_for
from host_tools.training.objectives import Ensemble, Labels
from host_tools.training.stages import Stages
from host_tools.training.training_steps import Objective, Steps

STAGE, VERSION = training_steps.STAGE, 2
#: What all but a tenth of the word's clips do not exceed decides the shape.
LONG_CLIPS = 0.9
_CHECKPOINT = ".checkpoint-{}.npz"
_NETWORK = "network-{}.npz"


@dataclass(frozen=True)
class TrainPlan:
    """How long, and over how much of what."""

    #: Networks of the ensemble.
    networks: int = 4
    #: Of each of them in the first round, and in each later one.
    steps: int = 1500
    later_steps: int = 500
    #: Of the student.
    student_steps: int = 2800
    #: How often hard negatives are looked for.
    rounds: int = 2
    #: Scenes of 7.8 s that a search hears to find them.
    heard: int = 1000
    #: Scenes of a batch.
    words: int = 20
    others: int = 24
    #: How many of the others are hard negatives, once there are some.
    mined: int = 8
    #: Collages of a batch of the student.
    collages: int = 16
    rate: float = 3e-3
    later_rate: float = 1.2e-3


def train(
    scenes_folder: Path,
    clips_folder: Path,
    plan: TrainPlan,
    seed: int,
    stages: Stages,
    open_progress: OpenProgress,
    workers: int = 1,
    negatives: Sequence[NDArray[np.int16]] = (),
    music: Sequence[NDArray[np.int16]] = (),
) -> Path:
    """Train a network; return the file of its weights, see `weights_file`.

    Args:
        scenes_folder: the scenes of stage 4.
        clips_folder: the clips that they are made of; hard negatives are made of them, too.
        plan: how long, and over how much.
        seed: of the run.
        stages: where rounds and hard negatives are kept; a round that was stopped goes on.
        open_progress: shows steps, one bar a round.
        workers: processes, for hard negatives and for the ensemble; the result is the same.
        negatives: as for the scenes.
        music: as for the scenes.

    Raises:
        HostToolError: the loss is not finite, too little space, or another run.
    """
    shape = shape_for(_word_seconds(clips_folder))
    ensemble: tuple[Path, ...] = ()
    mined: tuple[Path, ...] = ()
    for number in range(plan.rounds):
        teaching = _Round(plan, seed, number, scenes_folder, mined, shape, ensemble)
        ensemble = _trained(teaching, stages, open_progress, workers)
        search = mining.Search(ensemble, clips_folder, plan.heard, seed, number, negatives, music)
        mined += (mining.make(search, stages, open_progress, workers),)
    learning = _Round(plan, seed, plan.rounds, scenes_folder, mined, shape, ensemble)
    (student,) = _trained(learning, stages, open_progress, workers)
    return student


def _word_seconds(clips_folder: Path) -> float:
    words = [clip for clip in clip_files.load(clips_folder) if clip.kind == WORD]
    return float(np.quantile([clip.seconds for clip in words], LONG_CLIPS)) if words else 0.0


@dataclass(frozen=True)
class _Round:
    """One round: what it trains on, and for how long.  The last is the student's."""

    plan: TrainPlan
    seed: int
    number: int
    scenes_folder: Path
    mined: tuple[Path, ...]
    shape: Shape
    #: The files of its networks after the round before.
    ensemble: tuple[Path, ...]

    @property
    def is_students(self) -> bool:
        return self.number == self.plan.rounds

    @property
    def networks(self) -> int:
        return 1 if self.is_students else self.plan.networks

    @property
    def name(self) -> str:
        return "student" if self.is_students else f"round {self.number + 1} of {self.plan.rounds}"

    def steps(self, network: int) -> Steps:
        plan, key = self.plan, (self.seed, STAGE, self.number, network)
        if self.is_students:
            return Steps(plan.student_steps, plan.rate, key)
        if self.number == 0:
            return Steps(plan.steps, plan.rate, key)
        return Steps(plan.later_steps, plan.later_rate, key)

    def first_weights(self, network: int) -> Weights:
        """Where a network begins."""
        if self.ensemble and not self.is_students:
            return weights_file.load(self.ensemble[network])[0]
        key = (self.seed, STAGE, self.number, network)
        return initial_weights(self.shape, np.random.default_rng(key))

    def objective(self) -> Objective:
        """What it trains for; reads the scenes."""
        words, others = scenes.load(self.scenes_folder)
        hard = mining.load(self.mined)
        mined = self.plan.mined if len(hard) else 0
        sources = (
            Source(words, self.plan.words),
            Source(others, self.plan.others - mined),
            *([Source(hard, mined)] if mined else []),
        )
        if not self.is_students:
            return Labels(sources)
        teachers = [weights_file.load(file) for file in self.ensemble]
        return Ensemble(sources, teachers, self.plan.collages)


def _trained(
    job: _Round, stages: Stages, open_progress: OpenProgress, workers: int
) -> tuple[Path, ...]:
    """Train a round, or find it trained; return the files of its networks' weights."""
    inputs = {
        "plan": asdict(job.plan),
        "seed": job.seed,
        "round": job.number,
        "before": [scenes.file_hash(file) for file in job.ensemble],
        "scenes": scenes.content_hash(job.scenes_folder),
        "mined": [scenes.content_hash(folder) for folder in job.mined],
        "packages": {name: metadata.version(name) for name in ("numpy", "torch")},
    }
    stage = stages.folder("network", inputs, VERSION)
    files = tuple(stage.path / _NETWORK.format(number) for number in range(job.networks))
    if stage.is_done:
        return files
    with stage.making(20_000_000):
        missing = [number for number, file in enumerate(files) if not file.exists()]
        with open_progress(sum(job.steps(number).count for number in missing)) as report:
            if workers > 1 and len(missing) > 1:
                context = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(min(workers, len(missing)), context) as pool:
                    given = [(job, files[number], number) for number in missing]
                    for number in pool.map(_network_alone, given):
                        report(job.name, job.steps(number).count)
            else:
                objective = job.objective()
                for number in missing:
                    _network(job, objective, files[number], number, report)
        stage.finish()
    return files


def _network_alone(given: tuple[_Round, Path, int]) -> int:
    """A network in a process of its own."""
    job, file, number = given
    _network(job, job.objective(), file, number, lambda text, done: None)
    return number


def _network(job: _Round, objective: Objective, file: Path, number: int, report: Report) -> None:
    name = job.name + (f", network {number + 1} of {job.networks}" if job.networks > 1 else "")
    checkpoint = file.parent / _CHECKPOINT.format(number)
    found = training_steps.run(
        job.first_weights(number),
        job.shape,
        objective,
        job.steps(number),
        checkpoint,
        lambda text, done: report(f"{name}, {text}", done),
    )
    weights_file.save(file, found, job.shape)
    checkpoint.unlink(missing_ok=True)
