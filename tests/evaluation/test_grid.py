"""Every window and cutoff counted at once, against the detector's rule on each by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from host_tools.evaluation.detections import CUTOFFS, ProbabilitySums
from host_tools.evaluation.grid import WINDOWS, Grid, Point, count
from host_tools.evaluation.measure import Measured
from host_tools.models.catalog import ModelFile

MODEL = ModelFile("word", Path("word.ewm"), "Word", cutoff=216, window=5, stride=3)


def around_a_word(rng: np.random.Generator, level: int) -> Measured:
    """Two seconds of low probabilities with some high ones in the middle."""
    values = rng.integers(0, 30, 67)
    at = int(rng.integers(20, 40))
    values[at : at + int(rng.integers(3, 16))] = level
    return Measured(2.0, np.clip(values, 0, 255).astype(np.uint8).tobytes())


@pytest.fixture(scope="module")
def files():
    rng = np.random.default_rng(4)
    positives = [around_a_word(rng, level) for level in (255, 250, 230, 200, 120, 60, 10)]
    negatives = [around_a_word(rng, level) for level in (250, 150, 90, 40, 0)]
    return positives, [*negatives, Measured(0.02, b"")]


def test_every_point_is_what_the_detector_does(files):
    positives, negatives = files
    grid = count(positives, negatives, MODEL)
    assert len(grid.points) == len(CUTOFFS) * len(WINDOWS)
    for window in WINDOWS:
        for cutoff in (0, 1, 29, 90, 216, 254, 255):
            found = [
                ProbabilitySums(np.frombuffer(f.probabilities, np.uint8), window).detections(
                    cutoff, MODEL.stride
                )
                for f in (*positives, *negatives)
            ]
            heard, accepted = found[: len(positives)], found[len(positives) :]
            point = grid.at(window, cutoff)
            assert point.missed == sum(not each for each in heard)
            assert point.false_accepts == sum(map(len, accepted))
    assert grid.own == grid.at(5, 216)
    assert grid.hours == pytest.approx(10.02 / 3600)
    assert grid.frr(grid.own) == grid.own.missed / 7


def test_latency_is_the_median_against_the_own_setting(files):
    positives, negatives = files
    grid = count(positives, negatives, MODEL)
    assert grid.own.latency_ms == 0
    own = {
        i: ProbabilitySums(np.frombuffer(f.probabilities, np.uint8), 5).detections(216, 3)[:1]
        for i, f in enumerate(positives)
    }
    for window, cutoff in ((12, 216), (3, 216), (5, 250), (20, 100)):
        later = [
            (found[0] - own[i][0]) * 30
            for i, f in enumerate(positives)
            if own[i]
            and (
                found := ProbabilitySums(
                    np.frombuffer(f.probabilities, np.uint8), window
                ).detections(cutoff, 3)
            )
        ]
        want = float(np.median(later)) if later else None
        assert grid.at(window, cutoff).latency_ms == want
    assert grid.at(12, 180).latency_ms > 0 > grid.at(1, 216).latency_ms
    assert grid.at(5, 255).latency_ms is None, "nothing is ever above 255"


def test_one_slow_word_does_not_move_the_median():
    sure = np.array([255] * 30, np.uint8).tobytes()
    slow = np.array([240] * 10 + [255] * 20, np.uint8).tobytes()
    grid = count([Measured(1.0, sure), Measured(1.0, slow), Measured(1.0, sure)], [], MODEL)
    assert grid.at(5, 250).latency_ms == 0
    grid = count([Measured(1.0, sure), Measured(1.0, slow), Measured(1.0, slow)], [], MODEL)
    assert grid.at(5, 250).latency_ms == 9 * 30, "the fourth 255, instead of the fifth 240"


def test_several_false_accepts_in_one_file_all_count():
    loud = np.zeros(400, np.uint8)
    for start in (10, 100, 200):
        loud[start : start + 10] = 255
    measured = Measured(36.0, loud.tobytes())
    grid = count([measured], [measured], MODEL)
    assert (grid.own.missed, grid.own.false_accepts) == (0, 3)
    assert grid.fa_per_hour(grid.own) == pytest.approx(300)


def test_no_files_at_all():
    grid = count([], [], MODEL)
    assert (grid.frr(grid.own), grid.fa_per_hour(grid.own)) == (None, None)
    assert (grid.own.missed, grid.own.false_accepts, grid.own.latency_ms) == (0, 0, None)


def test_det_keeps_what_nothing_else_beats():
    points = [
        Point(5, 200, 4, 10),
        Point(5, 220, 6, 3),
        Point(5, 240, 9, 0),
        Point(12, 200, 4, 5),
        Point(12, 220, 6, 4),
        Point(12, 240, 9, 0),
    ]
    grid = Grid({(p.window, p.cutoff): p for p in points}, points[0], 10, 1.0)
    assert list(grid.det()) == [points[2], points[1], points[3]]
    assert list(grid.det(12)) == [points[5], points[4], points[3]]
    assert list(grid.det(5)) == [points[2], points[1], points[0]]
