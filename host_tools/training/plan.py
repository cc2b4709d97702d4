"""How much of everything a run makes, for the minutes that it may compute."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from host_tools.training import voices
from host_tools.training.dense_training import TrainPlan
from host_tools.training.fine_tuning import FineTunePlan
from host_tools.training.request import DEFAULT_MINUTES, ESPEAK, KOKORO, Request
from host_tools.training.scenes import ScenePlan
from host_tools.training.speech import SpeechPlan
from host_tools.training.trial_scenes import TrialPlan

#: Names of the stages, as they are announced.
DOWNLOAD, SPEECH, SCENES, TRAINING = "download", "speech", "scenes", "training"
FINE_TUNING, HELD_OUT, MODEL = "fine-tuning", "held-out scenes", "model and report"
#: Core-seconds each, measured: docs/train.md.
_A_CLIP = {KOKORO: 1.05, ESPEAK: 0.09}
_A_CHEAP_CLIP = 0.09
_A_WORD_SCENE, _ANOTHER_SCENE = 0.025, 0.055
_A_STEP, _A_STUDENTS_STEP = 0.072, 0.095
_DOWNLOAD_SECONDS, _MODEL_SECONDS = 40.0, 20.0
_BYTES_A_CLIP, _BYTES_A_WORD_SCENE = 70_000, 15_600
_OTHER_BYTES, _TORCH_BYTES = 60_000_000, 680_000_000
#: More than so many times the ordinary run adds only time.
_MOST = 6.0


@dataclass(frozen=True)
class Plan:
    """The sizes of all stages."""

    speech: SpeechPlan
    scenes: ScenePlan
    training: TrainPlan
    trials: TrialPlan
    #: Held-out clips of a shipped model's word, and of the word by each other voice family.
    beside: int
    others: int
    #: Families that say the word for the report alone.
    other_families: tuple[str, ...] = ()
    #: Of the household's recordings; None: not asked for.
    fine: FineTunePlan | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the plan for the recipe."""
        return asdict(self)

    def seconds(self, workers: int) -> dict[str, float]:
        """Return the stages in order, and about how long each takes with so many processes."""
        first = self.speech.families[0]
        clips = sum(self.speech.counts.values())
        trials = self.trials
        judged = 2 * trials.words + trials.near
        return {
            DOWNLOAD: _DOWNLOAD_SECONDS if first == KOKORO else 0.1,
            SPEECH: (clips * _A_CLIP[first] + self.speech.cheap_talk * _A_CHEAP_CLIP) / workers,
            SCENES: (self.scenes.words * _A_WORD_SCENE + self.scenes.others * _ANOTHER_SCENE)
            / workers,
            TRAINING: sum(self.training_parts(workers)),
            **({FINE_TUNING: sum(self.fine_parts(workers))} if self.fine else {}),
            HELD_OUT: judged * _A_WORD_SCENE
            + trials.others * _ANOTHER_SCENE
            + self.beside * _A_CLIP[first] / workers
            + len(self.other_families) * self.others * (_A_CLIP[ESPEAK] + 2 * _A_WORD_SCENE),
            MODEL: _MODEL_SECONDS,
        }

    def fine_parts(self, workers: int = 1) -> tuple[float, ...]:
        """The seconds of each part of fine-tuning; none where it is not wanted."""
        fine = self.fine
        if fine is None:
            return ()
        return (
            fine.scenes * _A_WORD_SCENE,
            fine.heard * _ANOTHER_SCENE / workers,
            fine.steps * _A_STUDENTS_STEP,
        )

    @property
    def disk_bytes(self) -> int:
        """About what the stages take."""
        speech = self.speech
        clips = (sum(speech.counts.values()) + speech.cheap_talk) * _BYTES_A_CLIP
        scenes = self.scenes.words + 2 * self.scenes.others
        scenes += self.fine.scenes if self.fine else 0
        return clips + scenes * _BYTES_A_WORD_SCENE + _OTHER_BYTES

    @property
    def memory_bytes(self) -> int:
        """About what a process of the training takes at most: its scenes, and torch."""
        scenes = self.scenes.words + 2 * self.scenes.others
        return scenes * _BYTES_A_WORD_SCENE + _TORCH_BYTES

    def training_parts(self, workers: int = 1) -> tuple[float, ...]:
        """Seconds of what the training does one after the other: a round, a search, ..."""
        plan = self.training
        at_once = math.ceil(plan.networks / workers) * _A_STEP
        search = plan.heard * _ANOTHER_SCENE / workers
        later = (plan.later_steps * at_once, search) * (plan.rounds - 1)
        student = plan.student_steps * _A_STUDENTS_STEP
        return (plan.steps * at_once, search, *later, student)


def plan_for(request: Request) -> Plan:
    """Return the plan of a request: that of the default minutes, larger or smaller."""
    found = _without_fine_tuning(request)
    if not request.fine_tune:
        return found
    size, usual = min(1.0, request.minutes / DEFAULT_MINUTES), FineTunePlan()
    return replace(
        found,
        fine=replace(
            usual,
            scenes=max(80, round(usual.scenes * size)),
            steps=max(60, round(usual.steps * size)),
            heard=max(50, round(usual.heard * size)),
        ),
    )


def _without_fine_tuning(request: Request) -> Plan:
    size = min(_MOST, request.minutes / DEFAULT_MINUTES)

    def of(usual: int, least: int) -> int:
        return max(least, round(usual * size))

    if request.voices == ESPEAK:
        return _toy(of)
    return Plan(
        SpeechPlan(of(1300, 120), of(300, 40), of(400, 60), cheap_talk=of(1500, 150)),
        ScenePlan(of(6500, 600), of(3600, 400)),
        TrainPlan(
            steps=of(1500, 150),
            later_steps=of(500, 60),
            student_steps=of(2800, 300),
            heard=of(1000, 150),
        ),
        TrialPlan(of(400, 60), of(200, 30), of(1200, 60)),
        beside=of(60, 12),
        others=of(40, 10),
        other_families=(ESPEAK, *voices.unseen()),
    )


def _toy(of: Callable[[int, int], int]) -> Plan:
    """With voices that sound like robots more of anything does not help."""
    return Plan(
        SpeechPlan(
            of(900, 60),
            of(300, 30),
            of(400, 40),
            families=(ESPEAK,),
            second_share=0.0,
            uses_dictionary=False,
        ),
        ScenePlan(of(3000, 160), of(2000, 100)),
        TrainPlan(
            networks=2,
            steps=of(700, 80),
            student_steps=of(1200, 100),
            rounds=1,
            heard=of(600, 50),
            words=12,
            others=14,
            mined=5,
        ),
        TrialPlan(of(200, 24), of(100, 8), of(200, 20)),
        beside=of(30, 4),
        others=0,
    )
