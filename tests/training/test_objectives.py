"""What networks are trained for: labels, and what an ensemble says."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is missing: make setup-train")

import torch

from host_tools.training import labels, network, objectives
from host_tools.training.batches import Source
from host_tools.training.objectives import NEGATIVE_WEIGHT, Ensemble, collage_loss, loss_of
from host_tools.training.scenes import NO_WORD, Scenes

NOTHING = torch.zeros(2, 30, dtype=torch.int8)


def hard_loss(found, wanted):
    return float(loss_of(found, (wanted == labels.POSITIVE).to(torch.float32), wanted))


def test_the_loss_counts_the_hardest_moment_of_a_scene_once_more():
    wanted = NOTHING.clone()
    quiet = torch.full((2, 30), -6.0)
    loud = quiet.clone()
    loud[0, 7] = 6.0
    # The same sum of losses as `loud`, spread evenly over the scene.
    each = torch.nn.functional.softplus(loud[0]).mean()
    spread = quiet.clone()
    spread[0] = torch.log(torch.expm1(each))
    losses = [hard_loss(x, wanted) for x in (quiet, spread, loud)]
    assert losses[0] + 0.1 < losses[1] < losses[2] - 0.1, losses
    wanted[1, 3:8] = labels.NOT_COUNTED
    ignored = loud.clone()
    ignored[1, 3:8] = 20.0
    assert hard_loss(ignored, wanted) == pytest.approx(hard_loss(loud, wanted))


def test_the_loss_is_zero_and_least_where_the_network_says_what_is_told():
    told = torch.linspace(0.01, 0.99, 60).reshape(2, 30)
    wanted = NOTHING.clone()
    wanted[1] = labels.POSITIVE
    for loss in (lambda found: loss_of(found, told, wanted), lambda f: collage_loss(f, told)):
        assert float(loss(torch.logit(told))) == pytest.approx(0, abs=1e-5)
        for away in (-0.5, 0.5):
            assert float(loss(torch.logit(told) + away)) > 0.01
    certain = torch.tensor([[0.0, 1.0]])
    assert objectives.divergence(torch.tensor([[-40.0, 40.0]]), certain).abs().max() < 1e-6


def test_a_moment_that_the_ensemble_hears_counts_more_in_a_collage():
    told = torch.full((1, 30), 0.01)
    told[0, 3] = 0.3
    found = torch.logit(told)
    losses = []
    for moment in (3, 20):
        wrong = found.clone()
        wrong[0, moment] = torch.logit(told[0, moment]) + 1.0
        losses.append(float(collage_loss(wrong, told)))
    assert losses[0] > 5 * losses[1] > 0


def test_the_student_is_told_the_mean_of_the_ensemble_and_no_gradient_reaches_it():
    rng = np.random.default_rng(1)
    teachers = [
        (network.initial_weights(network.ORDINARY, np.random.default_rng(seed)), network.ORDINARY)
        for seed in (1, 2, 3)
    ]
    features = rng.integers(-128, 128, (4, 388, 40)).astype(np.int8)
    words = Scenes(features, np.full(4, 200), [{}] * 4)
    others = Scenes(features, np.full(4, NO_WORD), [{}] * 4)
    ensemble = Ensemble([Source(words, 2), Source(others, 2)], teachers, 3)
    heard = network.real_features(torch.from_numpy(features))
    alone = [Ensemble((), [one], 0).probabilities(heard) for one in teachers]
    mean = ensemble.probabilities(heard)
    assert torch.allclose(mean, torch.stack(alone).mean(dim=0)) and not mean.requires_grad
    assert max(float((one - mean).abs().max()) for one in alone) > 0.1, "they do differ"

    def loss(seed: int) -> float:
        weights = {name: torch.from_numpy(value.copy()) for name, value in teachers[0][0].items()}
        return float(ensemble.loss(weights, network.ORDINARY, np.random.default_rng(seed)))

    assert loss(5) == loss(5) != loss(6) and loss(5) > 0


def test_the_first_scenes_are_learned_by_their_labels_alone():
    wanted = torch.zeros(4, 30, dtype=torch.int8)
    wanted[:, 10:20] = labels.POSITIVE
    told = torch.full((4, 30), 0.3)
    label = (wanted == labels.POSITIVE).to(torch.float32)
    target = Ensemble((), (), 0, told=1.0, labelled=2).target(told, wanted)
    assert torch.equal(target[:2], label[:2]) and torch.equal(target[2:], told[2:])
    assert torch.allclose(Ensemble((), (), 0).target(told, wanted), 0.3 * label + 0.7 * told)


def test_labels_weigh_the_negatives():
    wanted = NOTHING.clone()
    wanted[:, :10] = labels.POSITIVE
    right = torch.where(wanted == labels.POSITIVE, 9.0, -9.0)
    deaf, noisy = right.clone(), right.clone()
    deaf[:, :10] = 0.0
    noisy[:, 10:] = 0.0
    assert hard_loss(noisy, wanted) > NEGATIVE_WEIGHT * hard_loss(deaf, wanted)
