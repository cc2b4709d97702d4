"""Counts what the receiver tells, for Prometheus: numbers, no names, no ids, no words."""

from __future__ import annotations

from collections import Counter

from host_tools.receiver.view import EVENT_NAMES, View


class CountedView:
    """A view that counts each event and passes it on."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._events = Counter(dict.fromkeys(EVENT_NAMES, 0))
        self._audio_bytes = 0

    def emit(self, event: str, **fields: object) -> None:
        self._events[event] += 1
        if event == "stream-stop" and isinstance(sent := fields.get("bytes"), int):
            self._audio_bytes += sent
        self._view.emit(event, **fields)

    def level(self, audio: bytes) -> None:
        self._view.level(audio)

    def close(self) -> None:
        self._view.close()

    def exposition(self, more: dict[str, int]) -> str:
        """Return everything in Prometheus's text format; `more` has gauges and their values."""
        told = self._events
        gauges = {
            "connected_devices": told["connected"] - told["disconnected"],
            "running_streams": told["stream-start"] - told["stream-stop"],
            **more,
        }
        lines = [f"# TYPE earnest_{name} gauge\nearnest_{name} {gauges[name]}" for name in gauges]
        lines.append("# TYPE earnest_audio_bytes_total counter")
        lines.append(f"earnest_audio_bytes_total {self._audio_bytes}")
        lines.append("# TYPE earnest_events_total counter")
        lines += [f'earnest_events_total{{event="{name}"}} {told[name]}' for name in sorted(told)]
        return "\n".join(lines) + "\n"
