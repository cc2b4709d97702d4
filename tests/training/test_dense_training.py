"""Training on a toy: it hears the word when it should, goes on after any stop, and repeats."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is missing: make setup-train")

from host_tools.errors import HostToolError
from host_tools.models.whole_clips import WholeClipModel
from host_tools.progress import no_progress
from host_tools.shared_firmware import ROOT
from host_tools.training import (
    dense_training,
    labels,
    mining,
    network,
    scene_sounds,
    scenes,
    training_steps,
    weights_file,
)
from host_tools.training.batches import CROP, Source, draw
from host_tools.training.dense_training import TrainPlan
from host_tools.training.export import calibration, export
from host_tools.training.objectives import Labels
from host_tools.training.scenes import NO_WORD, ScenePlan
from host_tools.training.stages import Stages
from tests.generators.toy_clips import toy_clips, write_toy_clips

SEED = 3
SCENES = ScenePlan(words=40, others=10)
PLAN = TrainPlan(
    networks=2, steps=60, later_steps=4, student_steps=90,
    heard=14, words=7, others=7, mined=3, collages=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(clips' folder, scenes' folder, stages, file of the trained weights)."""
    root = tmp_path_factory.mktemp("trained")
    clips_folder = write_toy_clips(root / "clips")
    stages = Stages(root / "stages")
    made = scenes.make(clips_folder, SCENES, SEED, stages, no_progress)
    path = dense_training.train(made, clips_folder, PLAN, SEED, stages, no_progress)
    return clips_folder, made, stages, path


def exported(scenes_folder, path) -> bytes:
    weights, shape = weights_file.load(path)
    return export(weights, calibration(*scenes.load(scenes_folder)), shape)


def test_it_fires_within_320_ms_of_the_end_in_every_phase_and_room(trained, figure):
    """The exported model, on speakers and scenes that training never saw."""
    _, scenes_folder, _, path = trained
    model = WholeClipModel(exported(scenes_folder, path))
    material = scene_sounds.Material.of(toy_clips(is_held_out=True), True, SEED)
    delays, missed, early = [], 0, 0
    for number in range(16):
        rng = np.random.default_rng([SEED, 99, number])
        samples, end, about = scene_sounds.word_scene(material, rng, number)
        if about["snr_db"] < 6:
            continue
        slices = scenes.slices_of(samples)
        for phase in range(network.STRIDE):
            model.reset()
            fired = np.flatnonzero(model.run(slices[phase:]) > 128)
            heard_at = 160 * labels.newest_slices(phase, CROP)[fired] + 480
            delay_ms = (heard_at - end) / 16
            early += np.any(delay_ms < labels.COUNTED_BEFORE * 10)
            on_time = delay_ms[(delay_ms >= 0) & (delay_ms <= 320)]
            missed += len(on_time) == 0
            delays += [on_time[0]] if len(on_time) else []
    assert len(delays) > 20 and missed <= 0.1 * len(delays), (missed, len(delays))
    assert early <= 0.1 * len(delays), early
    figure(f"{len(delays)} fired within 320 ms, {missed} did not, {early} fired before")


def test_targets_are_positive_from_the_end_on_for_320_ms():
    for end_sample in (16_000, 16_001, 16_480, 31_999):
        end = scenes.end_slice(end_sample)
        for first in range(network.STRIDE):
            found = labels.targets(np.array([end, NO_WORD]), np.array([first, first]), 120)
            newest = labels.newest_slices(first, 120)
            delay_ms = (160 * newest + 480 - end_sample) / 16
            positive = found[0] == labels.POSITIVE
            assert 0 <= delay_ms[positive].min() < 30 + 10 and delay_ms[positive].max() < 330
            assert positive.sum() in (10, 11)
            assert (found[0][(delay_ms > -280) & ~positive & (delay_ms < 600)] == -1).all()
            assert (found[0][(delay_ms < -300) | (delay_ms > 640)] == labels.NEGATIVE).all()
            assert (found[1] == labels.NEGATIVE).all()


def test_a_crop_keeps_its_words_labels(trained):
    words, others = scenes.load(trained[1])
    for seed in range(5):
        batch = draw(np.random.default_rng(seed), [Source(words, 6), Source(others, 4)])
        assert batch.features.shape == (10, CROP, 40) and batch.features.dtype == np.int8
        positives = (batch.targets == labels.POSITIVE).sum(axis=1)
        assert set(positives[:6]) <= {10, 11} and (positives[6:] == 0).all()
    again = draw(np.random.default_rng(4), [Source(words, 6), Source(others, 4)])
    assert (again.features == batch.features).all()


KILLED = """
import os, signal, sys
from pathlib import Path
from host_tools.progress import no_progress
from host_tools.training import dense_training
from host_tools.training.stages import Stages
from tests.training.test_dense_training import PLAN, SEED

class Killed:
    def __init__(self, total): self.done = 0
    def __enter__(self): return self.report
    def __exit__(self, *error): return None
    def report(self, text, done):
        self.done += done
        if "network 2" in text and self.done == PLAN.steps + 41:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    clips, made, root = map(Path, sys.argv[1:])
    dense_training.train(made, clips, PLAN, SEED, Stages(root), Killed)
"""


def test_killed_in_the_middle_of_a_round_it_ends_with_the_same_model(
    trained, tmp_path, monkeypatch
):
    """Then stopped again after that round, while hard negatives are looked for; same bytes."""
    clips_folder, made, _, path = trained
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    root = tmp_path / "stages"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, script, clips_folder, made, root], env=environment, timeout=300
    )
    assert done.returncode == -signal.SIGKILL
    (stage,) = root.iterdir()
    (checkpoint,) = stage.glob(".checkpoint*")
    with np.load(checkpoint) as arrays:
        assert int(arrays["step"]) == 40
    assert len(list(stage.glob("network-*.npz"))) == 1, "the first network is finished"
    steps = []

    class Stop(BaseException):
        pass

    class Watched:
        def __init__(self, total):
            pass

        def __enter__(self):
            return self.report

        def __exit__(self, *error):
            return None

        def report(self, text, done):
            steps.append((text, done))
            if text == "hard negatives" and done:
                raise Stop

    stages = Stages(root)
    with pytest.raises(Stop):
        dense_training.train(made, clips_folder, PLAN, SEED, stages, Watched)
    trained_steps = [done for text, done in steps if "loss" in text]
    assert steps[0][1] == 40 and len(trained_steps) == PLAN.steps - 40, (
        "it went on at the checkpoint"
    )
    again = dense_training.train(made, clips_folder, PLAN, SEED, stages, no_progress)
    assert exported(made, again) == exported(made, path)
    assert again.read_bytes() == path.read_bytes()


def test_another_seed_gives_another_model_and_the_same_stages_are_reused(trained):
    clips_folder, made, stages, path = trained
    before = sorted(stages.root.iterdir())
    assert dense_training.train(made, clips_folder, PLAN, SEED, stages, no_progress) == path
    assert sorted(stages.root.iterdir()) == before
    first, second = (
        network.initial_weights(network.ORDINARY, np.random.default_rng([seed, 5]))
        for seed in (SEED, SEED + 1)
    )
    assert (first["first.weight"] != second["first.weight"]).any()


def test_hard_negatives_are_what_the_network_takes_for_the_word(trained):
    _, _, stages, path = trained
    folders = list(stages.root.glob("mined-*"))
    hard = mining.load(folders)
    assert len(folders) == 2
    assert hard.features.shape == (2 * mining.KEPT_A_SHARD, mining.KEPT_SLICES, 40)
    probabilities = np.zeros((5, 30), np.float32)
    probabilities[1, 9:14], probabilities[3, 20], probabilities[4, 3:8] = 0.8, 1.0, 0.9
    order, at = mining.worst(probabilities, 3)
    assert list(order) == [4, 1, 3] and list(at[:2]) == [7, 13]


def test_a_loss_that_is_not_finite_stops_it(trained, tmp_path):
    words, others = scenes.load(trained[1])
    weights = network.initial_weights(network.ORDINARY, np.random.default_rng(0))
    weights["head.bias"][:] = np.inf
    steps = training_steps.Steps(5, 1e-3, (1,))
    with pytest.raises(HostToolError, match="not finite after 1 step"):
        training_steps.run(
            weights,
            network.ORDINARY,
            Labels([Source(words, 4), Source(others, 4)]),
            steps,
            tmp_path / "checkpoint",
            lambda text, done: None,
        )
