"""Hard negatives: talk, noise and music that the networks so far take for the word.

Near words and parts of the word are not looked for: they would crowd out all else, and what is
made to refuse each of them refuses many a person who says the word.

A thousand fresh scenes are made and heard; of each shard the worst are kept, cut to where the
networks were surest on average.  Only features stay; a round of the training counts them beside
the others.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from host_tools import atomic_file
from host_tools.progress import OpenProgress
from host_tools.training import clips as clip_files
from host_tools.training import processes, scenes, weights_file
from host_tools.training.export import float_probabilities
from host_tools.training.network import STRIDE
from host_tools.training.scene_sounds import Material, other_scene
from host_tools.training.scenes import NO_WORD, Scenes
from host_tools.training.stages import Stages

STAGE, VERSION = 6, 4
HEARD_A_SHARD, KEPT_A_SHARD = 50, 12
#: What is kept of a scene: as long as a word scene.
KEPT_SLICES = 388
#: A device decides by the mean of this many inferences.
WINDOW = 5
_PACKAGES = ("numpy", "scipy", "pymicro-features", "torch")


@dataclass(frozen=True)
class Search:
    """Where hard negatives are looked for."""

    networks: tuple[Path, ...]  # the files of their weights
    clips: Path
    #: How many scenes of 7.8 s.
    heard: int
    #: Of the run, and the round.
    seed: int
    round: int
    negatives: Sequence[NDArray[np.int16]] = ()
    music: Sequence[NDArray[np.int16]] = ()


def make(search: Search, stages: Stages, open_progress: OpenProgress, workers: int = 1) -> Path:
    """Look for hard negatives; return the finished stage's folder.

    Raises HostToolError for clips that cannot be read, or too little space.
    """
    inputs = {
        "networks": [scenes.file_hash(network) for network in search.networks],
        "clips": scenes.content_hash(search.clips),
        "heard": search.heard,
        "seed": [search.seed, search.round],
        "negatives": scenes.sounds_hash(search.negatives),
        "music": scenes.sounds_hash(search.music),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
    }
    stage = stages.folder("mined", inputs, VERSION)
    if stage.is_done:
        return stage.path
    starts = range(0, search.heard, HEARD_A_SHARD)
    with stage.making(len(starts) * KEPT_A_SHARD * KEPT_SLICES * 40) as folder:
        names = {start: folder / f"mined-{start:06d}.npz" for start in starts}
        missing = [start for start in starts if not names[start].exists()]
        with open_progress(len(starts)) as report:
            report("hard negatives", len(starts) - len(missing))
            for start, content in processes.make(missing, _shard, _begin, search, workers):
                atomic_file.write(names[start], content)
                report("hard negatives", 1)
        _searching.clear()  # with one worker it was this process
        stage.finish()
    return stage.path


def load(folders: Sequence[Path]) -> Scenes:
    """Return the hard negatives of all these stages' folders."""
    paths = [path for folder in folders for path in sorted(folder.glob("mined-*.npz"))]
    parts = [np.load(path)["features"] for path in paths]
    features = np.concatenate(parts) if parts else np.zeros((0, KEPT_SLICES, 40), np.int8)
    return Scenes(features, np.full(len(features), NO_WORD), [{}] * len(features))


def worst(
    probabilities: NDArray[np.float32], kept: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the scenes, of [scenes, inferences], with the highest mean of WINDOW inferences,
    the highest first, and the inference at which each window ends."""
    sums = np.cumsum(np.pad(probabilities, ((0, 0), (1, 0))), axis=1)
    means = (sums[:, WINDOW:] - sums[:, :-WINDOW]) / WINDOW
    order = np.argsort(-means.max(axis=1), kind="stable")[:kept]
    return order, means[order].argmax(axis=1) + WINDOW - 1


_searching: list[tuple[Search, Material]] = []  # of this process


def _begin(search: Search) -> None:
    clips = clip_files.load(search.clips)
    material = Material.of(clips, False, search.seed, search.negatives, search.music)
    _searching[:] = [(search, material)]


def _shard(start: int) -> bytes:
    """The hardest of HEARD_A_SHARD scenes, as a file."""
    search, material = _searching[0]
    heard = []
    for number in range(start, min(start + HEARD_A_SHARD, search.heard)):
        rng = np.random.default_rng([search.seed, STAGE, search.round, number])
        heard.append(scenes.slices_of(other_scene(material, rng, is_fluent=True)[0]))
    said = [
        float_probabilities(weights, np.stack(heard), shape)
        for weights, shape in map(weights_file.load, search.networks)
    ]
    order, at = worst(np.mean(said, axis=0, dtype=np.float32), KEPT_A_SHARD)
    rng = np.random.default_rng([search.seed, STAGE, search.round, start, 1])
    kept = []
    for scene, inference in zip(order, at, strict=True):
        # The moment lies in the second half, with all that led to it.
        first = inference * STRIDE - int(rng.integers(KEPT_SLICES // 2, KEPT_SLICES - 40))
        first = int(np.clip(first, 0, len(heard[scene]) - KEPT_SLICES))
        kept.append(heard[scene][first : first + KEPT_SLICES])
    file = io.BytesIO()
    np.savez(file, features=np.stack(kept))
    return file.getvalue()
