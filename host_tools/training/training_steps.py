"""One run of training steps: weights in, weights out, the same for the same seed.

What comes out is the running average of the weights, with batch norms measured anew for it.  A
checkpoint has all that the next step needs.  What a step's loss is, its `Objective` says.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.training.batches import Source, draw
from host_tools.training.network import (
    Shape,
    Tensor,
    Weights,
    logits,
    real_features,
    statistics,
)

STAGE = 5
WARM_UP, LAST_RATE = 0.1, 0.06  # shares of the steps, and of the highest rate
BETAS, TINY, WEIGHT_DECAY, LONGEST_GRADIENT = (0.9, 0.99), 1e-8, 1e-3, 2.0
#: The running average looks back this share of the steps.
AVERAGED_SHARE = 0.12
#: Batches that measure the batch norms: a tenth of the steps, within these.
FEWEST_NORM_BATCHES, MOST_NORM_BATCHES = 4, 50
CHECKPOINT_STEPS = 20
#: Generators: of the steps, and of the batches that measure the batch norms.
_STEPS, _NORMS = 0, 1


class Objective(Protocol):
    """What a run trains a network for."""

    @property
    def sources(self) -> Sequence[Source]:
        """What it is trained on; batches of it measure the batch norms, too."""

    def loss(
        self, weights: Mapping[str, Tensor], shape: Shape, rng: np.random.Generator
    ) -> Tensor:
        """Return the loss of a batch that `rng` draws."""


@dataclass(frozen=True)
class Steps:
    """How long and how fast a run trains."""

    count: int
    rate: float
    #: Of the run: its seed, round and branch.
    key: tuple[int, ...]

    @property
    def norm_batches(self) -> int:
        return min(max(self.count // 10, FEWEST_NORM_BATCHES), MOST_NORM_BATCHES)


def run(
    weights: Weights,
    shape: Shape,
    objective: Objective,
    steps: Steps,
    checkpoint: Path,
    report: Callable[[str, float], object],
) -> Weights:
    """Train and return the averaged weights.

    Args:
        weights: where it starts.
        shape: of the network.
        objective: the loss, and scenes with the word and without.
        steps: how many, how fast, and the seed.
        checkpoint: a file; what is in it is gone on with.
        report: gets a text and 1 for every step.

    Raises:
        HostToolError: the loss is not finite.
    """
    torch.set_num_threads(1)
    state = _State.load(checkpoint) or _State.begin(weights, shape)
    if state.step:
        report("resumed", state.step)
    while state.step < steps.count:
        loss = _step(state, shape, objective, steps)
        if not math.isfinite(loss):
            raise HostToolError(
                f"the training's loss is not finite after {state.step} steps",
                "report this with the recipe; another --seed may help",
            )
        report(f"loss {loss:.3f}", 1)
        if state.step % CHECKPOINT_STEPS == 0:
            state.save(checkpoint)
    return with_measured_norms(state.averages(), shape, objective.sources, steps)


def rate_at(step: int, steps: Steps) -> float:
    """Return the learning rate of a step: up in a line, down in a cosine, not to zero."""
    warm = max(1, round(steps.count * WARM_UP))
    if step < warm:
        return steps.rate * (step + 1) / warm
    done = (step - warm) / max(1, steps.count - warm)
    return steps.rate * (LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2)


def with_measured_norms(
    weights: Weights, shape: Shape, sources: Sequence[Source], steps: Steps
) -> Weights:
    """Return the weights with the batch norms' statistics as the mean over fresh batches."""
    tensors = {name: torch.from_numpy(values.copy()) for name, values in weights.items()}
    names = statistics(shape)
    sums: dict[str, Any] = {name: torch.zeros_like(tensors[name]) for name in names}
    with torch.no_grad():
        for number in range(steps.norm_batches):
            batch = draw(np.random.default_rng([*steps.key, _NORMS, number]), sources)
            for name in names:
                tensors[name].zero_()
            features = real_features(torch.from_numpy(batch.features))
            logits(tensors, features, shape, is_training=True, momentum=1.0)
            for name in names:
                sums[name] += tensors[name]
    found = {name: (total / steps.norm_batches).numpy() for name, total in sums.items()}
    return {**weights, **found}


def _step(state: _State, shape: Shape, objective: Objective, steps: Steps) -> float:
    rng = np.random.default_rng([*steps.key, _STEPS, state.step])
    loss = objective.loss(state.weights, shape, rng)
    trained = [state.weights[name] for name in state.first]
    gradients = torch.autograd.grad(loss, trained)
    state.update(gradients, rate_at(state.step, steps), AVERAGED_SHARE * steps.count)
    return float(loss.detach())


@dataclass
class _State:
    """All that a step needs of those before it: torch tensors by name."""

    step: int
    weights: dict[str, Any]
    first: dict[str, Any]  # Adam's moments, of the weights that are trained
    second: dict[str, Any]
    average: dict[str, Any]

    @classmethod
    def begin(cls, weights: Weights, shape: Shape) -> _State:
        tensors = {name: torch.from_numpy(values.copy()) for name, values in weights.items()}
        trained = [name for name in tensors if name not in statistics(shape)]
        for name in trained:
            tensors[name].requires_grad_(True)
        moments = [{name: torch.zeros_like(tensors[name]) for name in trained} for _ in range(2)]
        average = {name: tensors[name].detach().clone() for name in trained}
        return cls(0, tensors, moments[0], moments[1], average)

    def update(self, gradients: Sequence[Any], rate: float, averaged_steps: float) -> None:
        """One step of AdamW, then of the running average."""
        self.step += 1
        with torch.no_grad():
            norm = math.sqrt(sum(float((gradient * gradient).sum()) for gradient in gradients))
            factor = min(1.0, LONGEST_GRADIENT / (norm + TINY))
            keep = min(1 - 1 / max(averaged_steps, 1.0), self.step / (self.step + 10))
            corrections = [1 - beta**self.step for beta in BETAS]
            for name, gradient in zip(self.first, gradients, strict=True):
                weight, first, second = self.weights[name], self.first[name], self.second[name]
                gradient = gradient * factor
                first.mul_(BETAS[0]).add_(gradient, alpha=1 - BETAS[0])
                second.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
                if weight.dim() > 1:
                    weight.mul_(1 - rate * WEIGHT_DECAY)
                size = (second / corrections[1]).sqrt_().add_(TINY)
                weight.addcdiv_(first, size, value=-rate / corrections[0])
                self.average[name].mul_(keep).add_(weight, alpha=1 - keep)

    def averages(self) -> Weights:
        """The averaged weights; the statistics beside them belong to the last ones."""
        found = {name: tensor.detach() for name, tensor in self.weights.items()} | self.average
        return {name: tensor.numpy().copy() for name, tensor in found.items()}

    def save(self, path: Path) -> None:
        """Write the checkpoint whole or not at all."""
        parts = {"weights": self.weights, "first": self.first, "second": self.second}
        parts["average"] = self.average
        arrays = {
            f"{part}/{name}": tensor.detach().numpy()
            for part, tensors in parts.items()
            for name, tensor in tensors.items()
        }
        file = io.BytesIO()
        np.savez(file, step=np.array(self.step), **arrays)
        atomic_file.write(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> _State | None:
        """The checkpoint in a file, None where there is none."""
        if not path.exists():
            return None
        parts: dict[str, dict[str, Any]] = {}
        with np.load(path) as arrays:
            step = int(arrays["step"])
            for key in arrays.files:
                part, _, name = key.partition("/")
                if name:
                    parts.setdefault(part, {})[name] = torch.from_numpy(arrays[key])
        for name in parts["first"]:
            parts["weights"][name].requires_grad_(True)
        return cls(step, **parts)
