"""From what the stages made to the files of the word: model, setting, proof, report, recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from host_tools.evaluation.folders import audio_files
from host_tools.models.build import ConvertedModel
from host_tools.models.catalog import ModelFile
from host_tools.progress import OpenProgress
from host_tools.training import (
    clips,
    export,
    facts,
    people,
    recipe,
    report,
    results,
    scenes,
    selection,
    trial_scenes,
    trials,
    weights_file,
)
from host_tools.training.facts import Facts, Side
from host_tools.training.household import Household, Recording
from host_tools.training.network import Shape, Weights
from host_tools.training.plan import Plan
from host_tools.training.pronunciation import Word, plain
from host_tools.training.request import ESPEAK, Request
from host_tools.training.selection import Setting
from host_tools.training.stages import Stage
from host_tools.training.trials import Heard, Run, Trial
from host_tools.training.voices.family import Source

TOY_WARNING = (
    "Trained on espeak-ng alone, whose voices sound like robots: this model is for trying out. "
    "People will not wake it reliably."
)
OWN_WARNING = (
    "Trained on your own recordings, too: without them the recipe does not make the same model."
)
#: Made in code, in this project.
OWN_SOURCE = Source("talk's texts, rooms, noise, music", "made by Earnest", "Apache-2.0")


@dataclass(frozen=True)
class Made:
    """The folders and files of finished stages."""

    clips: Path
    scenes: Path
    weights: Path
    trials: Path
    #: The word by other voice families, for the report alone.
    elsewhere: Path | None
    beside: Side
    sources: tuple[Source, ...]
    has_own_negatives: bool
    has_own_music: bool
    #: What fine-tuning learned from and left to measure.
    household: Household | None = None


@dataclass(frozen=True)
class Outcome:
    """The content of the word's folder, and what is said about it."""

    files: Mapping[str, bytes]
    model: ConvertedModel
    setting: Setting
    facts: Facts
    people_line: str
    warnings: tuple[str, ...]


def finish(
    request: Request,
    word: Word,
    plan: Plan,
    made: Made,
    hear: Path | None,
    open_progress: OpenProgress,
) -> Outcome:
    """Export, choose the setting, prove, count, and put the files together.

    Raises HostToolError when the model is not exact, or a recording of `hear` cannot be read.
    """
    weights, shape = weights_file.load(made.weights)
    name = request.name
    tflite = export.export(
        weights, export.calibration(*scenes.load(made.scenes)), shape, f"{request.word} (Earnest)"
    )
    run, stride = trials.runner(tflite)
    judging = trial_scenes.load(made.trials)
    choosing, counting = trials.halves(trials.hear(judging, run, stride))
    model = ModelFile(name, Path(f"{name}.ewm"), request.word, 0, selection.USUAL_WINDOW, stride)
    setting = selection.choose(
        model,
        trials.measured(trials.of_kind(choosing, clips.WORD)),
        trials.measured(trials.of_kind(choosing, clips.NEAR)),
        trials.measured(trials.of_kind(choosing, clips.TALK, trials.MUSIC)),
    )
    manifest = results.manifest(name, request.word, setting)
    converted = results.proved(tflite, manifest, open_progress)
    people_side = None
    if made.household is not None:
        people_side = people.missed_by(made.household.measured, tflite, setting)
    elif hear is not None:
        everyone = [Recording(path) for path in audio_files((hear,))]
        people_side = people.missed_by(everyone, tflite, setting)
    in_float = trials.hear([each.trial for each in counting], _float_run(weights, shape), stride)
    counted = facts.collect(
        counting,
        setting,
        stride,
        (facts.side("the same, before 8 bit (float)", in_float, setting, stride), made.beside),
        people_side,
        _elsewhere(made, run, stride),
    )
    line = people.NO_PEOPLE
    if people_side is not None:
        line = people.line(people_side, made.household)
    warnings = _warnings(request, made)
    told = report.Report(name, request.word, setting, line, warnings, _made_of(word, plan, made))
    files = {
        f"{name}.tflite": tflite,
        f"{name}.json": manifest,
        f"{name}.ewm": converted.data,
        "report.html": report.html(told, counted, counting, model).encode(),
    }
    files["recipe.json"] = _recipe(request, word, plan, made, judging, files)
    return Outcome(files, converted, setting, counted, line, warnings)


def _elsewhere(made: Made, run: Run, stride: int) -> list[Heard]:
    if made.elsewhere is None:
        return []
    return trials.hear(trial_scenes.load(made.elsewhere), run, stride)


def _float_run(weights: Weights, shape: Shape) -> Run:
    """The float network as a model: its probabilities as uint8, 1/256 each, cut off."""

    def run(slices: NDArray[np.int8]) -> NDArray[np.uint8]:
        found = export.float_probabilities(weights, slices[None], shape)[0]
        steps: NDArray[np.uint8] = np.minimum(found * 256, 255).astype(np.uint8)
        return steps

    return run


def _warnings(request: Request, made: Made) -> tuple[str, ...]:
    found = [TOY_WARNING] if request.voices == ESPEAK else []
    is_own = made.has_own_negatives or made.has_own_music or made.household is not None
    return tuple(found + [OWN_WARNING] * is_own)


def _made_of(word: Word, plan: Plan, made: Made) -> tuple[tuple[str, str], ...]:
    sounds = ", ".join(dict.fromkeys(plain(way) for way in word.pronunciations))
    speech, scene, training = plan.speech, plan.scenes, plan.training
    steps = training.steps + training.later_steps * (training.rounds - 1)
    tuned = f"; then {plan.fine.steps} over your own recordings" if plan.fine else ""
    return (
        ("said as", sounds),
        ("clips", f"{speech.words} of the word, {speech.near} that sound like it, {speech.talk} "
                  f"of talk; by {', '.join(speech.families)}; every tenth speaker held out"),
        ("scenes", f"{scene.words} with the word, {scene.others} without"),
        ("training", f"{training.networks} networks of {steps} steps each, with hard negatives "
                     f"looked for; then {training.student_steps} steps of the one that is here, "
                     f"which learnt their mean{tuned}"),
        ("voices and texts", "; ".join(f"{s.name} ({s.licence})" for s in made.sources)),
    )  # fmt: skip


def _recipe(
    request: Request,
    word: Word,
    plan: Plan,
    made: Made,
    judging: list[Trial],
    files: Mapping[str, bytes],
) -> bytes:
    found = clips.load(made.clips)
    counts = {
        kind: {
            "clips": len(same),
            "held_out": sum(clip.is_held_out for clip in same),
            "speakers": len({clip.speaker for clip in same}),
            "minutes": round(sum(clip.seconds for clip in same) / 60, 1),
        }
        for kind in clips.KINDS
        if (same := [clip for clip in found if clip.kind == kind])
    }
    stages = [
        ("clips", Stage(made.clips, b"")),
        ("scenes", Stage(made.scenes, b"")),
        ("network", Stage(made.weights.parent, b"")),
        ("trials", Stage(made.trials, b"")),
    ]
    asked = request.as_json() | {"pronunciations": list(word.pronunciations)}
    counted = {"clips": counts, "trials": len(judging)}
    if made.household is not None:
        counted["household"] = made.household.as_json()
    sources = (*made.sources, OWN_SOURCE)
    return recipe.recipe(asked, plan.as_json(), stages, counted, sources, files)
