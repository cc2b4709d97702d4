"""The plot of a simulation: what was heard, what the light showed, what was sent.

Panels over one time axis: waveform, feature slices, probability with the cutoff, then light and
microphone, then the audio sent, then the loudspeaker if it was on (plot_lanes).  Detections run
through all of them, and while the device is muted all are shaded.  Draws into a file without a
display.
"""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from host_tools.errors import HostToolError
from host_tools.simulation import plot_lanes
from host_tools.simulation.result import Result

FORMATS = (".png", ".svg", ".pdf")
MAX_COLUMNS = 3000  # a plot has no use for more; longer input is drawn by its extremes
DPI = 120

_INK, _QUIET, _GRID = "#1f2933", "#7b8794", "#e4e7eb"
_WAVE, _DETECTED = "#52606d", "#d6336c"
_MODEL_COLOURS = ("#1971c2", "#e8590c", "#2f9e44", "#9c36b5", "#0c8599", "#f08c00")
_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": _QUIET,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _QUIET,
    "ytick.color": _QUIET,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "svg.hashsalt": "earnest",
}
# Edges of the front end's mel filter bank: 125 to 7500 Hz in 41 equal steps of the mel scale.
_MEL_LOW_HZ, _MEL_HIGH_HZ, _MEL_BANDS, _CHANNELS = 125, 7500, 41, 40
_LEVEL_TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 25, 50, 100)
_BREAK_S = 0.2
_LETTER = 0.0075  # share of the width that a letter of a caption takes
_CAPTION_GAP_S = 0.3
_HZ_TICKS = (250, 500, 1000, 2000, 4000, 7000)

Caption = tuple[float, float, str]  # start and end in seconds, text


def check_path(path: Path) -> None:
    """Refuse a plot that could not be written, before any work is done."""
    if path.suffix.lower() not in FORMATS:
        raise HostToolError(
            f"{path}: unsupported image format", f"use {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        )


def draw(result: Result, path: Path, captions: tuple[Caption, ...] = (), title: str = "") -> None:
    """Draw a finished simulation into `path`; `captions` are written over the waveform."""
    with matplotlib.rc_context(_STYLE):
        speaks = bool(result.spoken)
        heights = (1.1, 0.9, 1.1, 0.6, 1.0, *((0.8,) if speaks else ()))
        figure = Figure(figsize=(12, 1.83 * sum(heights)), dpi=DPI, layout="constrained")
        panels = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
        wave, slices, chance, strips, sent = panels[:5]
        end_s = max(result.samples / 16000, 0.03)
        wave.set_xlim(0, end_s)
        figure.suptitle(title or _title(result), x=0.01, ha="left", fontsize=13, weight="bold")
        _draw_wave(wave, result, captions)
        _draw_features(slices, result)
        _draw_probability(chance, result)
        plot_lanes.draw_light_and_microphone(strips, result, end_s)
        plot_lanes.draw_sent(sent, result, end_s)
        if speaks:
            plot_lanes.draw_played(panels[5], result, end_s)
        plot_lanes.shade(list(panels), result, end_s)
        _draw_detections(tuple(panels), result, end_s)
        panels[-1].set_xlabel("time in s")
        try:
            figure.savefig(path, metadata=_metadata(path))
        except OSError as error:
            raise HostToolError(
                f"{path}: {error.strerror}", "check the folder and its permissions"
            ) from error


def _title(result: Result) -> str:
    count = len(result.detections)
    heard = "nothing detected" if not count else f"{count} detection{'s' if count > 1 else ''}"
    return f"{Path(result.audio).name}: {heard}"


def _metadata(path: Path) -> dict[str, None]:
    """Leave dates and versions out of the file: the same simulation makes the same plot."""
    if path.suffix.lower() == ".png":
        return {"Software": None}
    if path.suffix.lower() == ".svg":
        return {"Date": None}
    return {"CreationDate": None}


def _draw_wave(axes: Axes, result: Result, captions: tuple[Caption, ...]) -> None:
    low = np.concatenate([*result.envelope.low, np.zeros(0, np.int16)])
    high = np.concatenate([*result.envelope.high, np.zeros(0, np.int16)])
    group = max(1, -(-low.size // MAX_COLUMNS))
    starts = np.arange(0, low.size, group)
    if starts.size:
        low, high = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    seconds = (starts + group / 2) * 0.01
    axes.fill_between(seconds, low / 327.68, high / 327.68, color=_WAVE, linewidth=0.4)
    peak = max(abs(low).max(initial=0), abs(high).max(initial=0)) / 327.68
    tick = next(value for value in _LEVEL_TICKS if value >= 0.8 * peak)
    limit = max(1.1 * tick, 1.1 * peak)
    axes.set_ylim(-limit, limit * (2.2 if captions else 1.0))
    axes.set_yticks([-tick, 0, tick])
    axes.set_ylabel("audio,\n% of full scale")
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    width_s = axes.get_xlim()[1]
    for start_s, end_s, text in captions:
        room_s = end_s - start_s + _CAPTION_GAP_S
        lines = textwrap.fill(text, max(6, int(room_s / (_LETTER * width_s))))
        axes.annotate(
            lines,
            ((start_s + end_s) / 2, limit * 2.15),
            ha="center",
            va="top",
            fontsize=9,
            color=_INK,
            style="italic",
        )
    if result.notes:
        _caption(axes, ", ".join(result.notes))


def _caption(axes: Axes, text: str) -> None:
    """Write a grey line at the upper right of a panel."""
    axes.set_title(text, loc="right", fontsize=9, color=_QUIET, pad=4)


def _draw_features(axes: Axes, result: Result) -> None:
    columns = max(1, result.samples // 160)
    values = np.zeros((columns, _CHANNELS), np.uint8)
    heard = np.zeros(columns, bool)
    if result.features:
        at = np.array(result.features_ms) // 10 - 1
        values[at] = np.frombuffer(b"".join(result.features), np.uint8).reshape(-1, _CHANNELS)
        heard[at] = True
    starts = np.arange(0, columns, max(1, -(-columns // MAX_COLUMNS)))
    values = np.maximum.reduceat(values, starts)
    heard = np.logical_or.reduceat(heard, starts)
    axes.imshow(
        np.where(np.broadcast_to(heard, values.T.shape), values.T, np.nan),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=0,
        vmax=255,
        interpolation="nearest",
        extent=(0, columns * 0.01, 0, _CHANNELS),
    )
    axes.set_ylim(0, _CHANNELS)
    axes.set_yticks([_channel_of(hz) for hz in _HZ_TICKS], [f"{hz / 1000:g}" for hz in _HZ_TICKS])
    axes.set_ylabel("feature slices,\nkHz")
    _caption(
        axes,
        "what the model sees: one slice every 10 ms, dark is -128, bright is 127, white: off",
    )


def _channel_of(hz: float) -> float:
    """Return a frequency's place on the axis of 40 channels, channel c drawn from c to c + 1."""

    def mel(value: float) -> float:
        return 1127 * math.log1p(value / 700)

    step = (mel(_MEL_HIGH_HZ) - mel(_MEL_LOW_HZ)) / _MEL_BANDS
    return (mel(hz) - mel(_MEL_LOW_HZ)) / step - 0.5


def _draw_probability(axes: Axes, result: Result) -> None:
    for i, model in enumerate(result.models):
        colour = _MODEL_COLOURS[i % len(_MODEL_COLOURS)]
        # Where the microphone was off there is no value: the line breaks.
        seconds = np.array(result.times_ms[i]) / 1000
        breaks = np.flatnonzero(np.diff(seconds) > _BREAK_S) + 1
        seconds = np.insert(seconds, breaks, seconds[breaks - 1])
        values = np.insert(np.array(result.probabilities[i]) / 255, breaks, np.nan)
        means = np.insert(np.array(result.means(i)) / 255, breaks, np.nan)
        axes.fill_between(seconds, values, color=colour, alpha=0.22, linewidth=0, step="pre")
        axes.plot(
            seconds,
            means,
            color=colour,
            linewidth=1.8,
            label=f"{model.name}: mean of {model.window} inferences (shaded: each one)",
        )
        axes.axhline(
            model.cutoff / 255,
            color=colour,
            linestyle=(0, (5, 3)),
            linewidth=1.2,
            label=f"cutoff {model.cutoff / 255:.2f}",
        )
    axes.set_ylim(0, 1.04)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.set_ylabel("probability\n(0 to 1)")
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1.005, 0.985),
        fontsize=9,
        frameon=False,
        ncols=2,
        borderaxespad=0,
    )


def _draw_detections(panels: tuple[Axes, ...], result: Result, end_s: float) -> None:
    for event in result.detections:
        at_s = event["t_ms"] / 1000
        for axes in panels:
            axes.axvline(at_s, color=_DETECTED, linewidth=1.6, alpha=0.9)
        is_early = at_s < 0.15 * end_s
        panels[2].annotate(
            f"{event['model']}\nat {at_s:.2f} s",
            (at_s, 0.6),
            xytext=(7 if is_early else -7, 0),
            textcoords="offset points",
            ha="left" if is_early else "right",
            va="center",
            fontsize=10,
            weight="bold",
            color=_DETECTED,
            bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.8},
        )
