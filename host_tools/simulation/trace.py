"""The trace: what the simulated device did and when, as JSON lines.

A public format, specified in docs/trace.md: its first line says the version, `t_ms` counts the
samples that the device has taken in, and every line stands on its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, cast

from host_tools.errors import HostToolError
from host_tools.simulation.events import (
    DetectionEvent,
    DeviceEvent,
    EndEvent,
    Event,
    FeaturesEvent,
    ProbabilityEvent,
    SentEvent,
    SoundEvent,
    StartEvent,
)

VERSION = 1
MAX_LINE_BYTES = 1 << 16

CHUNK_MS = 10
SAMPLES_PER_MS = 16
#: `board` of the start event when no board was named.
NO_BOARD = "SIM"
#: What every simulated device has for `receiver_name`; it is in the audit records.
RECEIVER_NAME = "earnest-receiver"

#: Events that the device itself reports, and their keys in order; an audit record has more.
DEVICE_EVENTS = {
    "light": ("state", "rgb", "mic"),
    "mic": ("on",),
    "speaker": ("on",),
    "state": ("from", "to", "reason"),
    "lost": ("samples_from", "samples_to"),
    "message": ("type", "bytes"),
    "speech": (),
    "first-byte": ("after_ms",),
    "audit": ("kind",),
    "scenario": ("action", "value"),
    "cable": ("line", "late_ms"),
}


def start_event(
    audio: str, models: list[str], microphone: str = "", board: str = NO_BOARD
) -> StartEvent:
    """Return the first line of a run: one `model`, or `models` when several listen at once."""
    named: dict[str, object] = {"model": models[0]} if len(models) == 1 else {"models": models}
    effects = {"microphone": microphone} if microphone else {}
    first: dict[str, object] = {"t_ms": 0, "event": "start", "version": VERSION}
    return cast(StartEvent, first | named | {"board": board, "audio": audio} | effects)


def features_event(t_ms: int, index: int, values: list[int]) -> FeaturesEvent:
    """Return slice `index` with its 40 int8 values."""
    return {"t_ms": t_ms, "event": "features", "slice": index, "values": values}


def probability_event(
    t_ms: int, index: int, value: int, model: str | None = None
) -> ProbabilityEvent:
    """Return an inference after slice `index`: uint8, before averaging; `model` when several
    listen."""
    event: ProbabilityEvent
    event = {"t_ms": t_ms, "event": "probability", "slice": index, "value": value}
    if model is not None:
        event["model"] = model
    return event


def detection_event(t_ms: int, model: str, mean: int) -> DetectionEvent:
    """Return what the detector decided; `mean` is that of its window, 0..255."""
    return {"t_ms": t_ms, "event": "detection", "model": model, "probability": mean}


def sent_event(t_ms: int, samples_from: int, samples_to: int) -> SentEvent:
    """Return audio on its way out: which samples of the input, the second exclusive."""
    return {
        "t_ms": t_ms,
        "event": "sent",
        "samples_from": samples_from,
        "samples_to": samples_to,
        "bytes": 2 * (samples_to - samples_from),
    }


def sound_event(t_ms: int, peak: int) -> SoundEvent:
    """Return 10 ms that the loudspeaker played up to now; `peak` is 0..32768."""
    until = t_ms * SAMPLES_PER_MS
    return {
        "t_ms": t_ms,
        "event": "sound",
        "samples_from": until - CHUNK_MS * SAMPLES_PER_MS,
        "samples_to": until,
        "peak": peak,
    }


def device_event(t_ms: int, fields: dict[str, Any]) -> DeviceEvent:
    """Return an event that the device reported, with its keys in the order of the document."""
    kind = fields["event"]
    keys = DEVICE_EVENTS[kind]
    rest = sorted(set(fields) - set(keys) - {"event"})
    event = {"t_ms": t_ms, "event": kind} | {key: fields[key] for key in (*keys, *rest)}
    return cast(DeviceEvent, event)


def end_event(chunks: int, samples: int) -> EndEvent:
    """Return the end of an input of `samples`, of which `chunks` of 10 ms were processed."""
    return {"t_ms": chunks * CHUNK_MS, "event": "end", "samples": samples}


def line(event: Event) -> str:
    """Return an event as its line, newline included; the same text on every machine."""
    return json.dumps(event, allow_nan=False) + "\n"


@dataclass
class Run:
    """One start line and the events up to the next."""

    start: StartEvent
    events: list[Event] = field(default_factory=list)

    @property
    def models(self) -> list[str]:
        return self.start["models"] if "models" in self.start else [self.start["model"]]

    def of(self, kind: str) -> list[Event]:
        """Return the events of one kind, in order."""
        return [event for event in self.events if event["event"] == kind]


def read(path: str | Path) -> list[Run]:
    """Return all runs of a trace file; raises HostToolError for anything that is not version 1."""
    runs: list[Run] = []
    try:
        with open(path, encoding="utf-8") as file:
            for event in _events(file, path):
                if event["event"] == "start":
                    _check_start(event, path)
                    runs.append(Run(cast(StartEvent, event)))
                elif not runs:
                    raise _wrong(path, 1, "the first event is not `start`")
                else:
                    runs[-1].events.append(cast(Event, event))
    except OSError as error:
        raise HostToolError(f"{path}: {error.strerror}", "check the trace's name") from error
    except UnicodeDecodeError as error:
        raise _wrong(path, 1, "not UTF-8 text") from error
    if not runs:
        raise _wrong(path, 1, "the file is empty")
    return runs


def _events(file: TextIO, path: str | Path) -> Iterator[dict[str, Any]]:
    number = 0
    while text := file.readline(MAX_LINE_BYTES):
        number += 1
        try:
            event = json.loads(text)
        except (ValueError, RecursionError):
            raise _wrong(path, number, "not a line of JSON") from None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            raise _wrong(path, number, "no `event`")
        if not isinstance(event.get("t_ms"), int):
            raise _wrong(path, number, "`t_ms` is not a whole number")
        yield event


def _check_start(event: dict[str, Any], path: str | Path) -> None:
    if event.get("version") != VERSION:
        raise HostToolError(
            f"{path}: trace of version {event.get('version')}; version {VERSION} is read here",
            "make it again with this version of earnest",
        )
    models = event.get("models", [event.get("model")])
    if not isinstance(models, list) or not all(isinstance(name, str) for name in models):
        raise HostToolError(f"{path}: the start line names no model", "is it a trace?")


def _wrong(path: str | Path, number: int, reason: str) -> HostToolError:
    return HostToolError(
        f"{path}: line {number}: {reason}", "give a file written by earnest simulate --trace"
    )
