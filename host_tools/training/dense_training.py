"""Stage 5: training, in rounds, with hard negatives looked for between them.

    round 0: from random weights, over the scenes
    round 1: from there, over the scenes and the hard negatives of round 0
    the last: the same again in several branches with other batches; their weights are averaged

Averaging keeps what the branches agree on: two runs that are equal on synthetic speech can differ
by a fifth on real voices, and nothing but real voices would tell which is the better one.
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
from host_tools.training.stages import Stages
from host_tools.training.training_steps import Steps

STAGE, VERSION = training_steps.STAGE, 1
#: What all but a tenth of the word's clips do not exceed decides the shape.
LONG_CLIPS = 0.9
_CHECKPOINT = ".checkpoint-{}.npz"


@dataclass(frozen=True)
class TrainPlan:
    """How long, and over how much of what."""

    steps: int = 2600
    #: Of each later round, and of each branch of the last.
    later_steps: int = 600
    #: How often hard negatives are looked for.
    rounds: int = 2
    branches: int = 3
    #: Scenes of 7.8 s that a round hears to find them.
    heard: int = 1000
    #: Scenes of a batch.
    words: int = 20
    others: int = 24
    #: How many of the others are hard negatives, once there are some.
    mined: int = 8
    rate: float = 3e-3
    later_rate: float = 1.2e-3
    negative_weight: float = 4.0


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
        workers: processes, for hard negatives and for the branches; the result is the same.
        negatives: as for the scenes.
        music: as for the scenes.

    Raises:
        HostToolError: the loss is not finite, too little space, or another run.
    """
    shape = shape_for(_word_seconds(clips_folder))
    rng = np.random.default_rng([seed, STAGE])
    weights, before = initial_weights(shape, rng), "random"
    mined: list[Path] = []
    path = scenes_folder
    for number in range(plan.rounds + 1):
        job = _Round(plan, seed, number, scenes_folder, tuple(mined), shape)
        path = _trained(job, weights, before, stages, open_progress, workers)
        if number < plan.rounds:
            search = mining.Search(path, clips_folder, plan.heard, seed, number, negatives, music)
            mined.append(mining.make(search, stages, open_progress, workers))
        (weights, _), before = weights_file.load(path), scenes.file_hash(path)
    return path


def _word_seconds(clips_folder: Path) -> float:
    words = [clip for clip in clip_files.load(clips_folder) if clip.kind == WORD]
    return float(np.quantile([clip.seconds for clip in words], LONG_CLIPS)) if words else 0.0


@dataclass(frozen=True)
class _Round:
    """One round: what it trains on, and for how long."""

    plan: TrainPlan
    seed: int
    number: int
    scenes_folder: Path
    mined: tuple[Path, ...]
    shape: Shape

    @property
    def branches(self) -> int:
        return self.plan.branches if self.number == self.plan.rounds else 1

    def steps(self, branch: int) -> Steps:
        plan, key = self.plan, (self.seed, STAGE, self.number, branch)
        if self.number == 0:
            return Steps(plan.steps, plan.rate, plan.negative_weight, key)
        return Steps(plan.later_steps, plan.later_rate, plan.negative_weight, key)

    def sources(self) -> list[Source]:
        """The scenes, and how many of each a batch takes; those of a kind that is empty go."""
        words, others = scenes.load(self.scenes_folder)
        hard = mining.load(self.mined)
        mined = self.plan.mined if len(hard) else 0
        return [
            Source(words, self.plan.words),
            Source(others, self.plan.others - mined),
            *([Source(hard, mined)] if mined else []),
        ]


def _trained(
    job: _Round,
    weights: Weights,
    before: str,
    stages: Stages,
    open_progress: OpenProgress,
    workers: int,
) -> Path:
    """Train a round, or find it trained; return its weights' file."""
    inputs = {
        "plan": asdict(job.plan),
        "seed": job.seed,
        "round": job.number,
        "before": before,
        "scenes": scenes.content_hash(job.scenes_folder),
        "mined": [scenes.content_hash(folder) for folder in job.mined],
        "packages": {name: metadata.version(name) for name in ("numpy", "torch")},
    }
    stage = stages.folder("network", inputs, VERSION)
    if stage.is_done:
        return stage.path / weights_file.NAME
    with stage.making(20_000_000) as folder:
        branches = range(job.branches)
        files = [folder / f"branch-{branch}.npz" for branch in branches]
        missing = [branch for branch in branches if not files[branch].exists()]
        with open_progress(sum(job.steps(branch).count for branch in missing)) as report:
            if workers > 1 and len(missing) > 1:
                context = multiprocessing.get_context("spawn")
                with ProcessPoolExecutor(min(workers, len(missing)), context) as pool:
                    given = [(job, weights, folder, branch) for branch in missing]
                    for branch in pool.map(_branch_alone, given):
                        report(f"round {job.number + 1}, branches", job.steps(branch).count)
            else:
                sources = job.sources()
                for branch in missing:
                    _branch(job, weights, folder, branch, sources, report)
        average = _average([weights_file.load(file)[0] for file in files])
        if job.branches > 1:
            average = training_steps.with_measured_norms(
                average, job.shape, job.sources(), job.steps(job.branches)
            )
        weights_file.save(folder / weights_file.NAME, average, job.shape)
        stage.finish()
    return stage.path / weights_file.NAME


def _branch_alone(given: tuple[_Round, Weights, Path, int]) -> int:
    """A branch in a process of its own."""
    job, weights, folder, branch = given
    _branch(job, weights, folder, branch, job.sources(), lambda text, done: None)
    return branch


def _branch(
    job: _Round,
    weights: Weights,
    folder: Path,
    branch: int,
    sources: Sequence[Source],
    report: Report,
) -> None:
    name = f"round {job.number + 1} of {job.plan.rounds + 1}, "
    name += f"branch {branch + 1}, " if job.branches > 1 else ""
    checkpoint = folder / _CHECKPOINT.format(branch)
    found = training_steps.run(
        weights,
        job.shape,
        sources,
        job.steps(branch),
        checkpoint,
        lambda text, done: report(name + text, done),
    )
    weights_file.save(folder / f"branch-{branch}.npz", found, job.shape)
    checkpoint.unlink(missing_ok=True)


def _average(found: Sequence[Weights]) -> Weights:
    """The mean of each array; of one, itself."""
    return {
        name: np.mean([weights[name] for weights in found], axis=0, dtype=np.float64).astype(
            np.float32
        )
        for name in found[0]
    }
