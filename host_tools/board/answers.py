"""What a device answers to `diag.NAME(json=True)`, as types; firmware/diagnostics/ makes them.

Keys that only a running application has stand in the classes with `total=False`.
"""

from __future__ import annotations

from typing import Any, TypedDict

#: A record of the audit log, without its version and hashes: seq, t_ms, kind, the kind's fields.
Record = dict[str, Any]


class _Model(TypedDict):
    name: str


class ModelStatus(_Model, total=False):
    """One wake word; a stopped board knows the name alone."""

    cutoff: int
    raised_by_network: bool
    crc32: str
    file_bytes: int


class _Microphone(TypedDict):
    on: bool


class MicrophoneStatus(_Microphone, total=False):
    """As read back."""

    health: str
    overruns: int


class _Speaker(TypedDict):
    on: bool


class SpeakerStatus(_Speaker, total=False):
    """As read back; volumes in percent."""

    late: int
    volume: int
    volume_max: int


class LightStatus(TypedDict):
    """What the light shows; `state` and `mic` are None when it cannot be driven."""

    ok: bool
    state: str | None
    mic: bool | None


class ReceiverStatus(TypedDict):
    """`address` is empty when none is configured."""

    address: str
    connected: bool
    insecure: bool


class _Status(TypedDict):
    version: int
    running: bool
    firmware: str
    micropython: str
    board: str
    state: str
    models: list[ModelStatus]
    reset: str
    heap_free_bytes: int
    heap_used_bytes: int
    last_error: str | None
    faults: list[Record]


class ConsentStatus(TypedDict, total=False):
    """What may be kept, and whether the network took consent back: "no", "stored", "not stored";
    firmware from before version 5 of the protocol does not say that."""

    keep_recordings: bool
    share_for_training: bool
    due_elsewhere: int
    withdrawn: str


class Status(_Status, total=False):
    """`diag.status`: the whole device."""

    muted: bool
    mute_switch: bool | None
    mute_source: str
    microphone: MicrophoneStatus
    speaker: SpeakerStatus | None
    light: LightStatus
    wifi: str
    wifi_attempts: int
    receiver: ReceiverStatus
    consent: ConsentStatus
    counters: dict[str, int]
    first_byte_ms: int
    uptime_ms: int
    storage_free_bytes: int


class _Levels(TypedDict):
    state: str


class Levels(_Levels, total=False):
    """`diag.levels`: what changes from second to second; `cpu_share` is worked out here."""

    muted: bool
    mic: bool
    speaker: bool
    light: LightStatus
    peak: int
    probability: list[int]
    cutoff: list[int]
    models: list[str]
    busy_us: int
    at_us: int
    chunks: int
    overruns: int
    connected: bool
    cpu_share: float | None


class _MicReport(TypedDict):
    version: int
    measured: bool
    ok: bool
    verdict: str
    advice: str


class MicReport(_MicReport, total=False):
    """`diag.mic`: two seconds of listening, judged; numbers only when it measured."""

    peak: int
    dc: int
    swing: int
    noise_floor: int
    clipped_samples: int
    chunks: int


class TestResult(TypedDict):
    """One test of `diag.selftest`; `ok` is None when it was not made."""

    test: str
    ok: bool | None
    reason: str


class BoardTimes(TypedDict):
    """`diag.bench`: `stages` has (calls, microseconds) by name."""

    models: list[str]
    stages: dict[str, tuple[int, int]]
    frequency_hz: int
    worst_engine_us: int
