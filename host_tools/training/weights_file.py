"""The file of a network's weights: arrays by name, and the shape that they have."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from host_tools import atomic_file
from host_tools.training.network import Shape, Weights

NAME = "weights.npz"
_SHAPE = "shape"


def save(path: Path, weights: Weights, shape: Shape) -> None:
    """Write the file whole or not at all; the same bytes for the same weights."""
    file = io.BytesIO()
    told = np.frombuffer(json.dumps(asdict(shape), sort_keys=True).encode(), np.uint8)
    np.savez(file, **{_SHAPE: told}, **weights)
    atomic_file.write(path, file.getvalue())


def load(path: Path) -> tuple[Weights, Shape]:
    """Return the weights and their shape."""
    with np.load(path) as arrays:
        told = json.loads(bytes(arrays[_SHAPE]))
        weights = {name: arrays[name] for name in arrays.files if name != _SHAPE}
    return weights, Shape(**{**told, "kernels": tuple(told["kernels"])})
