"""Small training runs for tests: robots only, no download."""

from __future__ import annotations

from pathlib import Path

from host_tools.training import run as runs
from host_tools.training import speech, word_checks
from host_tools.training.dense_training import TrainPlan
from host_tools.training.fine_tuning import FineTunePlan
from host_tools.training.plan import Plan
from host_tools.training.request import ESPEAK, Request
from host_tools.training.scenes import ScenePlan
from host_tools.training.speech import SpeechPlan
from host_tools.training.trial_scenes import TrialPlan
from host_tools.training.whole_progress import Announce, WholeProgress

WORD = "hey computer"


def speech_plan(words: int, near: int, talk: int) -> SpeechPlan:
    return SpeechPlan(words, near, talk, (ESPEAK,), second_share=0.0, uses_dictionary=False)


#: Learns the word of voices that it never heard, in half a minute of one core.
TOY = Plan(
    speech_plan(60, 24, 30),
    ScenePlan(160, 100),
    TrainPlan(2, 130, 0, 260, rounds=1, heard=50, words=12, others=14, mined=5, collages=8),
    TrialPlan(20, 8, 12),
    beside=2,
    others=0,
)
TOY_FINE = FineTunePlan(scenes=120, steps=200, heard=20, words=8, rate=2e-3)
#: Learns nothing, and goes through every stage.
TINY = Plan(
    speech_plan(10, 10, 10),
    ScenePlan(4, 4),
    TrainPlan(2, 3, 2, 3, rounds=2, heard=4, words=2, others=3, mined=1, collages=1),
    TrialPlan(4, 4, 4),
    beside=1,
    others=0,
)
TINY_FINE = FineTunePlan(scenes=4, steps=3, heard=3, words=1)


def train(
    plan: Plan,
    out: Path,
    cache: Path,
    workers: int = 1,
    announce: Announce = lambda *stage: None,
    report=lambda text, done: None,
    hear: Path | None = None,
) -> runs.Trained:
    """Run all stages of a plan; fine-tuned on `hear` where the plan says how."""
    progress = WholeProgress(plan.seconds(workers), report, announce)
    where = runs.Where(out, cache, speech.VOICES, workers)
    request = Request(WORD, voices=ESPEAK, fine_tune=plan.fine is not None)
    return runs.run(request, word_checks.checked(WORD), plan, where, hear, progress)
