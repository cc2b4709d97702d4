"""The events of a simulation, as docs/trace.md specifies them: one type for each kind.

`Event` is any of them; `event["event"]` tells which.
"""

from __future__ import annotations

from typing import Literal, TypedDict


class _Start(TypedDict):
    t_ms: int
    event: Literal["start"]
    version: int
    board: str
    audio: str


class StartEvent(_Start, total=False):
    """`model` with one model, `models` with several; `microphone` when it has effects."""

    model: str
    models: list[str]
    microphone: str


class FeaturesEvent(TypedDict):
    t_ms: int
    event: Literal["features"]
    slice: int
    values: list[int]


class _Probability(TypedDict):
    t_ms: int
    event: Literal["probability"]
    slice: int
    value: int


class ProbabilityEvent(_Probability, total=False):
    """`model` when several listen."""

    model: str


class DetectionEvent(TypedDict):
    t_ms: int
    event: Literal["detection"]
    model: str
    probability: int


class LightEvent(TypedDict):
    t_ms: int
    event: Literal["light"]
    state: str
    rgb: list[int]
    mic: bool


class MicEvent(TypedDict):
    t_ms: int
    event: Literal["mic"]
    on: bool


class SpeakerEvent(TypedDict):
    t_ms: int
    event: Literal["speaker"]
    on: bool


class SoundEvent(TypedDict):
    t_ms: int
    event: Literal["sound"]
    samples_from: int
    samples_to: int
    peak: int


StateEvent = TypedDict(
    "StateEvent",
    {"t_ms": int, "event": Literal["state"], "from": str, "to": str, "reason": str},
)


class SentEvent(TypedDict):
    t_ms: int
    event: Literal["sent"]
    samples_from: int
    samples_to: int
    bytes: int


class LostEvent(TypedDict):
    t_ms: int
    event: Literal["lost"]
    samples_from: int
    samples_to: int


class MessageEvent(TypedDict):
    t_ms: int
    event: Literal["message"]
    type: str
    bytes: int


class SpeechEvent(TypedDict):
    t_ms: int
    event: Literal["speech"]


class FirstByteEvent(TypedDict):
    t_ms: int
    event: Literal["first-byte"]
    after_ms: int


class _Audit(TypedDict):
    t_ms: int
    event: Literal["audit"]
    kind: str


class AuditEvent(_Audit, total=False):
    """The record's own fields stand beside these, by its kind."""

    what: str
    reason: str


class ScenarioEvent(TypedDict):
    t_ms: int
    event: Literal["scenario"]
    action: str
    value: str | int | bool | None


class CableEvent(TypedDict):
    t_ms: int
    event: Literal["cable"]
    line: str
    late_ms: int


class PowerEvent(TypedDict):
    t_ms: int
    event: Literal["power"]
    on: bool


class EndEvent(TypedDict):
    t_ms: int
    event: Literal["end"]
    samples: int


DeviceEvent = (
    LightEvent
    | MicEvent
    | SpeakerEvent
    | StateEvent
    | SentEvent
    | LostEvent
    | MessageEvent
    | SpeechEvent
    | FirstByteEvent
    | AuditEvent
    | ScenarioEvent
    | CableEvent
)
Event = (
    StartEvent
    | FeaturesEvent
    | ProbabilityEvent
    | DetectionEvent
    | DeviceEvent
    | SoundEvent
    | PowerEvent
    | EndEvent
)
