"""What a simulation of one file found: events, probabilities, streams, and how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from host_tools.models.catalog import ModelFile
from host_tools.simulation.events import (
    DetectionEvent,
    Event,
    MicEvent,
    PowerEvent,
    ScenarioEvent,
)
from host_tools.simulation.sent_streams import SentStreams
from host_tools.simulation.speaker import Played, Spoken, ToldSound, spoken
from host_tools.simulation.tape import Envelope, Tape


@dataclass(frozen=True)
class Peak:
    """How near a model came to its cutoff; None where it made no inference."""

    inferences: int
    cutoff: int
    highest_mean: int | None
    highest_mean_t_ms: int | None


@dataclass
class Result:
    """Filled while the simulation runs."""

    audio: str
    duration_s: float  # of the file
    notes: tuple[str, ...]  # what was done to the audio, as text
    models: tuple[ModelFile, ...]
    tape: Tape
    streams: SentStreams
    played: Played = field(default_factory=Played)
    has_receiver: bool = False
    sounds: list[ToldSound] = field(default_factory=list)  # that a real receiver sent
    answers: list[str] = field(default_factory=list)  # the words of its replies, where known
    transcripts: list[str] = field(default_factory=list)  # what it understood
    wake_words: list[str | None] = field(default_factory=list)  # that it was told of
    wall_s: float = 0.0
    events: list[Event] = field(default_factory=list)  # without features and probabilities
    times_ms: list[list[int]] = field(default_factory=list)  # per model: of each inference
    probabilities: list[list[int]] = field(default_factory=list)
    features_ms: list[int] = field(default_factory=list)
    features: list[bytes] = field(default_factory=list)  # 40 bytes per slice, int8 + 128
    heap: list[tuple[int, int]] = field(default_factory=list)  # (used, free) bytes

    @property
    def samples(self) -> int:
        """How many samples the device took in, after the microphone."""
        return self.tape.samples

    @property
    def envelope(self) -> Envelope:
        return self.tape.envelope

    def of(self, kind: str) -> list[Event]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if event["event"] == kind]

    @property
    def detections(self) -> list[DetectionEvent]:
        return [event for event in self.events if event["event"] == "detection"]

    @property
    def scenario(self) -> list[ScenarioEvent]:
        return [event for event in self.events if event["event"] == "scenario"]

    @property
    def microphone(self) -> list[MicEvent]:
        return [event for event in self.events if event["event"] == "mic"]

    @property
    def spoken(self) -> list[Spoken]:
        """Each time that the loudspeaker was on."""
        return spoken(self.events, self.played, self.samples // 16, self.answers)

    @property
    def power(self) -> list[PowerEvent]:
        return [event for event in self.events if event["event"] == "power"]

    @property
    def last_state(self) -> str:
        """The gate's state at the end of the input."""
        states = [event["to"] for event in self.events if event["event"] == "state"]
        return states[-1] if states else "NOT_READY"

    @property
    def real_time_factor(self) -> float:
        """Time taken over time simulated: below 1 is faster than real time."""
        return self.wall_s / max(self.duration_s, 1e-9)

    def means(self, model: int) -> list[int]:
        """Return the detector's mean after each inference of a model; the window is emptied by
        its detections and whenever the microphone starts."""
        length = self.models[model].window
        window = [0] * length
        name = self.models[model].name
        detected_ms = {d["t_ms"] for d in self.detections if d["model"] == name}
        starts_ms = [e["t_ms"] for e in self.microphone if e["on"]]
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

    def peaks(self) -> Iterator[tuple[str, Peak]]:
        """Yield the name and the peak of each model."""
        for i, model in enumerate(self.models):
            means = self.means(i)
            if means:
                best = means.index(max(means))
                peak = Peak(len(means), model.cutoff, means[best], self.times_ms[i][best])
            else:
                peak = Peak(0, model.cutoff, None, None)
            yield model.name, peak

    def as_json(self) -> dict[str, Any]:
        """Return what --json prints: times in ms, probabilities 0..255."""
        return {
            "audio": self.audio,
            "duration_ms": round(self.duration_s * 1000),
            "samples": self.samples,
            "notes": list(self.notes),
            "models": {name: asdict(peak) for name, peak in self.peaks()},
            "detections": [
                {"t_ms": e["t_ms"], "model": e["model"], "probability": e["probability"]}
                for e in self.detections
            ],
            "scenario": [
                {"t_ms": e["t_ms"], "action": e["action"], "value": e["value"]}
                for e in self.scenario
            ],
            "last_state": self.last_state,
            "streams": [stream.as_json() for stream in self.streams.all],
            "sent_bytes": self.streams.bytes,
            "spoken": [asdict(once) for once in self.spoken],
            "sounds": self.sounds,
            "real_time_factor": round(self.real_time_factor, 4),
        }
