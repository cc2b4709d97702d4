"""Random weights through the export: what `earnest convert` and TFLite Micro make of the file."""

from __future__ import annotations

import struct

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is missing: make setup-train")

import torch

from host_tools.models.build import convert_model
from host_tools.models.catalog import known_models
from host_tools.models.graph import read_graph
from host_tools.models.reference import TFLiteMicroModel, features, quantise
from host_tools.models.whole_clips import WholeClipModel
from host_tools.training import network
from host_tools.training.export import DEPTHWISE, export, float_probabilities, fold
from tests.generators.audio_cases import cases
from tests.generators.random_weights import calibration, random_weights
from tests.models.test_random_models import FIRMWARE, MANIFEST

WEIGHT_SETS, IN_FIRMWARE = 200, 3
SETS_A_TEST = 25  # so that all cores share them
INFERENCES = 60


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Of torch, as in training: two made it several times slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def speech_and_noise() -> np.ndarray:
    """int8 slices of speech, noise, tones and full scale."""
    return np.concatenate([quantise(features(pcm)) for pcm in cases(3).values()])


@pytest.fixture(scope="module")
def heard() -> np.ndarray:
    return speech_and_noise()


def first_slice(seed: int, heard: np.ndarray) -> int:
    """Where a weight set begins to hear: anywhere, so in any phase of the stride."""
    return int(np.random.default_rng(seed).integers(0, len(heard) - INFERENCES * 3))


def compared(seed: int, heard: np.ndarray) -> tuple[bytes, np.ndarray, np.ndarray]:
    """(built file, slices, TFLite Micro's outputs) of a weight set, after whole_clips gave the
    same outputs."""
    weights, shape = random_weights(seed)
    data = export(weights, calibration(seed), shape)
    built = convert_model(data, MANIFEST)
    assert built.stride == network.STRIDE
    at = first_slice(seed, heard)
    slices = heard[at : at + INFERENCES * 3].copy()
    slices[:60] = np.random.default_rng([seed, 2]).integers(-128, 128, (60, 40))
    want = TFLiteMicroModel(data).run(slices)
    assert (WholeClipModel(data).run(slices) == want).all(), seed
    return built.data, slices, want


@pytest.mark.parametrize("first", range(0, WEIGHT_SETS, SETS_A_TEST))
def test_random_weights_are_exported_exactly(first, heard, figure):
    varied, phases = 0, set()
    for seed in range(first, first + SETS_A_TEST):
        _, slices, want = compared(seed, heard)
        varied += len(np.unique(want)) >= 8
        phases.add(first_slice(seed, heard) % network.STRIDE)
        assert len(want) == INFERENCES == len(slices) // network.STRIDE
    assert varied > 0.8 * SETS_A_TEST, varied
    assert phases == set(range(network.STRIDE)), "not every phase of the stride"
    figure(f"{SETS_A_TEST} weight sets, {SETS_A_TEST * INFERENCES} inferences, 0 differ")


def test_random_weights_are_the_same_in_the_firmware(heard, run_micropython, tmp_path):
    blob, expected = bytearray(), []
    for seed in range(IN_FIRMWARE):
        built, slices, want = compared(seed, heard)
        expected.append(want)
        blob += struct.pack("<I", len(built)) + built + struct.pack("<I", len(slices))
        blob += (slices.view(np.uint8) ^ 0x80).tobytes()
    path = tmp_path / "models"
    path.write_bytes(blob)
    got = np.frombuffer(run_micropython(FIRMWARE, path, IN_FIRMWARE), np.uint8)
    assert (got == np.concatenate(expected)).all()


def test_the_graph_is_that_of_the_published_model():
    source = known_models()["alexa"].read_bytes()
    ours = export(*_set(1, network.ORDINARY))
    longer = export(*_set(1, network.LONG))
    published = convert_model(source, MANIFEST)
    assert convert_model(ours, MANIFEST).macs == published.macs
    assert convert_model(longer, MANIFEST).macs == published.macs + 512
    kinds = _operators(source)
    assert _operators(ours) == _operators(longer) == kinds


def _operators(tflite_bytes: bytes) -> set[str]:
    return {operator.name for operator in read_graph(tflite_bytes).operators}


def _set(seed: int, shape: network.Shape):
    weights, shape = random_weights(seed, shape)
    return weights, calibration(seed), shape


def test_what_an_output_sees(heard):
    """An output depends on `seen_slices` and on no slice more."""
    for shape in (network.ORDINARY, network.LONG):
        weights, _ = random_weights(3, shape)
        scene = heard[:300].copy()[None]
        whole = float_probabilities(weights, scene, shape)[0]
        last = len(whole) - 1
        first_seen = 3 * last + 2 - (shape.seen_slices - 1)
        for at, is_seen in ((first_seen - 1, False), (first_seen, True)):
            changed = scene.copy()
            changed[0, at] = np.where(changed[0, at] > 0, -128, 127)
            moved = float_probabilities(weights, changed, shape)[0]
            assert (moved[last] != whole[last]) == is_seen, (shape, at)
    assert network.shape_for(1.1) == network.ORDINARY and network.shape_for(1.3) == network.LONG


def test_int8_follows_float(heard):
    """From the first output on: the histories start at zero in both."""
    weights, shape = random_weights(5, network.ORDINARY)
    scene = heard[:900]
    got = WholeClipModel(export(weights, scene[None], shape)).run(scene) / 256
    want = float_probabilities(weights, scene[None], shape)[0]
    assert np.ptp(want) > 0.9, "random weights must give outputs from end to end"
    assert np.abs(got - want).mean() < 0.1, np.abs(got - want).mean()
    assert np.abs(got - want)[:5].max() < 0.2, "the histories do not start at zero in both"
    assert np.corrcoef(got, want)[0, 1] > 0.95, np.corrcoef(got, want)[0, 1]


def test_folding_changes_nothing(heard):
    """The folded layers, written out in numpy, against the network with its batch norms."""
    weights, shape = random_weights(7, network.ORDINARY)
    scene = heard[:240]
    x = (scene.astype(np.float64) + 128) * network.INPUT_SCALE
    for layer in fold(weights, shape):
        x = np.concatenate([np.zeros((layer.kernel - layer.stride, x.shape[1])), x])
        windows = np.lib.stride_tricks.sliding_window_view(x, layer.kernel, axis=0)[
            :: layer.stride
        ]
        if layer.kind == DEPTHWISE:
            x = np.einsum("tck,ck->tc", windows, layer.weight[:, 0]) + layer.bias
        else:
            x = np.einsum("tck,ock->to", windows, layer.weight) + layer.bias
        x = np.maximum(x, 0) if layer.has_relu else x
    want = float_probabilities(weights, scene[None], shape)[0]
    assert np.abs(1 / (1 + np.exp(-x[:, 0])) - want).max() < 1e-4 and np.ptp(want) > 0.5
