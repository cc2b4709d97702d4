"""Collages: parts of anything, in any order."""

from __future__ import annotations

import numpy as np

from host_tools.training import collages
from host_tools.training.batches import CROP, QUIET
from host_tools.training.scenes import NO_WORD, Scenes


def flat(value: int, slices: int = 388) -> Scenes:
    return Scenes(np.full((2, slices, 40), value, np.int8), np.full(2, NO_WORD), [{}, {}])


def test_parts_of_all_scenes_come_and_nothing_is_louder_than_allowed():
    found = collages.draw(np.random.default_rng(1), [flat(-60), flat(40, 778)], 60)
    assert found.shape == (60, CROP, 40) and found.dtype == np.int8
    has_low = [(np.abs(crop.astype(int) + 60) < 25).mean() > 0.03 for crop in found]
    has_high = [(np.abs(crop.astype(int) - 40) < 25).mean() > 0.03 for crop in found]
    assert 10 < sum(np.logical_and(has_low, has_high)) < 60, "some have both, some one"
    assert sum(has_high) > sum(has_low), "the louder covers the other where they are mixed"


def test_a_crop_is_stretched_and_shifted(monkeypatch):
    for change in ("BAND_MASK", "TIME_MASK", "TILT", "MIXED"):
        monkeypatch.setattr(f"host_tools.training.batches.{change}", 0)
    monkeypatch.setattr(collages, "MIXED", 0)
    ramp = np.zeros((1, CROP, 40), np.int8) + np.arange(40, dtype=np.int8)
    ramp[0, :, 0] = np.arange(CROP) // 4  # tells the time, 0 to 94
    scenes = Scenes(ramp, np.full(1, NO_WORD), [{}])
    monkeypatch.setattr(collages, "WHOLE", 1)
    shifts, speeds = set(), set()
    for seed in range(40):
        (crop,) = collages.draw(np.random.default_rng(seed), [scenes], 1)
        shifts.add(int(crop[9, 20]) - 20)
        if crop[9, 20] == 20:  # not shifted: the first band is the clock
            speeds.add(round(int(crop[200, 0]) * 4 / 200, 1))
    assert shifts <= set(range(-3, 4)) and len(shifts) >= 5
    assert min(speeds) < 0.9 and max(speeds) > 1.1 and 1.0 in speeds


def test_the_same_generator_makes_the_same_and_quiet_stays_in_range():
    scenes = [flat(QUIET), flat(127)]
    first, again = (collages.draw(np.random.default_rng(3), scenes, 8) for _ in range(2))
    assert (first == again).all()
