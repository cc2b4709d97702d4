"""One audio file through the real firmware in the real MicroPython, as trace events and a result.

Place: between `simulate` (the command) and `simulate_device` (which runs inside MicroPython).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from host_tools import micropython, trace
from host_tools.audio import AudioFile
from host_tools.errors import HostToolError
from host_tools.microphone import Microphone, rms
from host_tools.model_files import ModelFile

DEVICE = Path(__file__).parent / "simulate_device.py"
# The models' files and arenas; the host's objects are twice as large as the board's.
BASE_HEAP_BYTES = 4 << 20
HEAP_BYTES_PER_MODEL = 2 << 20
CHUNK_SAMPLES = 160


@dataclass(frozen=True)
class Settings:
    """What is the same for every file of a simulation."""

    models: tuple[ModelFile, ...]
    microphone: Microphone = Microphone()
    with_features: bool = False


@dataclass
class Envelope:
    """The lowest and highest sample of each 10 ms, for a picture of the waveform."""

    low: list[np.ndarray] = field(default_factory=list)
    high: list[np.ndarray] = field(default_factory=list)
    _rest: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int16))

    def add(self, block: np.ndarray) -> None:
        samples = np.concatenate([self._rest, block])
        whole = samples.size // CHUNK_SAMPLES * CHUNK_SAMPLES
        chunks = samples[:whole].reshape(-1, CHUNK_SAMPLES)
        self.low.append(chunks.min(axis=1))
        self.high.append(chunks.max(axis=1))
        self._rest = samples[whole:]


@dataclass
class Result:
    """What a simulation of one file found; filled while its events are read."""

    audio: str
    duration_s: float  # of the file
    notes: tuple[str, ...]  # what was done to the audio, in words
    models: tuple[ModelFile, ...]
    samples: int = 0  # that the device took in, after the microphone
    wall_s: float = 0.0
    detections: list[dict] = field(default_factory=list)
    slices: list[list[int]] = field(default_factory=list)  # per model: slice of each inference
    probabilities: list[list[int]] = field(default_factory=list)
    features: list[bytes] = field(default_factory=list)  # 40 bytes a slice, int8 + 128
    envelope: Envelope = field(default_factory=Envelope)

    @property
    def real_time_factor(self) -> float:
        """Time taken over time simulated: below 1 is faster than real time."""
        return self.wall_s / max(self.duration_s, 1e-9)

    def means(self, model: int) -> list[int]:
        """The detector's mean after each inference of a model, emptied by its detections."""
        length = self.models[model].window
        window = [0] * length
        name = self.models[model].name
        detected_ms = {d["t_ms"] for d in self.detections if d["model"] == name}
        means = []
        for at, value in zip(self.slices[model], self.probabilities[model], strict=True):
            window = [*window[1:], value]
            means.append(sum(window) // length)
            if trace.slice_ms(at) in detected_ms:
                window = [0] * length
        return means

    def as_json(self) -> dict:
        """For --json: what a program may want to know, times in ms, probabilities 0..255."""
        peaks = {}
        for i, model in enumerate(self.models):
            means = self.means(i)
            best = int(np.argmax(means)) if means else None
            peaks[model.name] = {
                "inferences": len(means),
                "cutoff": model.cutoff,
                "highest_mean": None if best is None else means[best],
                "highest_mean_t_ms": None
                if best is None
                else trace.slice_ms(self.slices[i][best]),
            }
        return {
            "audio": self.audio,
            "duration_ms": round(self.duration_s * 1000),
            "samples": self.samples,
            "notes": list(self.notes),
            "models": peaks,
            "detections": [
                {key: event[key] for key in ("t_ms", "model", "probability")}
                for event in self.detections
            ],
            "real_time_factor": round(self.real_time_factor, 4),
        }


def simulate(
    name: str, audio: AudioFile, settings: Settings, on_slice: Callable[[int], None] | None = None
) -> tuple[Result, Iterator[dict]]:
    """Prepare one file.  The simulation runs while the events are read; the result fills with it.

    `name` is what the trace calls the file; `on_slice` is told the device time in ms now and then.
    """
    notes = audio.notes
    if heard := settings.microphone.describe():
        notes = (*notes, heard)
    result = Result(name, audio.duration_s, notes, settings.models)
    result.slices = [[] for _ in settings.models]
    result.probabilities = [[] for _ in settings.models]
    return result, _events(result, audio, settings, on_slice or (lambda t_ms: None))


def _events(
    result: Result, audio: AudioFile, settings: Settings, on_slice: Callable[[int], None]
) -> Iterator[dict]:
    started = time.perf_counter()
    models = settings.models
    names = [model.name for model in models]
    yield trace.start_event(result.audio, names, settings.microphone.describe())
    lines = micropython.stream(
        DEVICE,
        "features" if settings.with_features else "-",
        *(model.path for model in models),
        stdin=_pcm(result, audio, settings),
        heap_bytes=BASE_HEAP_BYTES + HEAP_BYTES_PER_MODEL * len(models),
    )
    chunks = None
    for text in lines:
        kind, *fields = text.split()
        if kind == b"p":
            index, model, value = map(int, fields)
            result.slices[model].append(index)
            result.probabilities[model].append(value)
            yield trace.probability_event(index, value, names[model] if len(names) > 1 else None)
            on_slice(trace.slice_ms(index))
        elif kind == b"f":
            values = bytes.fromhex(fields[1].decode())
            result.features.append(values)
            yield trace.features_event(int(fields[0]), [value - 128 for value in values])
        elif kind == b"d":
            index, model, mean = map(int, fields)
            result.detections.append(trace.detection_event(index, names[model], mean))
            yield result.detections[-1]
        elif kind == b"e":
            chunks = int(fields[0])
    if chunks is None:
        raise HostToolError("the simulated device said no end", "run again with --debug")
    result.wall_s = time.perf_counter() - started
    yield trace.end_event(chunks, result.samples)


def _pcm(result: Result, audio: AudioFile, settings: Settings) -> Iterator[bytes]:
    """The bytes that the device's microphone driver would deliver."""
    microphone = settings.microphone
    level = rms(audio.blocks()) if microphone.noise_snr_db is not None else 0.0
    for block in microphone.apply(audio.blocks(), level):
        result.samples += block.size
        result.envelope.add(block)
        yield block.astype("<i2").tobytes()
