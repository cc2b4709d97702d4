"""What the receiver shows: JSON lines for programs, or lines and a live meter for people.

Holds no audio: the level is a number made of it.  Everything printed is ours, or was cleaned.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

_METER_CELLS = 30
_QUIET_DBFS = -60.0
_REDRAW_S = 0.08

_WORDS = {
    "listening": "listening on {host} port {port} as [bold]{name}[/]",
    "connected": "[green]{device}[/] connected from {address}",
    "disconnected": "{device} disconnected: {reason}",
    "refused": "[yellow]refused[/] {address}: {reason}",
    "consent": "consent {stream}: keep {keep_recordings}, training {share_for_training}, "
    "pre-roll {preroll_ms} ms",
    "detection": "wake word {name}",
    "stream-start": "[bold]stream {stream}[/] begins",
    "stream-stop": "stream {stream} ended ({reason}): {duration_ms} ms, recording {recording}",
    "transcript": "[bold cyan]“{text}”[/]",
    "transcript-failed": "[yellow]no transcript:[/] {reason}",
    "withdrawn": "{device} withdrew: keep {keep_recordings}, training {share_for_training}",
    "deleted": "deleted {count} recordings ({reason})",
    "warning": "[yellow]{message}[/]",
    "stopped": "stopped; {streams} streams, {kept} kept",
}


def level_dbfs(audio: bytes) -> float:
    """Root mean square of int16 samples in dB below full scale, at least -96."""
    samples = np.frombuffer(audio, "<i2").astype(np.float64)
    mean = float(np.mean(samples * samples)) if samples.size else 0.0
    return max(-96.0, 10 * np.log10(max(mean, 1e-9) / 32768.0**2))


class JsonView:
    """One JSON object a line on standard output, written at once."""

    def tell(self, event: str, **fields: object) -> None:
        sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
        sys.stdout.flush()

    def level(self, audio: bytes) -> None:
        """Programs get no meter."""

    def close(self) -> None:
        """Nothing to restore."""


class LineView:
    """A line for each event."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)

    def tell(self, event: str, **fields: object) -> None:
        words = {name: escape(plain(value)) for name, value in fields.items()}
        clock = time.strftime("%H:%M:%S")
        self._console.print(f"[dim]{clock}[/] " + _WORDS[event].format(**words))

    def level(self, audio: bytes) -> None:
        """No meter without a terminal."""

    def close(self) -> None:
        """Nothing to restore."""


class LiveView(LineView):
    """The lines, and below them the state with a meter while a stream runs."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._streams: set[object] = set()
        self._devices = 0
        self._drawn_s = 0.0
        self._live = Live(self.status(_QUIET_DBFS), console=self._console, auto_refresh=False)
        self._live.start()

    def tell(self, event: str, **fields: object) -> None:
        if event == "stream-start":
            self._streams.add(fields["stream"])
        elif event == "stream-stop":
            self._streams.discard(fields["stream"])
        elif event in ("connected", "disconnected"):
            self._devices += 1 if event == "connected" else -1
        super().tell(event, **fields)
        self._live.update(self.status(_QUIET_DBFS), refresh=True)

    def level(self, audio: bytes) -> None:
        now_s = time.monotonic()
        if now_s - self._drawn_s >= _REDRAW_S:
            self._drawn_s = now_s
            self._live.update(self.status(level_dbfs(audio)), refresh=True)

    def close(self) -> None:
        self._live.update(Text(""), refresh=True)
        self._live.stop()

    def status(self, dbfs: float) -> Text:
        """The line below the events; `dbfs` is the present level of a running stream."""
        if not self._streams:
            noun = "device" if self._devices == 1 else "devices"
            return Text(f"  idle, {self._devices} {noun} connected; Ctrl-C stops", style="dim")
        share = min(max((dbfs - _QUIET_DBFS) / -_QUIET_DBFS, 0.0), 1.0)
        filled = round(share * _METER_CELLS)
        meter = "█" * filled + "░" * (_METER_CELLS - filled)
        return Text.assemble(
            ("  ● receiving ", "bold red"), (meter, "green"), f" {dbfs:4.0f} dBFS"
        )


View = JsonView | LineView


def plain(value: object) -> str:
    """A value as words for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
