"""Stage 4: scenes, which are utterances in rooms with noise, as feature slices.

A scene is a few seconds of what a device hears.  It knows where the word ends, if it has one.
Scene `number` of a plan is drawn from `[seed, STAGE, number]`, so it does not matter which process
makes it; features come from the models' reference front end.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from host_tools import atomic_file
from host_tools.models.layers import FEATURES
from host_tools.models.reference import features, quantise
from host_tools.progress import OpenProgress
from host_tools.training import clips as clip_files
from host_tools.training import processes
from host_tools.training.scene_sounds import (
    OTHER_SECONDS,
    WORD_SECONDS,
    Material,
    other_scene,
    word_scene,
)
from host_tools.training.stages import Stages

STAGE, VERSION = 4, 3
STEP_SAMPLES, WINDOW_SAMPLES = 160, 480
SCENES_A_SHARD = 50
NO_WORD = -1
_PACKAGES = ("numpy", "scipy", "pymicro-features")


@dataclass(frozen=True)
class ScenePlan:
    """How many scenes, and of which speakers."""

    #: With the word, 3.9 s each.
    words: int = 6500
    #: Without it, 7.8 s each.
    others: int = 3600
    #: Take the speakers that training never sees, and only those.
    is_held_out: bool = False


@dataclass(frozen=True)
class Scenes:
    """Scenes of one length."""

    #: int8 [scenes, slices, 40], as the model takes them.
    features: NDArray[np.int8]
    #: int64 [scenes]: the first slice whose window has all of the word, NO_WORD without one.
    ends: NDArray[np.int64]
    #: Of each scene: kind, clip, snr_db, t60_s, tempo, level_dbfs, background.
    about: list[dict[str, object]]

    def __len__(self) -> int:
        return len(self.ends)


def end_slice(end_sample: int) -> int:
    """Return the first feature slice whose window ends at or after this sample's beginning.

    Slice i is computed of samples 160 * i to 160 * i + 479.
    """
    return max(0, -(-(end_sample - WINDOW_SAMPLES) // STEP_SAMPLES))


def slices_of(samples: NDArray[np.int16]) -> NDArray[np.int8]:
    """Return the int8 slices [n, 40] that a device computes of int16 samples."""
    return quantise(features(samples))


def make(
    clips_folder: Path,
    plan: ScenePlan,
    seed: int,
    stages: Stages,
    open_progress: OpenProgress,
    workers: int = 1,
    negatives: Sequence[NDArray[np.int16]] = (),
    music: Sequence[NDArray[np.int16]] = (),
) -> Path:
    """Make the scenes of a plan, and return the finished stage's folder.

    Args:
        clips_folder: clips, as stages 1 to 3 leave them.
        plan: how many scenes.
        seed: of the run.
        stages: where they are kept.
        open_progress: shows the scenes made.
        workers: processes; the result does not depend on it.
        negatives: int16 at 16 kHz, that the owner knows not to be the word.
        music: int16 at 16 kHz, beside the made music.

    Raises:
        HostToolError: no clips, too little space.
    """
    inputs = {
        "clips": content_hash(clips_folder),
        "plan": asdict(plan),
        "seed": seed,
        "negatives": sounds_hash(negatives),
        "music": sounds_hash(music),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
    }
    stage = stages.folder("scenes", inputs, VERSION)
    if stage.is_done:
        return stage.path
    shards = list(_shards(plan))
    seconds = plan.words * WORD_SECONDS + plan.others * OTHER_SECONDS
    with stage.making(int(seconds * 4200)) as folder:
        missing = [shard for shard in shards if not (folder / shard.name).exists()]
        given = clips_folder, plan, seed, negatives, music
        with open_progress(sum(len(shard.numbers) for shard in shards)) as report:
            done = sum(len(shard.numbers) for shard in shards if shard not in missing)
            report("scenes", done)
            for shard, content in processes.make(missing, _shard, _begin, given, workers):
                atomic_file.write(folder / shard.name, content)
                report("scenes", len(shard.numbers))
        stage.finish()
    return stage.path


def load(folder: Path) -> tuple[Scenes, Scenes]:
    """Return the scenes with the word, and those without, of a stage's folder."""
    return _load(folder, "word", WORD_SECONDS), _load(folder, "other", OTHER_SECONDS)


def _load(folder: Path, kind: str, seconds: float) -> Scenes:
    """The scenes of one kind; a second copy of them is not made, not even for a moment."""
    paths = sorted(folder.glob(f"{kind}-*.npz"))
    counts = [_count(path) for path in paths]
    features = np.empty((sum(counts), round(seconds * 100 - 2), FEATURES), np.int8)
    ends, about, first = np.empty(len(features), np.int64), [], 0
    for path, count in zip(paths, counts, strict=True):
        here = slice(first, first + count)
        with np.load(path) as part:
            features[here], ends[here] = part["features"], part["ends"]
            about += json.loads(bytes(part["about"]))
        first += count
    return Scenes(features, ends, about)


def _count(path: Path) -> int:
    with np.load(path) as part:
        return len(part["ends"])


def content_hash(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a folder's files."""
    whole = hashlib.sha256()
    for path in sorted(folder.glob("[!.]*")):
        if path.suffix != ".json":  # what a stage notes about itself
            whole.update(path.name.encode() + b"\0" + bytes.fromhex(file_hash(path)))
    return whole.hexdigest()


def file_hash(path: Path) -> str:
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sounds_hash(sounds: Sequence[NDArray[np.int16]]) -> str:
    """Return the SHA-256 over sounds, in their order."""
    whole = hashlib.sha256()
    for sound in sounds:
        whole.update(len(sound).to_bytes(8, "little") + sound.astype("<i2").tobytes())
    return whole.hexdigest()


@dataclass(frozen=True)
class _Shard:
    has_word: bool
    numbers: range

    @property
    def name(self) -> str:
        return f"{'word' if self.has_word else 'other'}-{self.numbers.start:06d}.npz"


def _shards(plan: ScenePlan) -> Iterator[_Shard]:
    for has_word, count in ((True, plan.words), (False, plan.others)):
        for start in range(0, count, SCENES_A_SHARD):
            yield _Shard(has_word, range(start, min(start + SCENES_A_SHARD, count)))


_Given = tuple[Path, ScenePlan, int, Sequence[NDArray[np.int16]], Sequence[NDArray[np.int16]]]
_material: list[tuple[Material, int]] = []  # of this process


def _begin(given: _Given) -> None:
    folder, plan, seed, negatives, music = given
    made = Material.of(clip_files.load(folder), plan.is_held_out, seed, negatives, music)
    _material[:] = [(made, seed)]


def _shard(shard: _Shard) -> bytes:
    """The file of one shard."""
    material, seed = _material[0]
    slices, ends, about = [], [], []
    for number in shard.numbers:
        rng = np.random.default_rng([seed, STAGE, int(shard.has_word), number])
        if shard.has_word:
            samples, end, facts = word_scene(material, rng, number)
            ends.append(end_slice(end))
        else:
            samples, facts = other_scene(material, rng)
            ends.append(NO_WORD)
        slices.append(slices_of(samples))
        about.append(facts)
    return packed(slices, ends, about)


def packed(
    slices: Sequence[NDArray[np.int8]], ends: Sequence[int], about: Sequence[dict[str, object]]
) -> bytes:
    """Return the file of some scenes, as `load` reads it."""
    file = io.BytesIO()
    np.savez(
        file,
        features=np.stack(slices),
        ends=np.array(ends, np.int64),
        about=np.frombuffer(json.dumps(about, sort_keys=True).encode(), np.uint8),
    )
    return file.getvalue()
