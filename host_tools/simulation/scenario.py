"""Scenarios of a simulation: who does what to the simulated device, and when.

A JSON file, specified in docs/simulate.md: a list of `{"t_ms": 4000, "action": "press"}`, some
with a `value`.  Checked here, played by host_tools/on_micropython/simulated_world.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from host_tools.board.definition import Board
from host_tools.errors import HostToolError

MAX_BYTES = 1 << 20
MAX_EVENTS = 10_000
MAX_T_MS = 24 * 3600 * 1000
MAX_DELAY_MS = 10_000
MAX_OFF_MS = 3600 * 1000
MAX_TYPE_CHARACTERS = 64
MAX_CABLE_BYTES = 1000
STEP_MS = 10
POWER_LOSS = "power-loss"
REQUEST = "request"
#: What the receiver does, as `request` does.
RECEIVER_ACTIONS = (REQUEST, "speak", "speak-stop", "chime", "volume")
#: Of these, what `earnest receive --commands` has no words for: (action, value).
_ONLY_IN_MEMORY = (("speak-stop", None), ("speak", "timer"))

_BOOLEAN = ("true or false", lambda value: isinstance(value, bool))
_TYPE_CHARACTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


def _words(*words: str) -> tuple[str, Callable[[object], bool]]:
    return " or ".join(f'"{word}"' for word in words), lambda value: value in words


def _ms(most: int) -> tuple[str, Callable[[object], bool]]:
    return (
        f"a whole number of ms from 0 to {most}, in steps of {STEP_MS}",
        lambda value: type(value) is int and 0 <= value <= most and value % STEP_MS == 0,
    )


def _is_type(value: object) -> bool:
    return (
        isinstance(value, str)
        and 0 < len(value) <= MAX_TYPE_CHARACTERS
        and set(value) <= _TYPE_CHARACTERS
    )


def _is_typed(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_CABLE_BYTES and max(value) <= "\xff"


def _is_percent(value: object) -> bool:
    return type(value) is int and 0 <= value <= 100


#: Action to (what its value may be, test of it); None where there is no value.
ACTIONS: dict[str, tuple[str, Callable[[object], bool]] | None] = {
    "press": None,
    "switch": _words("muted", "open", "absent"),
    "request": ("the type of a message, as unmute or run-pipeline", _is_type),
    "speak": _words("reply", "timer", "announcement"),
    "speak-stop": None,
    "chime": _words("timer", "error"),
    "volume": ("a whole number of percent, 0 to 100", _is_percent),
    "network": _words("up", "down", "silent"),
    "network-delay-ms": _ms(MAX_DELAY_MS),
    "receiver-consents": _BOOLEAN,
    "light-fails": _BOOLEAN,
    "light-wrong": _BOOLEAN,
    "microphone-fails": _BOOLEAN,
    "microphone-stuck": _BOOLEAN,
    "speaker-fails": _BOOLEAN,
    "speaker-stuck": _BOOLEAN,
    "disk-full": _BOOLEAN,
    "cable": (f"1 to {MAX_CABLE_BYTES} characters, each a byte, \\u0000 to \\u00ff", _is_typed),
    "cable-host": _words("reads", "stopped", "stalled"),
    "power-loss": _ms(MAX_OFF_MS),
}


@dataclass(frozen=True)
class Event:
    """At `t_ms` of the input somebody does `action`; `value` is None where it has none."""

    t_ms: int
    action: str
    value: str | int | bool | None = None


def read(path: str | Path) -> tuple[Event, ...]:
    """Return the events of a scenario file, in order of time; raises HostToolError."""
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise HostToolError(f"{path}: {error.strerror}", "check the scenario's name") from error
    except UnicodeDecodeError as error:
        raise _wrong(path, "not UTF-8 text") from error
    if len(text) > MAX_BYTES:
        raise _wrong(path, f"larger than {MAX_BYTES} bytes")
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        at = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise _wrong(path, f"not JSON{at}") from error
    return check(rows, path)


def check(rows: object, path: str | Path = "scenario") -> tuple[Event, ...]:
    """Return the events of a scenario's rows; raises HostToolError that names `path`."""
    if not isinstance(rows, list):
        raise _wrong(path, "not a list of events")
    if len(rows) > MAX_EVENTS:
        raise _wrong(path, f"{len(rows)} events, at most {MAX_EVENTS}")
    events = [_event(row, f"{path}: event {number}") for number, row in enumerate(rows, 1)]
    return tuple(sorted(events, key=lambda event: event.t_ms))


def require_board(events: tuple[Event, ...], board: Board) -> None:
    """Raise HostToolError when a person uses a part that this board does not have."""
    for event in events:
        for action, pin in (("press", board.pins.BUTTON), ("switch", board.pins.SWITCH)):
            if event.action == action and pin is None:
                part = "button" if action == "press" else "mute switch"
                raise HostToolError(
                    f"{board.id} has no {part}: {action!r} at {event.t_ms} ms",
                    f"see boards/{board.id}/board.md, or simulate without --board",
                )


def require_real_receiver(events: tuple[Event, ...]) -> None:
    """Raise HostToolError for what only the in-memory receiver can be told to do."""
    for event in events:
        if (event.action, event.value) in _ONLY_IN_MEMORY:
            what = event.action if event.value is None else f"{event.action} {event.value}"
            raise HostToolError(
                f"a real receiver has no command for {what!r} at {event.t_ms} ms",
                "simulate without --receiver",
            )


def _event(row: object, where: str) -> Event:
    if not isinstance(row, dict):
        raise HostToolError(f"{where}: not an object", _EXAMPLE)
    if unknown := sorted(set(row) - {"t_ms", "action", "value"}):
        raise HostToolError(
            f"{where}: unknown key {unknown[0]!r}", "an event has t_ms, action and value"
        )
    t_ms, action, value = row.get("t_ms"), row.get("action"), row.get("value")
    if not isinstance(t_ms, int) or isinstance(t_ms, bool) or not 0 <= t_ms <= MAX_T_MS:
        raise HostToolError(
            f"{where}: t_ms is {_shown(t_ms)}", f"a whole number from 0 to {MAX_T_MS}"
        )
    if not isinstance(action, str) or action not in ACTIONS:
        raise HostToolError(f"{where}: no action {_shown(action)}", f"known: {', '.join(ACTIONS)}")
    kind = ACTIONS[action]
    if kind is None:
        if "value" in row:
            raise HostToolError(f"{where}: {action} takes no value", "leave it out")
    elif not kind[1](value):
        raise HostToolError(f"{where}: {action} of {_shown(value)}", f"allowed: {kind[0]}")
    if action == POWER_LOSS and t_ms < STEP_MS:
        raise HostToolError(
            f"{where}: power-loss before the device has power", f"t_ms of at least {STEP_MS}"
        )
    return Event(t_ms, action, value)


_EXAMPLE = 'as in [{"t_ms": 4000, "action": "press"}]; see docs/simulate.md'


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."


def _wrong(path: str | Path, reason: str) -> HostToolError:
    return HostToolError(f"{path}: {reason}", _EXAMPLE)
