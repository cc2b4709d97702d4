"""More speech for the report alone: another voice family, and a shipped model's own word.

The clips of a run have held-out speakers of its first voice family.  Here are more of them: of
another family, and such that say the word of a model that comes with Earnest, so that its misses
on the same voices stand beside those of the new one.
"""

from __future__ import annotations

from pathlib import Path

from host_tools.models.catalog import find_model, known_models
from host_tools.progress import OpenProgress
from host_tools.training import clips, orders, speech_workers, trial_scenes, voices
from host_tools.training.clips import TALK, WORD
from host_tools.training.facts import Side, side
from host_tools.training.orders import HELD_OUT_EVERY, Texts
from host_tools.training.pronunciation import Word, word
from host_tools.training.selection import Setting
from host_tools.training.stages import Stages
from host_tools.training.trial_scenes import TrialPlan
from host_tools.training.trials import MUSIC, hear, runner

VERSION = 1
#: The model that stands beside: its word is spelled as it is said, and docs/train.md has what it
#: does on people.
SHIPPED = "alexa"
_BYTES_A_CLIP = 45_000


def make(
    said: Word,
    family: str,
    count: int,
    voices_folder: Path,
    seed: int,
    stages: Stages,
    open_progress: OpenProgress,
    workers: int = 1,
) -> Path:
    """Make `count` clips of a word by held-out speakers of a family; return the folder.

    Raises HostToolError when a voice does not work.
    """
    families = [voices.family(family, voices_folder)]
    numbers = [HELD_OUT_EVERY * (number + 1) - 1 for number in range(count)]
    drawn = [orders.draw(WORD, number, Texts(said, ()), families, 0.0, seed) for number in numbers]
    listed = orders.pronounced(drawn)
    inputs = {"orders": orders.digest(listed), "seed": seed}
    stage = stages.folder("held-out", inputs, VERSION)
    if not stage.is_done:
        with stage.making(count * _BYTES_A_CLIP) as folder, open_progress(count) as report:
            left = [each for each in listed if not clips.path_of(folder, each.number).exists()]
            report("", count - len(left))
            jobs = [(folder, each) for each in left]
            for order in speech_workers.make(jobs, (family,), voices_folder, seed, workers):
                report(f"{order.text} ({order.speaker})", 1)
            stage.finish()
    return stage.path


def shipped_word() -> Word:
    """The word of the model that stands beside a new one, as a voice says it."""
    return word(find_model(SHIPPED).wake_word)


def shipped_side(
    shipped_clips: Path,
    clips_folder: Path,
    trials: Path,
    words: int,
    seed: int,
    stages: Stages,
    open_progress: OpenProgress,
) -> Side:
    """Return what the shipped model misses of its own word, and its false accepts on the talk.

    Args:
        shipped_clips: what `make` made of `shipped_word`.
        clips_folder: the clips of the run, for talk around the word.
        trials: those of the new model, for talk and music.
        words: how many scenes with the word.
        seed: of the run.
        stages: where the scenes are kept.
        open_progress: shows them as they are made.
    """
    plan = TrialPlan(words, 0, 0)
    folder = trial_scenes.make((shipped_clips,), clips_folder, plan, seed, stages, open_progress)
    others = [each for each in trial_scenes.load(trials) if each.kind in (TALK, MUSIC)]
    model = find_model(SHIPPED)
    run, stride = runner(known_models()[SHIPPED].read_bytes())
    heard = hear([*trial_scenes.load(folder), *others], run, stride)
    what = f"{model.name} (shipped) on its own word, by the same kind of voices"
    return side(what, heard, Setting(model.cutoff, model.window), stride)
