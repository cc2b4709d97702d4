"""What the receiver tells: a log with dates and levels, a live meter below it, or JSON lines.

Holds no audio: the level is a number made of it.  Every event has its log level and its sentence
in one table.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
import time
from typing import Protocol

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from host_tools.receiver.printable import one_line, plain

_METER_CELLS = 30
_QUIET_DBFS = -60.0
_REDRAW_S = 0.08
_DATE = "%Y-%m-%d %H:%M:%S"
_LOGGERS = ("earnest.receiver", "asyncio")
_STYLES = {logging.DEBUG: "dim", logging.WARNING: "yellow", logging.ERROR: "red"}

_DEBUG, _INFO, _WARNING = logging.DEBUG, logging.INFO, logging.WARNING
_EVENTS = {
    "listening": (_INFO, "listening on {host} port {port} as {name}"),
    "page": (_INFO, "`earnest companion` opens the page: {address}"),
    "network-page": (
        _INFO,
        "other computers sign in at {address}; its certificate's SHA-256: {certificate}",
    ),
    "page-renewed": (
        _INFO,
        "renewed the page's certificate, valid until {expires}; its SHA-256: {certificate}",
    ),
    "sign-in-failed": (
        _WARNING,
        "{count} tries to sign in were wrong, {refused} came too soon to be looked at",
    ),
    "answers": (_INFO, "answers by itself: speech-to-text by {stt}, the voice by {tts}"),
    "home": (
        _INFO,
        "each device is offered to Home Assistant on {host} once it has connected; "
        "`earnest devices home-key NAME` prints its key",
    ),
    "ca": (_INFO, "made a new CA in {folder}; only devices provisioned with it can connect"),
    "renewed": (_INFO, "renewed the receiver's certificate; it is valid until {expires}"),
    "connected": (_INFO, "{device} connected from {address}"),
    "disconnected": (_INFO, "{device} disconnected: {reason}"),
    "received": (_DEBUG, "{device} sent {type}"),
    "refused": (_WARNING, "refused {address}: {reason}"),
    "consent": (
        _INFO,
        "consent {stream}: keep {keep_recordings}, training {share_for_training}, "
        "pre-roll {preroll_ms} ms",
    ),
    "detection": (_INFO, "wake word {name}"),
    "stream-start": (_INFO, "stream {stream} started"),
    "stream-stop": (
        _INFO,
        "stream {stream} ended ({reason}): {duration_ms} ms, recording {recording}",
    ),
    "transcript": (_INFO, "“{text}”"),
    "transcript-failed": (_WARNING, "no transcript: {reason}"),
    "status": (
        _INFO,
        "{device}: muted {muted}, speaker {speaker}, volume {volume} % (at most {volume_max})",
    ),
    "speaking": (_INFO, "{device} speaks ({kind})"),
    "speak-refused": (_WARNING, "{device} refused to speak ({kind}): {why}"),
    "played": (_INFO, "{device} spoke for {ms} ms ({kind}, ended by {why})"),
    "withdrawn": (
        _INFO,
        "{device} withdrew consent: keep {keep_recordings}, training {share_for_training}",
    ),
    "withdrawal-asked": (_INFO, "consent of {device} taken back here: nothing more is kept of it"),
    "withdrawal-confirmed": (_INFO, "{device} confirmed that its consent is taken back"),
    "unconfirmed": (_WARNING, "the withdrawal of {device} is not confirmed: {reason}"),
    "deleted": (_INFO, "deleted {count} recordings ({reason})"),
    "sealed": (_INFO, "sealed {count} recordings of an earlier version"),
    "home-offered": (_INFO, "{device} can be added to Home Assistant at {host} port {port}"),
    "home-connected": (_INFO, "{client} answers {device}"),
    "home-closed": (_INFO, "a connection of Home Assistant to {device} ended: {reason}"),
    "home-refused": (_WARNING, "Home Assistant asked {device} {what}: refused"),
    "home-cannot": (_WARNING, "Home Assistant asked {device} {what}: {reason}"),
    "home-failed": (_WARNING, "{device} got no answer from Home Assistant: {reason}"),
    "answer": (_INFO, "{device}: “{text}” ({by})"),
    "unanswered": (_WARNING, "{device} got no answer: {reason}"),
    "timer-rang": (_INFO, "the {timer} rang on {device} ({ended})"),
    "timer-lost": (_WARNING, "the {timer} is over: {reason}"),
    "assistant-failed": (_WARNING, "{assistant} failed: {reason}"),
    "health": (_INFO, "health and counts on http://{host}:{port}/healthz and /metrics"),
    "warning": (_WARNING, "{message}"),
    "stopped": (_INFO, "stopped; {streams} streams, {kept} kept"),
}


#: What somebody said, was told or called a timer: a log that outlives the terminal leaves it out,
#: since nobody's consent covers it.
_WORDS = {
    "transcript": "text",
    "answer": "text",
    "timer-rang": "timer",
    "timer-lost": "timer",
}
LEFT_OUT = "..."

#: Every event that a view is told.
EVENT_NAMES = tuple(_EVENTS)


class View(Protocol):
    """Whom the receiver tells."""

    def emit(self, event: str, **fields: object) -> None:
        """An event of the table, with what its sentence names and more."""

    def level(self, audio: bytes) -> None:
        """Samples of a running stream, for a meter."""

    def close(self) -> None:
        """Nothing is told from now on."""


def level_dbfs(audio: bytes) -> float:
    """Return the RMS level of int16 samples in dB below full scale, at least -96."""
    samples = np.frombuffer(audio, "<i2").astype(np.float64)
    mean = float(np.mean(samples * samples)) if samples.size else 0.0
    return max(-96.0, float(10 * np.log10(max(mean, 1e-9) / 32768.0**2)))


class JsonView:
    """One JSON object a line on standard output, written at once."""

    def __init__(self, is_verbose: bool = False) -> None:
        self._lowest = _DEBUG if is_verbose else _INFO

    def emit(self, event: str, **fields: object) -> None:
        if _EVENTS[event][0] < self._lowest:
            return
        now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")
        sys.stdout.write(json.dumps({"event": event, "time": now, **fields}) + "\n")
        sys.stdout.flush()

    def level(self, audio: bytes) -> None:
        """Programs get no meter."""

    def close(self) -> None:
        """Nothing to restore."""


class LogView:
    """A line in the log for each event; `has_words`: also what was said and answered."""

    def __init__(
        self,
        handler: logging.Handler | None = None,
        is_verbose: bool = False,
        has_words: bool = True,
    ) -> None:
        self._handler = handler or _StdoutHandler()
        self._has_words = has_words
        self._log = logging.getLogger(_LOGGERS[0])
        for name in _LOGGERS:
            logger = logging.getLogger(name)
            logger.addHandler(self._handler)
            logger.propagate = False
        self._log.setLevel(_DEBUG if is_verbose else _INFO)

    def emit(self, event: str, **fields: object) -> None:
        level, sentence = _EVENTS[event]
        texts = {name: one_line(plain(value)) for name, value in fields.items()}
        if event in _WORDS and not self._has_words:
            texts[_WORDS[event]] = LEFT_OUT
        self._log.log(level, "%s", sentence.format(**texts))

    def level(self, audio: bytes) -> None:
        """No meter without a terminal."""

    def close(self) -> None:
        for name in _LOGGERS:
            logging.getLogger(name).removeHandler(self._handler)


class LiveView(LogView):
    """The log, and below it the state with a meter while a stream runs."""

    def __init__(self, console: Console | None = None, is_verbose: bool = False) -> None:
        console = console or Console(highlight=False)
        super().__init__(_ConsoleHandler(console), is_verbose)
        self._streams: set[object] = set()
        self._devices = 0
        self._drawn_s = 0.0
        self._live = Live(self.status(_QUIET_DBFS), console=console, auto_refresh=False)
        self._live.start()

    def emit(self, event: str, **fields: object) -> None:
        if event == "stream-start":
            self._streams.add(fields["stream"])
        elif event == "stream-stop":
            self._streams.discard(fields["stream"])
        elif event in ("connected", "disconnected"):
            self._devices += 1 if event == "connected" else -1
        super().emit(event, **fields)
        self._live.update(self.status(_QUIET_DBFS), refresh=True)

    def level(self, audio: bytes) -> None:
        now_s = time.monotonic()
        if now_s - self._drawn_s >= _REDRAW_S:
            self._drawn_s = now_s
            self._live.update(self.status(level_dbfs(audio)), refresh=True)

    def close(self) -> None:
        self._live.update(Text(""), refresh=True)
        self._live.stop()
        super().close()

    def status(self, dbfs: float) -> Text:
        """Return the line below the events; `dbfs` is the present level of a running stream."""
        if not self._streams:
            noun = "device" if self._devices == 1 else "devices"
            return Text(f"  idle, {self._devices} {noun} connected; Ctrl-C stops", style="dim")
        share = min(max((dbfs - _QUIET_DBFS) / -_QUIET_DBFS, 0.0), 1.0)
        filled = round(share * _METER_CELLS)
        meter = "█" * filled + "░" * (_METER_CELLS - filled)
        return Text.assemble(
            ("  ● receiving ", "bold red"), (meter, "green"), f" {dbfs:4.0f} dBFS"
        )


class _StdoutHandler(logging.StreamHandler):  # type: ignore[type-arg]  # no [] in Python 3.10
    """Lines of any length; a reader that left ends the receiver, as it ends every command."""

    def __init__(self) -> None:
        super().__init__(sys.stdout)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", _DATE))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - its name there
        raise


class _ConsoleHandler(logging.Handler):
    """Lines above a live display; what others said is text here, never markup."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        stamp = time.strftime(_DATE, time.localtime(record.created))
        line = (record.getMessage(), _STYLES.get(record.levelno, ""))
        self._console.print(Text.assemble((stamp, "dim"), " ", line), soft_wrap=True)
