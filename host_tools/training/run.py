"""The whole of `earnest train`: from a word to its folder, stage by stage.

The only module that knows all stages.  What costs time is kept by `stages`, so the same request
goes on where it was stopped; the word's folder is written at the end, at once.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.evaluation.folders import audio_files
from host_tools.models.build import ConvertedModel
from host_tools.receiver import folder_lock
from host_tools.receiver.false_wakes import iter_false_wakes
from host_tools.training import (
    dense_training,
    fine_tuning,
    held_out,
    household,
    outcome,
    people,
    registry,
    results,
    scenes,
    speech,
    trial_scenes,
    voices,
    word_list,
)
from host_tools.training import plan as plans
from host_tools.training.facts import Facts
from host_tools.training.household import Household
from host_tools.training.outcome import Made
from host_tools.training.people import Sounds
from host_tools.training.plan import Plan
from host_tools.training.pronunciation import Word
from host_tools.training.request import Request
from host_tools.training.selection import Setting
from host_tools.training.stages import Stages
from host_tools.training.trial_scenes import TrialPlan
from host_tools.training.whole_progress import WholeProgress

_PRIVATE, _PRIVATE_LOCK = "private", ".private.lock"


@dataclass(frozen=True)
class Where:
    """The folders and the processes of a run; nothing in here changes the result."""

    out: Path
    cache: Path
    voices: Path
    workers: int = 1
    is_offline: bool = False


@dataclass(frozen=True)
class Trained:
    """What came out."""

    folder: Path
    model: ConvertedModel
    setting: Setting
    facts: Facts
    people_line: str
    warnings: tuple[str, ...]


def check(request: Request, where: Where, hear: Path | None) -> None:
    """Raise HostToolError for folders that cannot be read or written, before any work."""
    results.check_replaceable(where.out, request.name)
    audio_files((*request.negatives, *request.music, *([hear] if hear else [])))
    _household(request, hear)


def run(
    request: Request,
    word: Word,
    plan: Plan,
    where: Where,
    hear: Path | None,
    progress: WholeProgress,
) -> Trained:
    """Train a word and write its folder.

    Args:
        request: what is asked for.
        word: its pronunciations, checked.
        plan: how much of everything.
        where: folders and processes.
        hear: recordings of people saying the word, to measure on, and to learn from where the
            request says so.
        progress: has the stages of `plan.seconds`.

    Raises:
        HostToolError: whatever a stage refuses; the word's folder is as it was.
    """
    negatives, music = _own_negatives(request), people.read_pieces(request.music)
    learned = _household(request, hear)
    with _private(where.cache, is_used=bool(negatives) or learned is not None):
        made = _stages(request, word, plan, where, negatives, music, learned, progress)
        with progress.stage(plans.MODEL) as opened:
            found = outcome.finish(request, word, plan, made, hear, opened)
            results.check_replaceable(where.out, request.name)  # hours later
            results.write(where.out, found.files)
    return Trained(
        where.out, found.model, found.setting, found.facts, found.people_line, found.warnings
    )


@contextlib.contextmanager
def _private(cache: Path, *, is_used: bool) -> Iterator[None]:
    """Remove what was made of the user's own recordings when the block ends, by whatever but
    Ctrl-C: then the same command goes on.  A run that uses it keeps others away from it."""
    taken = HostToolError(
        f"another `earnest train` learns from recordings of yours in {cache}",
        "wait for it, or name another folder: --cache DIR",
    )
    lock = folder_lock.held(cache / _PRIVATE_LOCK, taken)
    with contextlib.ExitStack() as while_used:
        if is_used:
            cache.mkdir(parents=True, exist_ok=True)
            while_used.enter_context(lock)
        is_stopped = False
        try:
            yield
        except KeyboardInterrupt:
            is_stopped = True
            raise
        finally:
            if not is_stopped:
                with contextlib.suppress(HostToolError), contextlib.ExitStack() as now:
                    if not is_used:
                        now.enter_context(lock)
                    shutil.rmtree(cache / _PRIVATE, ignore_errors=True)


def _household(request: Request, hear: Path | None) -> Household | None:
    """The recordings to learn from; raises HostToolError where they are none, or too few."""
    if not request.fine_tune:
        return None
    if hear is None:
        raise HostToolError(
            "--fine-tune needs recordings to learn from",
            "give a folder of your household saying the word: --hear DIR",
        )
    return household.read(hear)


def _own_negatives(request: Request) -> Sounds:
    """The user's recordings without the word; raises HostToolError where none is readable."""
    found = people.read_pieces(request.negatives)
    if request.false_wakes is not None:
        kept = [samples for _, samples in iter_false_wakes(request.false_wakes)]
        if not kept:
            raise HostToolError(
                f"no false wake was kept in {request.false_wakes}",
                "label them on the receiver's page, or leave --false-wakes out",
            )
        found += people.pieces(kept)
    return found


def _stages(
    request: Request,
    word: Word,
    plan: Plan,
    where: Where,
    negatives: Sounds,
    music: Sounds,
    learned: Household | None,
    progress: WholeProgress,
) -> Made:
    """Make, or find made, everything that costs time."""
    seed, workers, stages = request.seed, where.workers, Stages(where.cache)
    # What is made of the user's own recordings is kept apart, and only while the run lasts.
    private = Stages(where.cache / _PRIVATE)
    own = private if negatives else stages
    families = [voices.family(name, where.voices) for name in plan.speech.families]
    with progress.stage(plans.DOWNLOAD) as opened:
        wanted = [artefact for family in families for artefact in family.artefacts]
        wanted += word_list.ARTEFACTS if plan.speech.uses_dictionary else ()
        registry.fetch(where.voices, wanted, opened, is_offline=where.is_offline)
    with progress.stage(plans.SPEECH) as opened:
        clips = speech.make(
            word, plan.speech, seed, stages, opened, workers,
            voices_folder=where.voices, is_offline=where.is_offline,
        )  # fmt: skip
    with progress.stage(plans.SCENES) as opened:
        seen = scenes.make(clips, plan.scenes, seed, own, opened, workers, negatives, music)
    with progress.stage(plans.TRAINING, plan.training_parts()) as opened:
        weights = dense_training.train(
            seen, clips, plan.training, seed, own, opened, workers, negatives, music
        )
    if learned is not None:
        assert plan.fine is not None, "the plan is of another request"
        with progress.stage(plans.FINE_TUNING, plan.fine_parts()) as opened:
            weights = fine_tuning.tune(
                fine_tuning.Before(clips, seen, weights), learned.learned, plan.fine,
                plan.training, seed, own, private, opened, workers, negatives, music,
            )  # fmt: skip
    with progress.stage(plans.HELD_OUT, (1, 1, 4, 1, 1)) as opened:
        shipped = held_out.make(
            held_out.shipped_word(), plan.speech.families[0], plan.beside,
            where.voices, seed, stages, opened, workers,
        )  # fmt: skip
        others = [
            held_out.make(word, name, plan.others, where.voices, seed, stages, opened, workers)
            for name in plan.other_families
        ]
        trials = trial_scenes.make((clips,), clips, plan.trials, seed, stages, opened)
        elsewhere = None
        if others:
            said = TrialPlan(2 * plan.others * len(others), 0, 0)
            elsewhere = trial_scenes.make(others, clips, said, seed, stages, opened)
        beside = held_out.shipped_side(
            shipped, clips, trials, plan.trials.words, seed, stages, opened
        )
    families += [voices.family(name, where.voices) for name in plan.other_families]
    sources = dict.fromkeys(source for family in families for source in family.sources)
    return Made(
        clips, seen, weights, trials, elsewhere, beside, tuple(sources),
        bool(negatives), bool(music), learned,
    )  # fmt: skip
