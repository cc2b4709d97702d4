"""Questions to a device that goes on running: a line out, a line with a checksum back.

The running firmware answers the line `import diag; diag.status(json=True)` itself (see
firmware/diagnostics/console.py) and the REPL of a stopped one executes the very same line.
Nothing is interrupted and nothing has to be restored, so Ctrl-C may come at any moment.  Only a
device that does not answer this way is asked through its raw REPL.
"""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import Any

import click

from firmware.diagnostics import frame
from host_tools.board.raw_repl import DeviceError
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import (
    BAUD,
    LineLostError,
    LinkError,
    as_link_error,
    find_port,
    open_port,
)
from host_tools.errors import HostToolError

ATTEMPTS = 3
ANSWER_S = 4.0  # a status is 2 kB: 0.3 s at 115,200 baud with the device's pauses
MAX_ANSWER_BYTES = 1 << 16
START_AGAIN = "press RESET, or Ctrl-D in `earnest repl`"
INSTALL = "install the firmware: earnest install"
#: A key that only the answer to this question has; that to `levels` has no version.
_KEYS = {"status": "running", "log": "records", "mic": "verdict"}


def code(name: str, arguments: str = "") -> str:
    """The line that makes the device answer with a frame."""
    return f"import diag; diag.{name}({arguments}{', ' if arguments else ''}json=True)"


class Live:
    """The line to a device, as a context manager; `ask` may be called again and again."""

    def __init__(self, port: str | None, baud: int = BAUD) -> None:
        self.port = find_port(port)
        self._baud = baud

    def __enter__(self) -> Live:
        self._transport = open_port(self.port, self._baud)
        self._serial = self._transport.serial
        self._serial.timeout = 0.05
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._transport.close()

    def ask(self, name: str, timeout_s: float = ANSWER_S, attempts: int = ATTEMPTS) -> Any:
        """What `diag.NAME(json=True)` says; asked again where noise spoiled it.

        Raises LinkError when nothing readable came, LineLostError when the port went away.
        """
        seen = b""
        for attempt in range(attempts):
            if attempt == 1:
                click.echo("no answer yet: waiting for the board", err=True)
            with as_link_error(self.port):
                self._serial.reset_input_buffer()
                # The line end finishes what noise may have left in the device's line, Ctrl-B a raw
                # REPL that another tool has left; a running firmware takes no notice of it.
                self._serial.write(b"\r\x02" + code(name).encode() + b"\r")
                value, seen = self._answer(name, timeout_s)
            if value is not None:
                return value
            if b"ImportError: no module named 'diag'" in seen:
                raise HostToolError(f"{self.port}: Earnest is not on this board", INSTALL)
        words = ascii(seen[-60:].decode("ascii", "replace"))
        raise LinkError(
            f"{self.port}: the device does not answer"
            + (f" readably, but: {words}" if seen.strip() else ""),
            "is this the board's port? press its reset button; a shorter cable helps with noise",
        )

    def _answer(self, name: str, timeout_s: float) -> tuple[Any, bytes]:
        """The value of the next whole frame that answers this, or None after `timeout_s`; and
        what came.  Ctrl-C may have left another question's answer on its way."""
        seen = bytearray()
        deadline = time.monotonic() + timeout_s
        at = 0
        while time.monotonic() < deadline and len(seen) < MAX_ANSWER_BYTES:
            seen += self._serial.read(max(1, self._serial.in_waiting))
            while (end := seen.find(b"\n", at)) >= 0:
                value = frame.decode(seen[at:end].decode("utf-8", "replace"))
                at = end + 1
                if value is not None and _answers(name, value):
                    return value, bytes(seen)
            if b"Error: " in seen and seen.endswith(b">>> "):
                break
        return None, bytes(seen)


def _answers(name: str, value: Any) -> bool:
    return _KEYS[name] in value if name in _KEYS else "version" not in value


def ask(port: str | None, name: str, timeout_s: float = ANSWER_S) -> Any:
    """One question; a device that does not answer while running is asked in its raw REPL."""
    with Live(port) as live:
        try:
            return live.ask(name, timeout_s)
        except LineLostError:
            raise
        except LinkError:
            pass
    with SerialLink(live.port) as link:
        return run(link, name, timeout_s=timeout_s + 10)


def run(link: SerialLink, name: str, arguments: str = "", timeout_s: float = 60.0) -> Any:
    """Execute `diag.NAME(...)` on a stopped device; repeats what noise spoiled."""
    for _ in range(ATTEMPTS):
        try:
            output = link.exec(code(name, arguments), timeout_s)
        except DeviceError as error:
            if "no module named 'diag'" in error.traceback:
                raise HostToolError(
                    f"{link.port}: Earnest is not on this board", INSTALL
                ) from error
            if "RuntimeError: Earnest is running" in error.traceback:
                raise HostToolError(
                    "the device is still running", "press its reset button"
                ) from error
            raise
        for line in reversed(output.splitlines()):
            value = frame.decode(line.decode("utf-8", "replace"))
            if value is not None:
                return value
    raise LinkError(f"{link.port}: what the device says cannot be read", "use a shorter cable")
