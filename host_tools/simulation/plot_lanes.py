"""The lanes of the plot that show the promise: light, microphone, what left the device.

Beside `plot`, which draws the panels of what was heard.  All panels share one time axis, in s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

import numpy as np
from matplotlib.axes import Axes

from host_tools.simulation.events import Event, LightEvent, ScenarioEvent
from host_tools.simulation.result import Result
from host_tools.simulation.text import action_text

INK, QUIET, GRID = "#1f2933", "#7b8794", "#e4e7eb"
MUTED_SHADE, OFF_SHADE = "#e03131", "#343a40"
SENT = "#1c7ed6"
PLAYED = "#7048e8"

#: What the light says: (colour, word), by the state that it shows; with the microphone on ...
_LIT_ON = {"IDLE": ("#40c057", "listening"), "STREAMING": ("#1c7ed6", "sending")}
#: ... and off.
_LIT_OFF = {
    "SPEAKING": ("#e9ecef", "speaking"),
    "MUTED": ("#e03131", "muted"),
    "ERROR": ("#f59f00", "fault"),
    "FAILED": ("#ced4da", "dead"),
}
_ALARM = ("#d6336c", "alarm")
_WAITING = ("#fcc419", "")
_MIC_ON = "#495057"
#: Share of the width that a letter takes in a label of size 9.
_LETTER = 0.0075
_BAR_S = 0.1

Span = tuple[float, float]
Held = TypeVar("Held", bound=Event)


def spans(result: Result, events: Iterable[Held], end_s: float) -> list[tuple[float, float, Held]]:
    """Return (start, end, event): how long each event held, in s; a power loss ends all."""
    losses_s = [event["t_ms"] / 1000 for event in result.power if not event["on"]]
    found: list[tuple[float, float, Held]] = []
    until_s = end_s
    for event in reversed(list(events)):
        since_s = event["t_ms"] / 1000
        until_s = min([until_s, *(loss_s for loss_s in losses_s if loss_s >= since_s)])
        if until_s > since_s:
            found.insert(0, (since_s, until_s, event))
        until_s = since_s
    return found


def muted_spans(result: Result, end_s: float) -> list[Span]:
    """Return when the gate was muted."""
    states = [event for event in result.events if event["event"] == "state"]
    return [
        (start, end)
        for start, end, event in spans(result, states, end_s)
        if event["to"] == "MUTED"
    ]


def powerless_spans(result: Result, end_s: float) -> list[Span]:
    """Return when the device had no power."""
    found: list[Span] = []
    since: float | None = None
    for event in result.power:
        if not event["on"]:
            since = event["t_ms"] / 1000
        elif since is not None:
            found.append((since, event["t_ms"] / 1000))
            since = None
    if since is not None:
        found.append((since, end_s))
    return found


def shade(panels: list[Axes], result: Result, end_s: float) -> None:
    """Mark through all panels when the device was muted or without power."""
    for axes in panels:
        for start, end in muted_spans(result, end_s):
            axes.axvspan(start, end, color=MUTED_SHADE, alpha=0.10, linewidth=0, zorder=-1)
        for start, end in powerless_spans(result, end_s):
            axes.axvspan(start, end, color=OFF_SHADE, alpha=0.25, linewidth=0, zorder=-1)


def draw_light_and_microphone(axes: Axes, result: Result, end_s: float) -> None:
    """Draw two strips: what the light showed, and whether the microphone was on."""
    lights = [event for event in result.events if event["event"] == "light"]
    for start, end, event in spans(result, lights, end_s):
        colour, word = _look(event)
        axes.broken_barh([(start, end - start)], (1.1, 0.8), facecolors=colour, linewidth=0)
        text_colour = INK if event["state"] == "SPEAKING" else "white"
        _label(axes, start, end, 1.5, word, end_s, text_colour)
    for start, end, switched in spans(result, result.microphone, end_s):
        if switched["on"]:
            axes.broken_barh([(start, end - start)], (0.1, 0.8), facecolors=_MIC_ON, linewidth=0)
        word = "on" if switched["on"] else "off"
        _label(axes, start, end, 0.5, word, end_s, "white" if switched["on"] else INK)
    for start, end in powerless_spans(result, end_s):
        _label(axes, start, end, 1.0, "no power", end_s, INK)
    axes.set_ylim(0, 2)
    axes.set_yticks([0.5, 1.5], ["microphone", "light"])
    axes.tick_params(axis="y", length=0)
    _draw_scenario(axes, result, end_s)


def draw_sent(axes: Axes, result: Result, end_s: float) -> None:
    """Draw the audio bytes sent in every 100 ms, in kB: without a bar, nothing was sent."""
    bars = np.zeros(int(end_s / _BAR_S) + 2)
    for event in result.events:
        if event["event"] == "sent":
            bars[event["t_ms"] // round(_BAR_S * 1000)] += event["bytes"] / 1000
    at = np.flatnonzero(bars)
    axes.bar(at * _BAR_S, bars[at], width=_BAR_S, align="edge", color=SENT, linewidth=0)
    top = max(bars.max(), 3.2) * 1.75
    axes.set_ylim(0, top)
    axes.set_ylabel("audio sent,\nkB in 100 ms")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for stream in result.streams.all:
        if stream.samples_from is None or stream.samples_to is None:
            continue
        start, end = stream.samples_from / 16000, stream.samples_to / 16000
        axes.annotate(
            f"{start:.2f} s to {end:.2f} s:\n{stream.bytes:,} bytes",
            (min(max((start + end) / 2, 0.06 * end_s), 0.94 * end_s), top * 0.97),
            ha="center",
            va="top",
            fontsize=9,
            color=SENT,
            weight="bold",
        )
    if not at.size:
        axes.text(end_s / 2, top / 2, "nothing was sent", ha="center", va="center", color=SENT)
    for start, end in muted_spans(result, end_s):
        _label(axes, start, end, top * 0.3, "nothing leaves", end_s, MUTED_SHADE)


def draw_played(axes: Axes, result: Result, end_s: float) -> None:
    """Draw what the loudspeaker played, in % of full scale, over when it was on."""
    spoken = result.spoken
    for once in spoken:
        start, end = once.start_ms / 1000, once.end_ms / 1000
        axes.axvspan(start, end, color=PLAYED, alpha=0.12, linewidth=0)
    chunks = [np.frombuffer(chunk, "<i2") for chunk in result.played.chunks]
    seconds = np.array(result.played.starts) / 16000
    low = np.array([chunk.min() for chunk in chunks]) / 327.68
    high = np.array([chunk.max() for chunk in chunks]) / 327.68
    axes.bar(seconds, high - low, 0.01, low, align="edge", color=PLAYED, linewidth=0)
    peak = max(abs(low).max(initial=0), abs(high).max(initial=0), 1.0)
    axes.set_ylim(-1.1 * peak, 2.4 * peak)
    tick = float(f"{peak:.1g}")
    axes.set_yticks([-tick, 0, tick])
    axes.set_ylabel("loudspeaker,\n% of full scale")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for once in spoken:
        middle = min(max((once.start_ms + once.end_ms) / 2000, 0.06 * end_s), 0.94 * end_s)
        text = f"{once.what or 'sound'}: {once.sound_ms / 1000:.2f} s"
        if once.words:
            text += f"\n“{once.words}”"
        elif once.reason:
            text += f"\n({once.reason})"
        axes.annotate(
            text, (middle, 2.3 * peak), ha="center", va="top", fontsize=9, color=PLAYED,
            weight="bold",
        )  # fmt: skip


def _look(event: LightEvent) -> tuple[str, str]:
    if event["state"] == "FAILED":
        return _LIT_OFF["FAILED"]
    if event["mic"]:
        return _LIT_ON.get(event["state"], _ALARM)
    return _LIT_OFF.get(event["state"], _WAITING)


def _label(
    axes: Axes, start: float, end: float, y: float, word: str, end_s: float, colour: str = "white"
) -> None:
    """Write a word in the middle of a strip, if it fits."""
    if (end - start) / end_s > _LETTER * len(word) and word:
        axes.text(
            (start + end) / 2, y, word, ha="center", va="center", fontsize=9, color=colour,
            weight="bold",
        )  # fmt: skip


def _draw_scenario(axes: Axes, result: Result, end_s: float) -> None:
    """Draw small arrows above the strips for what somebody did; close ones take two rows."""
    last_s = {0: -1e9, 1: -1e9}
    refused = {
        event["t_ms"] // 1000: event["what"]
        for event in result.events
        if event["event"] == "audit" and event["kind"] == "refused"
    }
    for event in result.scenario:
        text = _action(event, refused)
        at_s = event["t_ms"] / 1000
        width_s = len(text) * _LETTER * end_s
        row = 0 if at_s - last_s[0] > width_s else 1
        last_s[row] = at_s
        axes.annotate(
            text,
            (at_s, 2.0),
            xytext=(0, 9 + 11 * row),
            textcoords="offset points",
            ha="center",
            fontsize=9,
            color=INK,
            arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 0.8, "shrinkA": 0, "shrinkB": 0},
            annotation_clip=False,
        )


def _action(event: ScenarioEvent, refused: dict[int, str]) -> str:
    """Return what somebody did, and whether the device refused it."""
    if event["action"] == "request":
        second = event["t_ms"] // 1000
        is_refused = event["value"] in (refused.get(second), refused.get(second + 1))
        return action_text(event) + (" (refused)" if is_refused else "")
    return action_text(event)
