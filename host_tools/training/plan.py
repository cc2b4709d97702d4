"""How much of everything a run makes, for the minutes that it may compute."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from host_tools.training import voices
from host_tools.training.dense_training import TrainPlan
from host_tools.training.request import DEFAULT_MINUTES, ESPEAK, KOKORO, Request
from host_tools.training.scenes import ScenePlan
from host_tools.training.speech import SpeechPlan
from host_tools.training.trial_scenes import TrialPlan

#: Names of the stages, as they are announced.
DOWNLOAD, SPEECH, SCENES, TRAINING = "download", "speech", "scenes", "training"
HELD_OUT, MODEL = "held-out scenes", "model and report"
#: Core-seconds each, measured: docs/train.md.
_A_CLIP = {KOKORO: 1.05, ESPEAK: 0.09}
_A_CHEAP_CLIP = 0.09
_A_WORD_SCENE, _ANOTHER_SCENE, _A_STEP = 0.025, 0.055, 0.072
_DOWNLOAD_SECONDS, _MODEL_SECONDS = 40.0, 20.0
_BYTES_A_CLIP, _BYTES_A_WORD_SCENE = 70_000, 15_600
_OTHER_BYTES, _TORCH_BYTES = 60_000_000, 600_000_000
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

    def as_json(self) -> dict[str, Any]:
        """Return the plan for the recipe."""
        return asdict(self)

    def seconds(self, workers: int) -> dict[str, float]:
        """Return the stages in order, and about how long each takes with so many processes."""
        first = self.speech.families[0]
        clips = sum(self.speech.counts.values())
        trials, training = self.trials, self.training
        steps = training.steps + training.later_steps * (training.rounds - 1)
        branches = training.later_steps * training.branches / min(workers, training.branches)
        mined = training.heard * training.rounds * _ANOTHER_SCENE / workers
        judged = 2 * trials.words + trials.near
        return {
            DOWNLOAD: _DOWNLOAD_SECONDS if first == KOKORO else 0.1,
            SPEECH: (clips * _A_CLIP[first] + self.speech.cheap_talk * _A_CHEAP_CLIP) / workers,
            SCENES: (self.scenes.words * _A_WORD_SCENE + self.scenes.others * _ANOTHER_SCENE)
            / workers,
            TRAINING: (steps + branches) * _A_STEP + mined,
            HELD_OUT: judged * _A_WORD_SCENE
            + trials.others * _ANOTHER_SCENE
            + self.beside * _A_CLIP[first] / workers
            + len(self.other_families) * self.others * (_A_CLIP[ESPEAK] + 2 * _A_WORD_SCENE),
            MODEL: _MODEL_SECONDS,
        }

    @property
    def disk_bytes(self) -> int:
        """About what the stages take."""
        speech = self.speech
        clips = (sum(speech.counts.values()) + speech.cheap_talk) * _BYTES_A_CLIP
        scenes = self.scenes.words + 2 * self.scenes.others
        return clips + scenes * _BYTES_A_WORD_SCENE + _OTHER_BYTES

    @property
    def memory_bytes(self) -> int:
        """About what the training takes: its scenes, and torch."""
        scenes = self.scenes.words + 2 * self.scenes.others
        return scenes * _BYTES_A_WORD_SCENE + _TORCH_BYTES

    def training_parts(self) -> tuple[float, ...]:
        """The shares of what the training does one after the other: a round, a search, ..."""
        plan = self.training
        search = plan.heard * _ANOTHER_SCENE
        later = plan.later_steps * _A_STEP
        middle = [part for _ in range(plan.rounds - 1) for part in (later, search)]
        return (plan.steps * _A_STEP, search, *middle, later * plan.branches)


def plan_for(request: Request) -> Plan:
    """Return the plan of a request: that of the default minutes, larger or smaller."""
    size = min(_MOST, request.minutes / DEFAULT_MINUTES)

    def of(usual: int, least: int) -> int:
        return max(least, round(usual * size))

    if request.voices == ESPEAK:
        return _toy(of)
    return Plan(
        SpeechPlan(of(1300, 120), of(300, 40), of(400, 60), cheap_talk=of(1500, 150)),
        ScenePlan(of(6500, 600), of(3600, 400)),
        TrainPlan(steps=of(2600, 300), later_steps=of(600, 120), heard=of(1000, 150), branches=3),
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
            steps=of(1500, 120),
            later_steps=of(400, 40),
            rounds=1,
            branches=2,
            heard=of(600, 50),
            words=12,
            others=14,
            mined=5,
        ),
        TrialPlan(of(200, 24), of(100, 8), of(200, 20)),
        beside=of(30, 4),
        others=0,
    )
