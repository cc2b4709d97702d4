"""One audio file through the real firmware in the real MicroPython, as trace events and a result.

Place: between `simulate` (the command) and `on_micropython/simulated_device.py` (which runs inside
MicroPython, a process for each time that the device has power).
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from host_tools import micropython
from host_tools.audio.effects import Microphone, rms
from host_tools.audio.files import AudioFile
from host_tools.board.definition import Board
from host_tools.errors import HostToolError
from host_tools.models.catalog import ModelFile
from host_tools.simulation import loopback, trace
from host_tools.simulation import scenario as script
from host_tools.simulation.loopback import LoopbackReceiver
from host_tools.simulation.sent_streams import SentStreams
from host_tools.simulation.tape import Envelope, Tape

DEVICE = micropython.GUESTS / "simulated_device.py"
# The models' files and arenas; the host's objects are twice as large as the board's.
BASE_HEAP_BYTES = 4 << 20
HEAP_BYTES_PER_MODEL = 2 << 20
MAX_MODELS = 4  # as the configuration allows
SAMPLES_PER_MS = 16


@dataclass(frozen=True)
class Settings:
    """What is the same for every file of a simulation."""

    models: tuple[ModelFile, ...]
    microphone: Microphone = Microphone()
    with_features: bool = False
    script: tuple[script.Event, ...] = ()
    config: dict = field(default_factory=dict)  # fields of the device's config.json
    config_name: str = "the configuration"  # for messages
    muted: bool = False  # at first start
    with_receiver: bool = False  # a real one, over real TLS
    storage: Path | None = None  # the device's files stay here; None: gone afterwards
    board: Board | None = None  # whose light and controls; None: colour, button, a switch if moved
    heap_bytes: int | None = None  # None: as much as needed
    with_heap: bool = False  # measure the heap each simulated minute
    folders: tuple[Path, ...] = ()  # searched for the firmware before firmware/


@dataclass
class Result:
    """What a simulation of one file found; filled while its events are read."""

    audio: str
    duration_s: float  # of the file
    notes: tuple[str, ...]  # what was done to the audio, in words
    models: tuple[ModelFile, ...]
    tape: Tape
    streams: SentStreams
    has_receiver: bool = False
    wall_s: float = 0.0
    events: list[dict] = field(default_factory=list)  # without features and probabilities
    times_ms: list[list[int]] = field(default_factory=list)  # per model: of each inference
    probabilities: list[list[int]] = field(default_factory=list)
    features_ms: list[int] = field(default_factory=list)
    features: list[bytes] = field(default_factory=list)  # 40 bytes a slice, int8 + 128
    heap: list[tuple[int, int]] = field(default_factory=list)  # (used, free) bytes

    @property
    def samples(self) -> int:
        """How many the device took in, after the microphone."""
        return self.tape.samples

    @property
    def envelope(self) -> Envelope:
        return self.tape.envelope

    @property
    def detections(self) -> list[dict]:
        return self.of("detection")

    def of(self, kind: str) -> list[dict]:
        """The events of one kind, in order."""
        return [event for event in self.events if event["event"] == kind]

    @property
    def real_time_factor(self) -> float:
        """Time taken over time simulated: below 1 is faster than real time."""
        return self.wall_s / max(self.duration_s, 1e-9)

    def means(self, model: int) -> list[int]:
        """The detector's mean after each inference of a model, emptied by its detections and
        whenever the microphone starts."""
        length = self.models[model].window
        window = [0] * length
        name = self.models[model].name
        detected_ms = {d["t_ms"] for d in self.detections if d["model"] == name}
        starts_ms = [e["t_ms"] for e in self.of("mic") if e["on"]]
        means = []
        for at_ms, value in zip(self.times_ms[model], self.probabilities[model], strict=True):
            while starts_ms and starts_ms[0] < at_ms:
                starts_ms.pop(0)
                window = [0] * length
            window = [*window[1:], value]
            means.append(sum(window) // length)
            if at_ms in detected_ms:
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
                "highest_mean_t_ms": None if best is None else self.times_ms[i][best],
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
            "streams": [stream.as_json() for stream in self.streams.all],
            "sent_bytes": self.streams.bytes,
            "real_time_factor": round(self.real_time_factor, 4),
        }


def simulate(
    name: str, audio: AudioFile, settings: Settings, on_time: Callable[[int], None] | None = None
) -> tuple[Result, Iterator[dict]]:
    """Prepare one file.  The simulation runs while the events are read; the result fills with it.

    `name` is what the trace calls the file; `on_time` is told the device time in ms now and then.
    """
    notes = audio.notes
    if heard := settings.microphone.describe():
        notes = (*notes, heard)
    tape = Tape(_blocks(audio, settings.microphone))
    result = Result(name, audio.duration_s, notes, settings.models, tape, SentStreams(tape))
    result.has_receiver = settings.with_receiver
    result.times_ms = [[] for _ in settings.models]
    result.probabilities = [[] for _ in settings.models]
    return result, _events(result, settings, on_time or (lambda t_ms: None))


def _blocks(audio: AudioFile, microphone: Microphone) -> Iterator[np.ndarray]:
    """What the device's microphone driver would deliver."""
    level = rms(audio.blocks()) if microphone.noise_snr_db is not None else 0.0
    yield from microphone.apply(audio.blocks(), level)


def _events(result: Result, settings: Settings, on_time: Callable[[int], None]) -> Iterator[dict]:
    started = time.perf_counter()
    names = [model.name for model in settings.models]
    board = settings.board.id if settings.board else trace.NO_BOARD
    yield trace.start_event(result.audio, names, settings.microphone.describe(), board)
    with tempfile.TemporaryDirectory(prefix="earnest-") as temporary:
        run = _Run(result, settings, Path(temporary), on_time)
        try:
            yield from run.events()
            if run.receiver is not None:
                run.received += run.receiver.end()
        finally:
            if run.receiver is not None:
                run.receiver.close()
    result.streams.received(run.received)
    result.wall_s = time.perf_counter() - started
    end = trace.end_event(run.chunks, result.samples)
    result.streams.read(end)
    yield end


class _Run:
    """The power-ons of one simulation, one after the other, on the same storage."""

    def __init__(
        self,
        result: Result,
        settings: Settings,
        temporary: Path,
        on_time: Callable[[int], None],
    ) -> None:
        self._result = result
        self._settings = settings
        self._temporary = temporary
        self._on_time = on_time
        self._storage = settings.storage or temporary / "storage"
        self._storage.mkdir(parents=True, exist_ok=True)
        self._slices = 0
        self.received: list[dict] = []
        self.chunks = 0
        self._config = dict(settings.config)
        self._config["models"] = _config_names(settings.models)
        self._config.setdefault("receiver_name", loopback.NAME)
        self.receiver: LoopbackReceiver | None = None
        if settings.with_receiver:
            self.receiver = LoopbackReceiver(temporary / "receiver")
            self._config |= self.receiver.settings(self._storage)

    def events(self) -> Iterator[dict]:
        """From the first power-on to the end of the sound."""
        start_ms, reported_ms = 0, -1
        losses = [e for e in self._settings.script if e.action == script.POWER_LOSS]
        tape = self._result.tape
        while True:
            losses = [loss for loss in losses if loss.t_ms > start_ms]
            if not losses:
                yield from self._power_on(start_ms, reported_ms, None)
                break
            loss = losses[0]
            loss_ms = -(-loss.t_ms // script.STEP_MS) * script.STEP_MS
            yield from self._power_on(start_ms, reported_ms, loss_ms)
            if self.chunks * script.STEP_MS < loss_ms:
                break  # the sound was over before
            yield self._note({"t_ms": loss_ms, "event": "power", "on": False})
            assert isinstance(loss.value, int)
            tape.skip(loss.value * SAMPLES_PER_MS)
            reported_ms, start_ms = loss_ms, loss_ms + loss.value
            self.chunks = min(start_ms, tape.samples // SAMPLES_PER_MS) // script.STEP_MS
            if tape.has_ended:
                break
            yield self._note({"t_ms": start_ms, "event": "power", "on": True})

    def _power_on(self, start_ms: int, reported_ms: int, until_ms: int | None) -> Iterator[dict]:
        """One process of the device, until the sound or its power ends."""
        settings = self._settings
        path = self._temporary / "settings.json"
        path.write_text(json.dumps(self._device_settings(start_ms, reported_ms)))
        count = None if until_ms is None else (until_ms - start_ms) * SAMPLES_PER_MS
        heap_bytes = BASE_HEAP_BYTES + HEAP_BYTES_PER_MODEL * len(settings.models)
        lines = micropython.stream(
            DEVICE,
            path,
            stdin=self._result.tape.take(count),
            heap_bytes=settings.heap_bytes or heap_bytes,
            folders=settings.folders,
        )
        chunks = None
        first_slice = self._slices
        for text in lines:
            if text.startswith(b"e "):
                chunks = int(text[2:])
            elif text.startswith(b"c "):
                raise HostToolError(
                    f"{settings.config_name}: {text[2:].decode(errors='replace')}",
                    "docs/configuration.md lists every field",
                )
            else:
                yield from self._line(text)
        if chunks is None:
            raise HostToolError("the simulated device said no end", "run again with --debug")
        assert self._slices >= first_slice
        self.chunks = start_ms // script.STEP_MS + chunks

    def _device_settings(self, start_ms: int, reported_ms: int) -> dict:
        """What run.py reads: paths, the script, and where in the input this power-on is."""
        settings = self._settings
        board = settings.board
        return {
            "models": [str(model.path.resolve()) for model in settings.models],
            "features": settings.with_features,
            "heap": settings.with_heap,
            "script": [[event.t_ms, event.action, event.value] for event in settings.script],
            "seed": settings.microphone.seed + start_ms,
            "config": self._config,
            "folder": str(self._storage.resolve()),
            "open": not settings.muted and start_ms == 0,
            "receiver": settings.with_receiver,
            "board": {
                "has_colour": board is None or board.pins.has_colour,
                "has_button": board is None or board.pins.BUTTON is not None,
                "has_switch": board is not None and board.pins.SWITCH is not None,
            },
            "start_ms": start_ms,
            "reported_ms": reported_ms,
            "first_slice": self._slices,
        }

    def _line(self, text: bytes) -> Iterator[dict]:
        """The events of a line that run.py printed."""
        result = self._result
        kind, _, rest = text.partition(b" ")
        names = [model.name for model in result.models]
        if kind == b"p":
            t_ms, index, model, value = map(int, rest.split())
            result.times_ms[model].append(t_ms)
            result.probabilities[model].append(value)
            name = names[model] if len(names) > 1 else None
            self._slices = index + 1
            yield trace.probability_event(t_ms, index, value, name)
            self._on_time(t_ms)
        elif kind == b"f":
            when, at, hexadecimal = rest.split()
            values = bytes.fromhex(hexadecimal.decode())
            result.features_ms.append(int(when))
            result.features.append(values)
            self._slices = int(at) + 1
            yield trace.features_event(int(when), int(at), [value - 128 for value in values])
        elif kind == b"d":
            t_ms, _, model, mean = map(int, rest.split())
            yield self._note(trace.detection_event(t_ms, names[model], mean))
        elif kind == b"j":
            when, _, fields = rest.partition(b" ")
            event = trace.device_event(int(when), json.loads(fields))
            if event["event"] == "script" and event["action"] == script.REQUEST and self.receiver:
                self.receiver.request(event["value"])
            yield self._note(event)
        elif kind == b"r":
            self.received.append(json.loads(rest))
        elif kind == b"h":
            used, free = map(int, rest.split())
            result.heap.append((used, free))

    def _note(self, event: dict) -> dict:
        self._result.events.append(event)
        self._result.streams.read(event)
        return event


def _config_names(models: tuple[ModelFile, ...]) -> list[str]:
    """The models' names as the device's configuration can hold them."""
    names: list[str] = []
    for number, model in enumerate(models, 1):
        name = re.sub(r"[^A-Za-z0-9_-]", "_", model.name)[:32]
        names.append(name if name not in names else f"model-{number}")
    return names
