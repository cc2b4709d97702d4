"""What a batch does to its scenes: each change happens, none touches where the word ends."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is missing: make setup-train")

from host_tools.training import batches, labels
from host_tools.training.batches import CROP, MOST_CUT, QUIET, Source, draw
from host_tools.training.scenes import NO_WORD, Scenes

SLICES = 388
FLAT = 20


def scenes(count: int, slices: int, end: int) -> Scenes:
    """Scenes that are FLAT everywhere."""
    features = np.full((count, slices, 40), FLAT, np.int8)
    return Scenes(features, np.full(count, end), [{}] * count)


def test_bands_moments_tilt_and_mixing_each_happen_and_often_nothing_does():
    seen = {"band": 0, "moment": 0, "tilt": 0, "nothing": 0}
    for seed in range(30):
        batch = draw(np.random.default_rng(seed), [Source(scenes(3, SLICES, 200), 8)])
        for scene in batch.features:
            is_quiet = scene == QUIET
            seen["band"] += is_quiet.all(axis=0).any()
            seen["moment"] += is_quiet.all(axis=1).any()
            rest = scene[~is_quiet]
            seen["tilt"] += len(np.unique(rest)) > 2
            seen["nothing"] += (scene == FLAT).all()
            assert is_quiet.mean() < 0.2 and np.abs(rest.astype(int) - FLAT).max() < 40
    for what, likely in (("band", 0.5), ("moment", 0.25), ("tilt", 0.45), ("nothing", 0.18)):
        assert 0.6 * likely < seen[what] / 240 < 1.5 * likely, (what, seen)


def test_what_is_mixed_in_is_lower_and_only_adds(monkeypatch):
    for change in ("BAND_MASK", "TIME_MASK", "TILT"):
        monkeypatch.setattr(batches, change, 0)
    monkeypatch.setattr(batches, "MIXED", 1)
    quiet = Scenes(np.full((2, SLICES, 40), -100, np.int8), np.full(2, NO_WORD), [{}, {}])
    batch = draw(np.random.default_rng(1), [Source(quiet, 20), Source(scenes(2, SLICES, 200), 20)])
    assert (batch.features[20:] == FLAT).all(), "the louder one is heard"
    heard = batch.features[:20].max(axis=(1, 2))
    assert (heard >= -100).all() and heard.max() > -60 and heard.max() <= FLAT - 15


def test_crops_start_in_every_phase_and_never_cut_off_a_label():
    found = set()
    for seed in range(20):
        batch = draw(np.random.default_rng(seed), [Source(scenes(2, SLICES, 320), 6)])
        for targets in batch.targets:
            positive = np.flatnonzero(targets == labels.POSITIVE)
            assert len(positive) in (10, 11) and targets[-1] != labels.POSITIVE
            found.add(int(positive[0]))
    assert len(found) > 3 and MOST_CUT == SLICES - CROP
    long = draw(np.random.default_rng(0), [Source(scenes(2, 778, NO_WORD), 4)])
    assert long.features.shape == (4, CROP, 40) and (long.targets == labels.NEGATIVE).all()
