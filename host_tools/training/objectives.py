"""What networks are trained for: the labels of scenes, or what an ensemble says of them.

Every inference of a scene is a loss term, and the hardest of each scene count once more: what
would wake a device is a single moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from host_tools.training import collages
from host_tools.training.batches import Source, draw
from host_tools.training.labels import NEGATIVE, POSITIVE
from host_tools.training.network import Shape, Tensor, Weights, logits, real_features

#: How much the mean of the negatives and the hardest ones count beside the positives.
NEGATIVE_WEIGHT, HARDEST, HARDEST_SHARE = 4.0, 4, 0.35
#: How much of a student's target is what the ensemble says.
TOLD = 0.7
#: The loss of collages: its weight, and that of a moment at which the ensemble hears something.
COLLAGE_WEIGHT, HEARD_WEIGHT, HEARD = 6.0, 10.0, 0.05


@dataclass(frozen=True)
class Labels:
    """Say what the labels say."""

    sources: Sequence[Source]

    def loss(
        self, weights: Mapping[str, Tensor], shape: Shape, rng: np.random.Generator
    ) -> Tensor:
        """See `training_steps.Objective`."""
        batch = draw(rng, self.sources)
        found = _trained(weights, shape, real_features(torch.from_numpy(batch.features)), rng)
        wanted = torch.from_numpy(batch.targets)
        return loss_of(found, (wanted == POSITIVE).to(torch.float32), wanted)


@dataclass(frozen=True)
class Ensemble:
    """Say what other networks say on average: of labelled scenes, and of collages."""

    sources: Sequence[Source]
    teachers: Sequence[tuple[Weights, Shape]]
    #: Collages of a batch.
    collages: int
    #: How much of a target is what they say; the rest is the label.
    told: float = TOLD
    #: Of each batch the first so many scenes are learned by their labels alone.
    labelled: int = 0

    def loss(
        self, weights: Mapping[str, Tensor], shape: Shape, rng: np.random.Generator
    ) -> Tensor:
        """See `training_steps.Objective`."""
        batch = draw(rng, self.sources)
        scenes = [source.scenes for source in self.sources]
        crops = collages.draw(rng, scenes, self.collages)
        features = real_features(torch.from_numpy(np.concatenate([batch.features, crops])))
        told = self.probabilities(features)
        found = _trained(weights, shape, features, rng)
        count, wanted = len(batch.features), torch.from_numpy(batch.targets)
        of_collages = collage_loss(found[count:], told[count:])
        of_scenes = loss_of(found[:count], self.target(told[:count], wanted), wanted)
        return of_scenes + COLLAGE_WEIGHT * of_collages

    def target(self, told: Tensor, wanted: Tensor) -> Tensor:
        """Return what to say of a batch's scenes, [scenes, outputs].

        Args:
            told: the teachers' mean.
            wanted: the labels.
        """
        share = torch.full((len(told), 1), self.told)
        share[: self.labelled] = 0
        return torch.lerp((wanted == POSITIVE).to(torch.float32), told, share)

    def probabilities(self, features: Tensor) -> Tensor:
        """The mean of the teachers' probabilities, [scenes, outputs]."""
        with torch.no_grad():
            said = [
                torch.sigmoid(logits(_tensors(weights), features, shape))
                for weights, shape in self.teachers
            ]
            return torch.stack(said).mean(dim=0)


def loss_of(found: Tensor, target: Tensor, wanted: Tensor) -> Tensor:
    """Return the loss of logits: zero where they say what the target says.

    Args:
        found: logits, [scenes, outputs].
        target: probabilities, as many.
        wanted: the labels, see `labels`: what is not counted there is not counted here.
    """
    each = divergence(found, target)
    is_positive, is_negative = wanted == POSITIVE, wanted == NEGATIVE
    positives = each[is_positive].sum() / is_positive.sum().clamp(min=1)
    negatives = torch.where(is_negative, each, torch.zeros_like(each))
    hardest = negatives.topk(HARDEST, dim=1).values.mean()
    mean = negatives.sum() / is_negative.sum().clamp(min=1)
    return positives + NEGATIVE_WEIGHT * (mean + HARDEST_SHARE * hardest)


def collage_loss(found: Tensor, told: Tensor) -> Tensor:
    """Return the loss of logits without labels: where the ensemble hears something counts more."""
    each = divergence(found, told)
    counted = torch.where(told > HEARD, HEARD_WEIGHT, 1.0)
    hardest = each.topk(HARDEST, dim=1).values.mean()
    return (each * counted).sum() / counted.sum() + HARDEST_SHARE / 2 * hardest


def divergence(found: Tensor, target: Tensor) -> Tensor:
    """Return the cross entropy of logits less that of the target itself: 0 where they agree."""
    entropy = -torch.xlogy(target, target) - torch.xlogy(1 - target, 1 - target)
    return F.binary_cross_entropy_with_logits(found, target, reduction="none") - entropy


def _trained(
    weights: Mapping[str, Tensor], shape: Shape, features: Tensor, rng: np.random.Generator
) -> Tensor:
    """The logits of the network in training, whose dropout `rng` decides."""
    torch.manual_seed(int(rng.integers(1 << 62)))
    return logits(weights, features, shape, is_training=True)


def _tensors(weights: Weights) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in weights.items()}
