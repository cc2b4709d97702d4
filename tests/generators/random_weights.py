"""Random weights of the network that training makes: every array, the batch norms' too."""

from __future__ import annotations

import numpy as np

from host_tools.training import network


def random_weights(
    seed: int, shape: network.Shape | None = None
) -> tuple[network.Weights, network.Shape]:
    """Weights whose outputs vary, and their shape: either one by the seed when it is not given."""
    rng = np.random.default_rng(seed)
    shape = shape or (network.ORDINARY, network.LONG)[seed % 2]
    weights = network.initial_weights(shape, rng)
    for name, values in weights.items():
        spread = rng.uniform(0.05, 0.6)
        if name.endswith((".variance", ".scale")):
            values *= np.exp(rng.normal(0, spread, values.shape)).astype(np.float32)
        elif not name.endswith(".weight"):
            values += rng.normal(0, spread, values.shape).astype(np.float32)
    if rng.random() < 0.3:  # a channel without weights, as training can leave it
        weights["pointwise1.weight"][int(rng.integers(shape.channels))] = 0
    return weights, shape


def calibration(seed: int) -> np.ndarray:
    """int8 [2, 150, 40]: what a range is measured on."""
    rng = np.random.default_rng([seed, 1])
    scenes = rng.normal(-40, 50, (2, 150, 40)) + rng.normal(0, 30, (2, 150, 1))
    return np.clip(np.rint(scenes), -128, 127).astype(np.int8)
