"""The front end in MicroPython against pymicro-features: every feature of every slice equal."""

from __future__ import annotations

import numpy as np
import pytest

from host_tools.audio.speech import synthesise
from host_tools.models import frontend_tables, reference
from host_tools.models.frontend_tables import FFT, STEP, WINDOW

HANN = np.array(frontend_tables.hann_q12()) / 4096

# Runs one signal after the other through one front end, reset in between, nothing allocated:
# argv[1] holds all signals, argv[2] the number of chunks in each; writes features and out.
SCRIPT = """
import micropython
import sys
from wakeword.frontend import Frontend

chunk, out, frontend = bytearray(320), bytearray(40), Frontend()

def run(source, sink, count):
    frontend.reset()
    for i in range(count):
        source.readinto(chunk)
        micropython.heap_lock()
        ready = frontend.process(chunk, out)
        micropython.heap_unlock()
        assert ready == (i >= 2), i
        if ready:
            sink.write(frontend.features)
            sink.write(out)

with open(sys.argv[1], "rb") as source, open(sys.argv[3], "wb") as sink:
    for count in sys.argv[2].split(","):
        run(source, sink, int(count))
"""


def clipped(values):
    """Samples as int16, a whole number of chunks."""
    samples = np.clip(np.round(values), -32768, 32767).astype("<i2")
    return samples[: len(samples) // STEP * STEP]


def tone(hz, level, count):
    return level * np.sin(2 * np.pi * hz / 16000 * np.arange(count))


def wrapping(rng):
    """Windows whose spectrum is as large as can be, so that the FFT's int16 sums wrap.

    The window's inverse makes what the FFT gets a square wave or random signs at full level.
    """
    parts = []
    for level in (8000, 16000, 23000, 30000, 32767, 10**6):
        for _ in range(12):
            phase = 2 * np.pi * (rng.integers(0, 257) * np.arange(WINDOW) / FFT + rng.random())
            parts.append(np.sign(np.cos(phase)) * level / np.maximum(HANN, 1e-3))
        for _ in range(12):
            parts.append(rng.choice([-1, 1], WINDOW) * level / np.maximum(HANN, 1e-3))
    return clipped(np.concatenate(parts))


def signals():
    """Name to int16 samples."""
    rng = np.random.default_rng(20)
    n = np.arange(24000)
    made = {
        "silence": np.zeros(4800),
        "full-scale tones": np.concatenate(
            [tone(hz, 32767, 4800) for hz in (60, 440, 1e3, 7.9e3)]
        ),
        "chirp": 20000 * np.sin(2 * np.pi * n * (50 + n / 8) / 16000),
        "clipped tone": tone(300, 200_000, 8000),
        "constant": np.concatenate([np.full(2400, v) for v in (32767, -32768, 1, -1)]),
        "impulses of -32768": np.where(n % 97, 5, -32768),
        "impulses over loud noise": np.where(n % 131, rng.normal(0, 9000, 24000), -32768),
        "impulses over silence": np.where(n % WINDOW, 0, -32768),
        "rails": np.where(n // 8 % 2, 32767, -32768),
        "random signs": rng.choice([-32768, 32767], 32000),
        "uniform": rng.integers(-32768, 32768, 32000),
        "bursts": np.repeat(np.exp(rng.random(300) * 11), STEP) * rng.normal(0, 1, 300 * STEP),
        "sparse": rng.integers(-32768, 32768, 32000) * (rng.random(32000) < 0.01),
        "wrapping": wrapping(rng),
    }
    for level in (0.3, 1, 3, 30, 300, 3000, 20000, 100_000):
        made[f"noise, sigma {level}"] = rng.normal(0, level, 16000)
    speech = synthesise("Okay Nabu, what will the weather be like in the mountains tomorrow?")
    for gain in (0.02, 0.5, 1, 8):
        made[f"speech times {gain}"] = speech * gain + rng.normal(0, 3, len(speech))
    return {name: clipped(values) for name, values in made.items()}


@pytest.fixture
def process(run_micropython, tmp_path):
    """`process(list of int16 arrays)` -> list of (features, out), arrays of shape (n, 40)."""

    def run(arrays):
        source, sink = tmp_path / "in.pcm", tmp_path / "out.bin"
        source.write_bytes(b"".join(samples.tobytes() for samples in arrays))
        counts = [len(samples) // STEP for samples in arrays]
        run_micropython(SCRIPT, source, ",".join(map(str, counts)), sink)
        slices = np.fromfile(sink, np.uint8).reshape(-1, 120)
        ends = np.cumsum([count - 2 for count in counts])
        assert len(slices) == ends[-1]
        parts = np.split(slices, ends[:-1])
        return [(np.ascontiguousarray(part[:, :80]).view("<u2"), part[:, 80:]) for part in parts]

    return run


def test_features_equal_pymicro_features(process):
    made = signals()
    largest = 0
    for (name, samples), (features, out) in zip(
        made.items(), process(list(made.values())), strict=True
    ):
        want = reference.features(samples)
        different = np.argwhere(features != want)
        assert not len(different), (name, len(different), different[0])
        assert (out == reference.quantise(want).astype(int) + 128).all(), name
        largest = max(largest, want.max())
    assert largest >= 667  # where the model's input has to be clamped


def features_by_the_minute(samples):
    """Yield what pymicro-features says of every minute of a stream (`features` keeps all)."""
    from pymicro_features import MicroFrontend

    frontend, data, slices = MicroFrontend(), samples.tobytes(), []
    for start in range(0, len(data), 2 * STEP):
        values = frontend.process_samples(data[start : start + 2 * STEP]).features
        if values:
            slices.append(values)
        if len(slices) == 6000:
            yield np.rint(np.array(slices) / 0.0390625).astype(np.uint16)
            slices = []
    yield np.rint(np.array(slices) / 0.0390625).astype(np.uint16)


def test_minutes_without_reset_stay_exact(process):
    """test_long_stream.py has an hour of other audio."""
    rng = np.random.default_rng(21)
    level = np.repeat(np.exp(rng.random(100) * 10.5), 16000)
    samples = np.tile(clipped(rng.normal(0, 1, len(level)) * level), 4)
    ((features, _),) = process([samples])
    assert len(features) == 40_000 - 2
    for minute, want in enumerate(features_by_the_minute(samples)):
        got = features[minute * 6000 : minute * 6000 + len(want)]
        assert (got == want).all(), minute


def test_tables_on_the_device_are_those_of_the_formulas():
    assert frontend_tables.TARGET.read_text() == frontend_tables.source()


def test_tables_have_the_documented_sizes():
    sizes = {name: len(data) // 2 for name, (_, data) in frontend_tables.tables().items()}
    assert sizes == {
        "WINDOW": 480,
        "TWIDDLES": 506,
        "SUPER_TWIDDLES": 250,
        "FILTER_BANK": 661,
        "GAINS": 228,
    }


def test_bounds_that_the_kernels_rely_on():
    """The sums of weights in filter_bank, the range of the gains and the quantiser in compress."""
    widths, weights = frontend_tables.filter_bank()
    ends = np.cumsum(widths)
    bands = np.split(np.array(weights), ends[:-1])
    own = [band.sum() for band in bands]
    carried = [(4096 - band).sum() for band in bands]
    assert max(own + carried) * 65535 + 65536 < 1 << 31
    both = max(a + b for a, b in zip(own[1:], carried, strict=False))
    assert both * (1 << 15) < 1 << 31
    assert both * 2 * 32767**2 < 1 << 47
    table = np.array(frontend_tables.pcan_table()).reshape(33, 3)
    fraction = np.arange(1024)
    for y0, minus_a1, a2 in table:
        product = (((a2 * fraction) >> 5) - (minus_a1 << 5)) * fraction
        gain = y0 + ((product + 16384) >> 15)
        assert abs(product).max() < 1 << 28 and gain.min() >= 0 and gain.max() <= 32636
    feature = np.arange(1400)
    got = np.minimum((feature * 25191 + 32768) >> 16, 255)
    assert (got == reference.quantise(feature).astype(int) + 128).all()


def test_seeds_bring_the_root_near_before_it_is_corrected():
    """In filter_bank: |m - s * s >> 6| * y < 2**31, and a Newton step leaves an error below 2."""
    seeds = np.array(frontend_tables.roots())
    for index in range(64, 256):
        m = np.arange(index << 22, index + 1 << 22, 997)
        seed, reciprocal = seeds[index - 64], seeds[index + 128]
        rest = (m - seed * seed) >> 6
        assert (abs(rest) * reciprocal).max() < 1 << 31
        root = seed + (rest * reciprocal >> 24)
        assert abs(root - np.sqrt(m)).max() < 2
        for shift in (1, 5, 9):
            step = (m - root * root) << shift
            assert abs(step).max() < 1 << 31
            assert (abs(step >> 10) * reciprocal).max() < 1 << 31
