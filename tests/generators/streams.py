"""Audio for timing the simulator: a wake word and a command every 20 s, over a little noise.

python -m tests.generators.streams SECONDS OUT.wav
"""

import sys

import numpy as np

from host_tools.audio import files as audio
from tests.fakes.simulated import wake_and_command

PERIOD_S = 20
RATE_HZ = 16000
NOISE = 30


def streams(seconds: int) -> np.ndarray:
    """Return int16 at 16 kHz; the same samples for the same length."""
    spoken = wake_and_command().astype(np.int32)
    samples = np.random.default_rng(1).integers(-NOISE, NOISE + 1, seconds * RATE_HZ)
    for at in range(0, samples.size - spoken.size + 1, PERIOD_S * RATE_HZ):
        samples[at : at + spoken.size] += spoken
    return np.clip(samples, -32768, 32767).astype(np.int16)


if __name__ == "__main__":
    audio.write(sys.argv[2], streams(int(sys.argv[1])))
