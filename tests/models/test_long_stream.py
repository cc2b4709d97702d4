"""An hour of audio in one stream, without a reset: no counter or estimate drifts or overflows.

Audio is made in blocks from a seed, sent to the engine in MicroPython, and compared block by block
with pymicro-features and TFLite Micro, which run on beside it; memory stays small.
"""

from __future__ import annotations

import binascii
import os
from collections.abc import Iterator

import numpy as np

from host_tools import micropython
from host_tools.models import reference
from host_tools.models.catalog import DEFAULT_MODEL, find_model, known_models, read_tflite
from tests.generators.audio_cases import clip, spoken

HOURS = float(os.environ.get("EARNEST_LONG_STREAM_HOURS", "1"))
BLOCK_STEPS = 1000  # 10 s
BLOCKS = round(HOURS * 3600 * 100 / BLOCK_STEPS)
SAMPLES = 160 * BLOCK_STEPS

# A line for each block: features and slices that were ready, then probabilities, in hexadecimal.
ENGINE = """
import binascii, sys
from wakeword.engine import CHUNK_SAMPLES, Engine
from wakeword.model import read

engine = Engine([read(sys.argv[1])])
model = engine.models[0]
block_bytes = 2 * CHUNK_SAMPLES * int(sys.argv[2])
block = memoryview(bytearray(block_bytes))
features = memoryview(bytearray(80 * int(sys.argv[2])))
slices = memoryview(bytearray(40 * int(sys.argv[2])))
probabilities = bytearray(int(sys.argv[2]))
while sys.stdin.buffer.readinto(block) == block_bytes:
    n = inferences = 0
    for at in range(0, block_bytes, 2 * CHUNK_SAMPLES):
        engine.process(block[at : at + 2 * CHUNK_SAMPLES])
        if engine.slice_ready:
            features[2 * n : 2 * n + 80] = bytes(engine.frontend.features)
            slices[n : n + 40] = engine.slice
            n += 40
            if model.inferred:
                probabilities[inferences] = model.probability
                inferences += 1
    sys.stdout.buffer.write(binascii.hexlify(features[: 2 * n]) + b" ")
    sys.stdout.buffer.write(binascii.hexlify(slices[:n]) + b" ")
    sys.stdout.buffer.write(binascii.hexlify(memoryview(probabilities)[:inferences]) + b"\\n")
"""


def blocks() -> Iterator[np.ndarray]:
    """The hour: a level that wanders over 100 dB, speech, silence, tones and clipping."""
    words = spoken()
    i = np.arange(SAMPLES)
    for number in range(BLOCKS):
        rng = np.random.default_rng([11, number])
        kind = number % 12
        if kind in (0, 7) and number % 36 < 24:
            yield np.zeros(SAMPLES, np.int16)  # up to 10 s of digital silence
            continue
        level = 10 ** rng.uniform(-1, 4.5)
        # Noise is drawn once and shifted: cheap, and never twice the same beside the speech.
        hiss = np.resize(rng.standard_normal(16000), SAMPLES) * (level if kind != 5 else 2.0)
        if kind in (3, 9):
            hiss += level * np.sin(i * rng.uniform(0.01, 3.1))
        if kind == 4:
            hiss = rng.choice([-32768.0, 32767.0], SAMPLES)
        if kind == 8:
            hiss = np.where(i % int(rng.integers(50, 5000)) == 0, -32768, hiss * 0.01)
        for _ in range(4 if kind in (1, 2, 5, 6, 10, 11) else 0):
            said = words[rng.integers(len(words))]
            at = int(rng.integers(SAMPLES - len(said)))
            hiss[at : at + len(said)] += said * 10 ** rng.uniform(-2, 1)
        yield clip(hiss)


def test_an_hour_in_one_stream(tmp_path, figure):
    micropython.require_native_emitter()
    script = tmp_path / "engine.py"
    script.write_text(ENGINE)
    lines = micropython.stream(
        script,
        find_model(DEFAULT_MODEL).path,
        BLOCK_STEPS,
        stdin=(pcm.astype("<i2").tobytes() for pcm in blocks()),
    )
    front_end = reference.FeatureExtractor()
    tflite = reference.TFLiteMicroModel(read_tflite(known_models()[DEFAULT_MODEL]))
    rest = np.zeros((0, 40), np.int8)
    slices = inferences = loudest = 0
    for number, (line, pcm) in enumerate(zip(lines, blocks(), strict=True)):
        got_features, got, got_probabilities = (
            np.frombuffer(binascii.unhexlify(part), np.uint8) for part in line.split(b" ")
        )
        features = front_end.process(pcm)
        assert (got_features.view("<u2") == features.reshape(-1)).all(), f"features, {number}"
        want = reference.quantise(features)
        assert ((got ^ 0x80).view(np.int8) == want.reshape(-1)).all(), f"slices of block {number}"
        waiting = np.concatenate((rest, want))
        probabilities = tflite.run(waiting)
        rest = waiting[len(probabilities) * tflite.stride :]
        assert (got_probabilities == probabilities).all(), f"probabilities of block {number}"
        slices += len(want)
        inferences += len(probabilities)
        loudest = max(loudest, int(probabilities.max()))
    assert slices == BLOCKS * BLOCK_STEPS - 2
    assert inferences == slices // tflite.stride
    assert loudest > 250, "the wake word was in it"
    figure(f"0 of {BLOCKS * BLOCK_STEPS} steps differ")
