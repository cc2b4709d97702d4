"""MicroPython's raw REPL over a serial port: code in, its output back.

Place: above serial_port, below serial_link, which adds files.  Every call has a time limit.  On
leaving, also by Ctrl-C or an error, a device that was interrupted or found stopped is started
again.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport

from host_tools.board.serial_port import (
    ANSWER_S,
    BAUD,
    LineLostError,
    LinkError,
    as_link_error,
    close_port,
    open_port,
)
from host_tools.errors import HostToolError

DEFAULT_TIMEOUT_S = 10.0
MAX_OUTPUT_BYTES = 4 << 20
ATTEMPTS = 3

_END = b"\x04"
_FRIENDLY = b">>> "
#: Said after Ctrl-C only where a program ran; one may fail in its own way.
_HAS_RUN = (b"KeyboardInterrupt", b"Traceback (most recent", b"soft reboot")
_RAW = b"raw REPL; CTRL-B to exit\r\n>"
# A watchdog that the interrupted program started goes on counting and nothing stops it; so long
# it lets us work.  Started anew, the program sets its own time again.
_PATIENT_WATCHDOG = """try:
 import machine
 machine.WDT(timeout=1800000).feed()
except Exception:
 pass
"""

_REPL = TypeVar("_REPL", bound="RawREPL")


class DeviceError(HostToolError):
    """Code on the device raised; `traceback` is what MicroPython printed."""

    def __init__(self, traceback: str) -> None:
        self.traceback = traceback
        lines = traceback.strip().splitlines()
        super().__init__(
            f"the device says: {lines[-1] if lines else 'unknown error (empty traceback)'}",
            "its flash is full: remove your own files (earnest repl), or run earnest flash"
            if "ENOSPC" in traceback or "OSError: 28" in traceback
            else "if this is unexpected, install the firmware again: earnest install",
        )


class RawREPL:
    """The raw REPL of the device on `port`.

    `was_running` tells whether a program was interrupted.  On leaving, the device is soft-reset
    into main.py when a program ran, or when it was found stopped in a raw REPL, or after
    `restart_on_leave()`; else it is left at its prompt.
    """

    def __init__(self, port: str, baud: int = BAUD) -> None:
        self.port = port
        self.was_running = False
        self._baud = baud
        self._restart = False
        self._transport: SerialTransport | None = None

    # -- coming and going

    def __enter__(self: _REPL) -> _REPL:
        self._transport = open_port(self.port, self._baud)
        try:
            self._interrupt()
            if self._restart:
                self.repeat(_PATIENT_WATCHDOG)
        except BaseException:
            self._restart = True  # whatever it was, it may have been interrupted
            self._leave()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()

    def restart_on_leave(self) -> None:
        """Start main.py on leaving, whatever ran before."""
        self._restart = True

    def leave_stopped(self) -> None:
        """Leave the device at its prompt, also when a program was interrupted."""
        self._restart = False

    def start_and_listen(self, listen_s: float) -> bytes:
        """Start main.py now and return what it prints in that time; ends the link's use."""
        self._restart = True  # whatever comes between
        with as_link_error(self.port):
            port = self._serial()
            port.write(b"\r\x02")
            self._read_until(_FRIENDLY, ANSWER_S)
            port.write(b"\x04")
            said = self._read_until(b"soft reboot\r\n", ANSWER_S)
            if not said.endswith(b"soft reboot\r\n"):
                return said
            said = self._read_until(_END, listen_s)
        with uninterrupted():
            close_port(self._live())
            self._transport = None
        return said

    @staticmethod
    def check_port(port: str) -> None:
        """Raise LinkError when the port cannot be opened; nothing is sent to the device."""
        close_port(open_port(port, BAUD))

    def _leave(self) -> None:
        """Stop what runs, leave the raw REPL, start main.py again if it is due; never raises."""
        if self._transport is None:
            return
        with uninterrupted():
            with contextlib.suppress(OSError, TransportError, LinkError):
                port = self._transport.serial
                port.write(b"\r\x03\x03\x02")
                if self._restart:
                    answers = self._read_until(_FRIENDLY, ANSWER_S).endswith(_FRIENDLY)
                    port.write(b"\x04")
                    if answers:
                        self._read_until(b"soft reboot\r\n", ANSWER_S)
                port.flush()
            close_port(self._transport)
            self._transport = None

    def _interrupt(self) -> None:
        """Bring the device into the raw REPL, noting whether a program ran."""
        port = self._serial()
        with as_link_error(self.port):
            port.reset_input_buffer()
            seen = b""
            # Raw REPL left behind by another tool: Ctrl-C is silent there, Ctrl-B leaves it.
            for keys in (b"\r\x03", b"\x03", b"\r\x03\x02", b"\x03\x02"):
                port.write(keys)
                seen += self._read_until(_FRIENDLY, ANSWER_S / 2)
                if any(words in seen for words in _HAS_RUN):
                    self.was_running = True
                if b"ESP-ROM" in seen:  # opened, it was reset; Ctrl-C met boot.py
                    self._restart = True
                if seen.endswith(_FRIENDLY):
                    # Ctrl-C may have met the prompt first: nothing more to come is certain only
                    # after a quiet moment.
                    more = self._read_until(b"\x00", 0.1)
                    if not more or more.endswith(_FRIENDLY):
                        self._restart |= self.was_running or keys.endswith(b"\x02")
                        break
            else:
                raise _no_prompt(self.port, seen)
            self._enter_raw()

    def _enter_raw(self) -> None:
        """From the friendly REPL to the raw one's prompt, which stays unread for mpremote."""
        transport = self._live()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                # mpremote prints what it did not expect
                with contextlib.redirect_stdout(io.StringIO()):
                    transport.enter_raw_repl(soft_reset=False, timeout_overall=ANSWER_S)
                return
            except TransportError:
                if attempt == ATTEMPTS:
                    raise
                transport.serial.write(b"\r\x03\x02")
                self._read_until(_FRIENDLY, ANSWER_S / 2)

    # -- code

    def exec(self, code: str, timeout_s: float | None = None) -> bytes:
        """Run code; what it printed.  DeviceError when it raised, LinkError after `timeout_s`,
        DEFAULT_TIMEOUT_S when None."""
        max_s = DEFAULT_TIMEOUT_S if timeout_s is None else timeout_s
        output = bytearray()
        for data in self._run(code, max_s):
            output += data
            if len(output) > MAX_OUTPUT_BYTES:
                raise LinkError(
                    f"{self.port}: the device does not stop printing", "press its reset button"
                )
        return bytes(output)

    def repeat(
        self,
        code: str,
        timeout_s: float | None = None,
        is_good: Callable[[bytes], object] = lambda output: True,
    ) -> bytes:
        """`exec` for code that may run twice: again when the line spoiled it or its answer, which
        `is_good` tells.  An OSError of the device is no such thing and comes at once."""
        output = b""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                output = self.exec(code, timeout_s)
                if is_good(output):
                    return output
            except LineLostError:
                raise
            except (DeviceError, LinkError) as error:
                is_told = isinstance(error, DeviceError) and "OSError" in error.traceback
                if is_told or attempt == ATTEMPTS:
                    raise
        raise LinkError(
            f"{self.port}: unreadable response from the board: {_shown(output)}",
            "try again; if it stays so, use a shorter cable or another port",
        )

    def exec_json(self, code: str, timeout_s: float | None = None) -> Any:
        """The value of the last line of JSON (object or array) that `code`, which may run twice,
        printed."""
        output = self.repeat(code, timeout_s, lambda output: _last_json(output) is not None)
        return _last_json(output)

    def stream(self, code: str, quiet_s: float = DEFAULT_TIMEOUT_S) -> Iterator[bytes]:
        """Run code and yield its lines as they come; LinkError after `quiet_s` without a byte.

        Closing the iterator (break, Ctrl-C) interrupts the code; the link can be used again.
        """
        pending = bytearray()
        for data in self._run(code, None, quiet_s):
            pending += data
            while (at := pending.find(b"\n")) >= 0:
                yield bytes(pending[:at]).rstrip(b"\r")
                del pending[: at + 1]
        if pending:
            yield bytes(pending)

    def _run(
        self, code: str, timeout_s: float | None, quiet_s: float | None = None
    ) -> Iterator[bytes]:
        """Yield pieces of the output.  However it ends, the device is at the raw REPL's prompt,
        unless the line itself has failed."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        is_done = False
        try:
            with as_link_error(self.port):
                with contextlib.redirect_stdout(io.StringIO()):
                    self._live().exec_raw_no_follow(code)
                yield from self._pieces(deadline, quiet_s)
                problem = b"".join(self._pieces(deadline, quiet_s or DEFAULT_TIMEOUT_S))
                is_done = True
        finally:
            if not is_done:
                self._stop_code()
        if problem:
            raise DeviceError(problem.decode("utf-8", "replace"))

    def _pieces(self, deadline: float | None, quiet_s: float | None) -> Iterator[bytes]:
        """Bytes up to the next end mark, which is taken but not yielded."""
        port = self._serial()
        heard = time.monotonic()
        while True:
            byte = port.read(1)  # one by one: what follows the mark is mpremote's to read
            now = time.monotonic()
            if byte == _END:
                return
            if byte:
                heard = now
                yield byte
            if (deadline is not None and now > deadline) or (
                quiet_s is not None and now > heard + quiet_s
            ):
                raise LinkError(
                    f"{self.port}: the device did not answer in time",
                    "try again; if it stays so, press the board's reset button",
                )

    def _stop_code(self) -> None:
        """Ctrl-C until the raw REPL's prompt; what it says is of no interest any more."""
        with (
            uninterrupted(),
            contextlib.suppress(OSError, TransportError, LinkError, struct.error),
        ):
            port = self._serial()
            for _ in range(3):
                port.write(b"\r\x03\x03\x02")
                if self._read_until(_FRIENDLY, ANSWER_S / 2).endswith(_FRIENDLY):
                    self._enter_raw()
                    return

    # -- resets

    def soft_reset(self) -> None:
        """Start the interpreter anew, without main.py, and be in its raw REPL again."""
        with as_link_error(self.port):
            port = self._serial()
            port.write(b"\x04")
            if not self._read_until(b"soft reboot\r\n", ANSWER_S).endswith(b"soft reboot\r\n"):
                raise LinkError(
                    f"{self.port}: the device did not restart", "press its reset button"
                )
            self._read_until(_RAW, ANSWER_S)
            port.write(b"\r\x02")
            self._read_until(_FRIENDLY, ANSWER_S)
            self._enter_raw()

    # -- inside

    def _live(self) -> SerialTransport:
        if self._transport is None:
            raise LinkError(f"{self.port} is closed", "open it again")
        return self._transport

    def _serial(self) -> Any:
        return self._live().serial

    def _read_until(self, ending: bytes, max_s: float) -> bytes:
        """Read until `ending` or for `max_s`; what came, at most the last 8 KiB of it."""
        port = self._serial()
        data = bytearray()
        deadline = time.monotonic() + max_s
        was = port.timeout
        try:
            port.timeout = min(0.05, max_s)
            while not data.endswith(ending) and time.monotonic() < deadline:
                data += port.read(1)
                if len(data) > 16384:
                    del data[:8192]
        finally:
            port.timeout = was
        return bytes(data)


def _no_prompt(port: str, seen: bytes) -> LinkError:
    if b"waiting for download" in seen or b"DOWNLOAD" in seen:
        return LinkError(
            f"{port}: the board is in its boot loader, not in MicroPython",
            "press reset without holding the boot button",
        )
    if seen.strip():
        return LinkError(
            f"{port}: no MicroPython prompt, but this: {_shown(seen)}",
            "is this the right port, with MicroPython on the board? put it there: earnest flash",
        )
    return LinkError(
        f"{port}: no MicroPython answers",
        "is this the board's port? press its reset button; put MicroPython on it: earnest flash",
    )


def _last_json(output: bytes) -> Any:
    """The last line that is a JSON object or array; None without one."""
    for line in reversed(output.splitlines()):
        if line.strip()[:1] in (b"{", b"["):
            with contextlib.suppress(ValueError):
                return json.loads(line.decode("utf-8", "replace"))
    return None


def _shown(data: bytes) -> str:
    """Return the last bytes as text that a terminal can show."""
    return ascii(data[-60:].decode("ascii", "replace"))


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C does nothing meanwhile: for the seconds of what must not stop half-way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
