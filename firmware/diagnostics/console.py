"""Answers over the cable while the application runs, without stopping it.

Place: a task beside the audio loop.  It reads lines from the serial console and answers four
questions, which are what one would type at the REPL; nothing that arrives is executed.  Answers
leave in small pieces with longer pauses in between, and none to a host that does not read, so that
the audio is held up by less than the microphone's ring holds.  Ctrl-C
stops the application and gives the REPL.
"""

import asyncio
import select
import sys

from . import frame, microphone, status, text
from .records import newest

STEP_MS = 20
#: The step while nobody types: after so many looks that found nothing.
QUIET_STEP_MS = 100
QUIET_LOOKS = 100
PIECE_BYTES = 64
PIECE_MS = 8
MAX_LINE_BYTES = 100
#: How often room is looked for, a PIECE_MS apart, before the rest of an answer is dropped.
ROOM_LOOKS = 60
#: A write that took longer met a host that does not read (MicroPython waits up to 500 ms for it);
#: then nothing is answered for DEAF_MS.
STALL_US = 100000
DEAF_MS = 5000
#: How long after the last `levels` the level is still measured.
WATCH_MS = 3000
PREFIX = "import diag; "
HELP = (
    "Earnest is running and answers: diag.status() diag.mic() diag.log(); json=True gives a line "
    "for programs.  Ctrl-C stops it and gives the REPL."
)


class Line:
    """The serial console of the REPL; nothing here waits for a byte, and looking for one allocates
    nothing.
    """

    def __init__(self, source=None, target=None):
        self._source = source or sys.stdin.buffer
        self._target = target or sys.stdout.buffer
        self._arrived = select.poll()
        self._arrived.register(self._source, select.POLLIN)
        self._room = select.poll()
        self._room.register(sys.stdout, select.POLLOUT)

    def read(self):
        """The next byte as bytes; None when there is none."""
        for _ in self._arrived.ipoll(0):
            return self._source.read(1) or None
        return None

    def has_room(self):
        """Whether the host takes what is written."""
        for _ in self._room.ipoll(0):
            return True
        return False

    def write(self, text):
        """At once: sys.stdout would write, and wait for the host, twice for each line of it."""
        self._target.write(text.replace("\n", "\r\n"))


class Console:
    """`app` and `hardware` are those that run; `line` is a Line, and `sleep_ms` asyncio's, or both
    are those of a simulation.
    """

    def __init__(self, app, hardware, line=None, sleep_ms=asyncio.sleep_ms):
        self._app = app
        self._hardware = hardware
        self._cable = line or Line()
        self._sleep_ms = sleep_ms
        self._line = bytearray()

    async def run(self):
        """Until cancelled; an error of the line is not the application's."""
        quiet_looks = 0
        while True:
            await self._sleep_ms(STEP_MS if quiet_looks < QUIET_LOOKS else QUIET_STEP_MS)
            quiet_looks += 1
            try:
                line = self._read()
                if line is not None:
                    quiet_looks = 0
                    await self._answer(line)
            except OSError:
                pass  # the cable was pulled

    def _read(self):
        """The next whole line as text, or None."""
        for _ in range(MAX_LINE_BYTES):
            byte = self._cable.read()
            if byte is None:
                return None
            if byte in b"\r\n":
                line = bytes(c for c in self._line if 32 <= c < 127).decode().strip()
                self._line = bytearray()
                if line:
                    return line
            elif len(self._line) < MAX_LINE_BYTES:
                self._line += byte
        return None

    async def _answer(self, line):
        if line.startswith(PREFIX):
            line = line[len(PREFIX) :]
        parts = line.split("(json=True)")
        as_json = len(parts) == 2 and not parts[1]
        name = parts[0] if as_json else line[:-2] if line.endswith("()") else ""
        if name == "diag.status":
            value = status.collect(self._app, self._hardware, True)
            lines = text.status_lines
        elif name == "diag.levels":
            value = status.levels(self._app, self._app.parts.level.read())
            self._app.parts.level.watch(WATCH_MS)
            lines = text.level_lines
        elif name == "diag.log":
            value = {
                "version": 1,
                "now_ms": self._app.parts.clock.now_ms(),
                "records": newest(),
                "last_error": status.last_error(),
            }
            lines = text.log_lines
        elif name == "diag.mic":
            value = await self._measure()
            lines = text.microphone_lines
        else:
            await self._say(HELP)
            return
        await self._say(frame.encode(value) if as_json else "\n".join(lines(value)))

    async def _measure(self):
        """Two seconds of what the application hears anyway."""
        from drivers.microphone_health import HEALTH_NAMES

        parts = self._app.parts
        report = microphone.Report()
        parts.level.read()
        parts.level.watch(2200)
        for _ in range(200):
            if not (parts.mic.is_on() and parts.gate.may_listen):
                return microphone.refused(
                    "the microphone is off: unmute the device at its button or switch"
                )
            report.add(*parts.mic.extremes(), parts.level.read())
            await self._sleep_ms(10)
        return report.result(HEALTH_NAMES[parts.mic.health()])

    async def _say(self, answer):
        """In pieces; what a host does not take is dropped."""
        answer += "\n"
        clock = self._app.parts.clock
        for at in range(0, len(answer), PIECE_BYTES):
            looks = ROOM_LOOKS
            while not self._cable.has_room():
                looks -= 1
                if not looks:
                    return
                await self._sleep_ms(PIECE_MS)
            began_us = clock.ticks_us()
            self._cable.write(answer[at : at + PIECE_BYTES])
            took_us = (clock.ticks_us() - began_us) & 0x3FFFFFFF
            if took_us > STALL_US:
                await self._sleep_ms(DEAF_MS)
                return
            # Twice as long as it took: two thirds of the time are the audio's on any line.
            await self._sleep_ms(max(PIECE_MS, took_us // 500))
