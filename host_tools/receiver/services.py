"""What a connection is handed: the parts of the receiver that it works with, and no more."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from host_tools.receiver.anchors import Anchors
from host_tools.receiver.assistants import Assistants
from host_tools.receiver.owner_withdrawals import OwnerWithdrawals
from host_tools.receiver.recording_worker import RecordingWorker
from host_tools.receiver.statuses import Statuses
from host_tools.receiver.traffic import Meter
from host_tools.receiver.view import View


@dataclass(frozen=True)
class Options:
    """How the receiver serves."""

    host: str
    port: int
    #: None: plain text, anybody.
    tls: ssl.SSLContext | None
    max_stream_ms: int
    max_connections: int


@dataclass
class Counters:
    """What happened since the start."""

    streams: int = 0
    kept: int = 0


@dataclass(frozen=True)
class Services:
    options: Options
    recordings: RecordingWorker
    anchors: Anchors
    statuses: Statuses
    withdrawals: OwnerWithdrawals
    view: View
    #: Runs a coroutine beside everything else, until the receiver ends.
    start: Callable[[Coroutine[Any, Any, None]], None]
    counters: Counters
    #: Who answers: told of every device and stream.
    assistants: Assistants
    #: Bytes beside the audio.
    meter: Meter = field(default_factory=Meter)
