"""The host's detector over whole files against the firmware's, step by step in MicroPython."""

from __future__ import annotations

import json

import numpy as np

from host_tools.evaluation.detections import ProbabilitySums

FIRMWARE = """
import json, sys
from wakeword.detector import Detector
for line in sys.stdin:
    cutoff, window, stride, refractory_ms, values = json.loads(line)
    detector = Detector(cutoff, window, stride * 10, refractory_ms)
    print(json.dumps([i for i, value in enumerate(values) if detector.update(value)]))
"""


def sequence(rng: np.random.Generator) -> np.ndarray:
    """uint8: runs of low, high and any probabilities, as around words, and some plain noise."""
    length = int(rng.integers(0, 400))
    if rng.random() < 0.2:
        return rng.integers(0, 256, length).astype(np.uint8)
    levels = rng.choice([0, 3, 120, 216, 217, 250, 255], -(-length // 12))
    values = np.repeat(levels, 12)[:length] + rng.integers(-12, 13, length)
    return np.clip(values, 0, 255).astype(np.uint8)


def test_host_equals_firmware_on_random_sequences(run_micropython):
    rng = np.random.default_rng(1)
    lines, got = [], []
    for _ in range(600):
        values = sequence(rng)
        cutoff = int(rng.choice([0, 1, 127, 216, 217, 254, 255, rng.integers(0, 256)]))
        window, stride = int(rng.choice([1, 5, 20, 100])), int(rng.integers(1, 5))
        refractory_ms = int(rng.choice([0, 1, 30, 500, 1000, 2000]))
        sums = ProbabilitySums(values, window)
        got.append(sums.detections(cutoff, stride, refractory_ms))
        lines.append(json.dumps([cutoff, window, stride, refractory_ms, values.tolist()]))
    out = run_micropython(FIRMWARE, stdin="\n".join(lines).encode())
    want = [json.loads(line) for line in out.splitlines()]
    assert len(want) == len(got)
    wrong = [(i, g, w) for i, (g, w) in enumerate(zip(got, want, strict=True)) if g != w]
    assert not wrong, wrong[:3]
    assert sum(len(found) > 1 for found in want) > 100, (
        "the sequences must detect, again and again"
    )


def test_the_sum_must_be_above_the_cutoff_not_equal():
    sums = ProbabilitySums(np.full(5, 216, np.uint8), 5)
    assert sums.detections(216, 3) == []
    assert sums.detections(215, 3) == [4]


def test_no_second_detection_before_a_quiet_second():
    values = np.full(200, 255, np.uint8)
    assert ProbabilitySums(values, 5).detections(200, 3) == [3]
    values[50:84] = 0  # 34 steps of 30 ms
    assert ProbabilitySums(values, 5).detections(200, 3) == [3, 87]
    values[83] = 255  # one quiet step less
    assert ProbabilitySums(values, 5).detections(200, 3) == [3]
