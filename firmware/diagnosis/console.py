"""Answers over the cable while the application runs, without stopping it.

Place: a task beside the audio loop.  It reads lines from the serial console and answers exactly
those of ANSWERS, which are what one would type at the REPL; nothing that arrives is executed.
Answers leave in small pieces with pauses in between, so that a slow line or a host that does not
read holds up the audio by less than the microphone's ring holds.  Ctrl-C is not its business: it
stops the application and gives the REPL.
"""

import asyncio
import select
import sys

from . import frame, microphone, status

STEP_MS = 20
PIECE_BYTES = 64
PIECE_MS = 8
MAX_LINE_BYTES = 100
#: How long after the last `levels` the level is still watched, in steps.
WATCH_STEPS = 150
PREFIX = "import diag; "
HELP = (
    "Earnest is running and answers: diag.status() diag.mic() diag.log(); json=True gives a line "
    "for programs.  Ctrl-C stops it and gives the REPL."
)


class Console:
    """`app` and `hardware` are those that run; `source` has read, `target` has write."""

    def __init__(self, app, hardware, source=None, target=None):
        self._app = app
        self._hardware = hardware
        self._source = source or sys.stdin.buffer
        self._target = target or sys.stdout
        self._poller = select.poll()
        self._poller.register(self._source, select.POLLIN)
        self._line = bytearray()
        self._watching = 0
        self._peak = 0

    async def run(self):
        """Until cancelled; an error of the line is not the application's."""
        while True:
            await asyncio.sleep_ms(STEP_MS)
            try:
                line = self._read()
                if line is not None:
                    await self._answer(line)
            except OSError:
                pass  # the cable was pulled
            if self._watching:
                self._watching -= 1
                self._listen()

    def _read(self):
        """The next whole line as text, or None."""
        for _ in range(MAX_LINE_BYTES):
            if not self._poller.poll(0):
                return None
            byte = self._source.read(1)
            if not byte:
                return None
            if byte in b"\r\n":
                line = bytes(c for c in self._line if 32 <= c < 127).decode().strip()
                self._line = bytearray()
                if line:
                    return line
            elif len(self._line) < MAX_LINE_BYTES:
                self._line += byte
        return None

    def _listen(self):
        if self._app.parts.mic.is_on():
            self._peak = max(self._peak, microphone.peak(self._app.chunk))

    async def _answer(self, line):
        if line.startswith(PREFIX):
            line = line[len(PREFIX) :]
        parts = line.split("(json=True)")
        as_json = len(parts) == 2 and not parts[1]
        name = parts[0] if as_json else line[:-2] if line.endswith("()") else ""
        if name == "diag.status":
            value = status.collect(self._app, self._hardware, True)
            words = status.text
        elif name == "diag.levels":
            self._watching = WATCH_STEPS
            value = status.levels(self._app, self._peak)
            self._peak = 0
            words = _pairs
        elif name == "diag.log":
            value = {
                "version": 1,
                "records": status.records(20),
                "last_error": status.last_error(),
            }
            words = status.log_text
        elif name == "diag.mic":
            value = await self._measure()
            words = microphone.text
        else:
            await self._say(HELP)
            return
        await self._say(frame.encode(value) if as_json else "\n".join(words(value)))

    async def _measure(self):
        """Two seconds of what the application hears anyway."""
        from drivers.microphone_health import HEALTH_NAMES

        parts = self._app.parts
        report = microphone.Report()
        for _ in range(200):
            if not (parts.mic.is_on() and parts.gate.may_listen):
                return microphone.refused(
                    "the microphone is off: unmute the device at its button or switch"
                )
            report.add(*parts.mic.extremes(), self._app.chunk)
            await asyncio.sleep_ms(10)
        return report.result(HEALTH_NAMES[parts.mic.health()])

    async def _say(self, text):
        text += "\n"
        for at in range(0, len(text), PIECE_BYTES):
            self._target.write(text[at : at + PIECE_BYTES])
            await asyncio.sleep_ms(PIECE_MS)


def _pairs(value):
    return ["%s %s" % (name, value[name]) for name in sorted(value)]
