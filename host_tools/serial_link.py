"""The serial line to a board: code and files through MicroPython's raw REPL.

Every command that speaks to a board goes through `SerialLink`, a context manager over mpremote's
SerialTransport.  It opens with errors a person can act on, keeps a time limit on everything,
checks what it copies, and on leaving - also by Ctrl-C or an error - starts a device again that it
interrupted or found stopped.  Must not import the firmware.

    with SerialLink(find_port(port)) as link:
        print(link.exec_json("import json, os; print(json.dumps(os.listdir()))"))
"""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import io
import json
import os
import signal
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import serial
from mpremote.transport import TransportError
from mpremote.transport_serial import SerialTransport
from serial.tools import list_ports

from host_tools.errors import HostToolError

BAUD = 115200
READ_TIMEOUT_S = 2.0  # of a single read below mpremote, which would wait for ever
ANSWER_S = 3.0  # how long an interrupted device may take until it shows a prompt
BUSY_S = 1.0
DEFAULT_TIMEOUT_S = 10.0
PUT_CHUNK_BYTES = 512
PUT_ATTEMPTS = 3
MAX_OUTPUT_BYTES = 4 << 20
MAX_FILE_BYTES = 4 << 20

USB_ESPRESSIF = 0x303A  # the chip's own USB
USB_BRIDGES = {
    0x10C4: "CP210x UART bridge",
    0x1A86: "CH34x UART bridge",
    0x0403: "FTDI UART bridge",
}

_END = b"\x04"
_FRIENDLY = b">>> "
_RAW = b"raw REPL; CTRL-B to exit\r\n>"
# A watchdog that the interrupted program started goes on counting and nothing stops it; so long
# it lets us work.  Started anew, the program sets its own time again.
_PATIENT_WATCHDOG = """try:
 import machine
 machine.WDT(timeout=1800000).feed()
except Exception:
 pass
"""
_HASH = """def _earnest_hash(p):
 import hashlib, binascii
 try:
  f = open(p, "rb")
 except OSError:
  return ""
 h = hashlib.sha256()
 b = bytearray(512)
 while 1:
  n = f.readinto(b)
  if not n:
   break
  h.update(memoryview(b)[:n])
 f.close()
 return binascii.hexlify(h.digest()).decode()
"""


class LinkError(HostToolError):
    """The line or the device's end of it failed; nothing is known of what was under way."""


class LineLostError(LinkError):
    """The port is gone: unplugged, or reset where the chip is its own USB."""


class DeviceError(HostToolError):
    """Code on the device raised; `traceback` is what MicroPython printed."""

    def __init__(self, traceback: str) -> None:
        self.traceback = traceback
        lines = traceback.strip().splitlines()
        super().__init__(
            f"the device says: {lines[-1] if lines else 'an error without words'}",
            "its flash is full: remove files of yours (earnest repl), or earnest flash"
            if "ENOSPC" in traceback or "OSError: 28" in traceback
            else "if this is unexpected, install the firmware again: earnest install",
        )


@dataclass(frozen=True)
class Port:
    """A serial port of this computer; what: its USB device in words."""

    device: str
    what: str
    is_native_usb: bool
    serial_number: str | None


def find_ports() -> list[Port]:
    """Ports with a USB id of an ESP32-S3 or a UART bridge of one, in the order of their names."""
    found = []
    for port in sorted(list_ports.comports(), key=lambda port: port.device):
        if port.vid == USB_ESPRESSIF:
            found.append(Port(port.device, "ESP32-S3 USB", True, port.serial_number))
        elif port.vid in USB_BRIDGES:
            found.append(Port(port.device, USB_BRIDGES[port.vid], False, port.serial_number))
    return found


def find_port(given: str | None) -> str:
    """The port that is meant: `given`, or the only one with a board's USB id."""
    if given:
        return given
    ports = find_ports()
    if len(ports) == 1:
        return ports[0].device
    if not ports:
        raise HostToolError(
            "no board found on USB",
            "plug it in with a data cable, then try again; or name its port: --port PORT",
        )
    raise HostToolError(
        "more than one board: " + ", ".join(f"{port.device} ({port.what})" for port in ports),
        "say which: --port PORT",
    )


class _Transport(SerialTransport):
    """mpremote's, which does not wait longer than ANSWER_S for what is due at once."""

    def read_until(
        self, min_num_bytes, ending, timeout=10, data_consumer=None, timeout_overall=None
    ):
        most_s = ANSWER_S if timeout is None else min(timeout, ANSWER_S)
        return super().read_until(min_num_bytes, ending, most_s, data_consumer, timeout_overall)


class SerialLink:
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
        self._has_hash = False

    # -- coming and going

    def __enter__(self) -> SerialLink:
        self._transport = _open(self.port, self._baud)
        try:
            self._interrupt()
            if self._restart:
                self.exec(_PATIENT_WATCHDOG)
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
        with _as_link_error(self.port):
            port = self._serial()
            port.write(b"\r\x02")
            self._read_until(_FRIENDLY, ANSWER_S)
            port.write(b"\x04")
            said = self._read_until(b"soft reboot\r\n", ANSWER_S)
            if not said.endswith(b"soft reboot\r\n"):
                self._restart = True
                return said
            said = self._read_until(_END, listen_s)
        with _no_interrupts():
            _close(self._live())
            self._transport = None
        return said

    @staticmethod
    def check_port(port: str) -> None:
        """Raise LinkError when the port cannot be opened; nothing is sent to the device."""
        _close(_open(port, BAUD))

    def _leave(self) -> None:
        """Stop what runs, leave the raw REPL, start main.py again if it is due; never raises."""
        if self._transport is None:
            return
        with _no_interrupts():
            with contextlib.suppress(OSError, TransportError, LinkError):
                port = self._transport.serial
                port.write(b"\r\x03\x03\x02")
                if self._restart:
                    answers = self._read_until(_FRIENDLY, ANSWER_S).endswith(_FRIENDLY)
                    port.write(b"\x04")
                    if answers:
                        self._read_until(b"soft reboot\r\n", ANSWER_S)
                port.flush()
            _close(self._transport)
            self._transport = None

    def _interrupt(self) -> None:
        """Bring the device into the raw REPL, noting whether a program ran."""
        port = self._serial()
        with _as_link_error(self.port):
            port.reset_input_buffer()
            seen = b""
            # Raw REPL left behind by another tool: Ctrl-C is silent there, Ctrl-B leaves it.
            for keys in (b"\r\x03", b"\x03", b"\r\x03\x02", b"\x03\x02"):
                port.write(keys)
                seen += self._read_until(_FRIENDLY, ANSWER_S / 2)
                if b"KeyboardInterrupt" in seen or b"soft reboot" in seen:
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
        with contextlib.redirect_stdout(io.StringIO()):  # mpremote prints what it did not expect
            transport.enter_raw_repl(soft_reset=False, timeout_overall=ANSWER_S)

    # -- code

    def exec(self, code: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> bytes:
        """Run code; what it printed.  DeviceError when it raised, LinkError after `timeout_s`."""
        output = bytearray()
        for data in self._run(code, timeout_s):
            output += data
            if len(output) > MAX_OUTPUT_BYTES:
                raise LinkError(
                    f"{self.port}: the device does not stop printing", "press its reset button"
                )
        return bytes(output)

    def exec_json(self, code: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> Any:
        """The value of the last line of JSON (object or array) that `code` printed."""
        output = self.exec(code, timeout_s)
        for line in reversed(output.splitlines()):
            if line.strip()[:1] in (b"{", b"["):
                with contextlib.suppress(ValueError):
                    return json.loads(line.decode("utf-8", "replace"))
        raise LinkError(
            f"{self.port}: the device's answer cannot be read: {_shown(output)}",
            "try again; if it stays so, use a shorter cable or another port",
        )

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
            with _as_link_error(self.port):
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
            _no_interrupts(),
            contextlib.suppress(OSError, TransportError, LinkError, struct.error),
        ):
            port = self._serial()
            for _ in range(3):
                port.write(b"\r\x03\x03\x02")
                if self._read_until(_FRIENDLY, ANSWER_S / 2).endswith(_FRIENDLY):
                    self._enter_raw()
                    return

    # -- files

    def put(self, path: str, data: bytes, progress: Callable[[int], object] | None = None) -> None:
        """Write a file and compare its SHA-256 as the device computes it; tries again when the
        line spoiled it.  `progress` gets the bytes written since it was last called.  Not atomic:
        write to another name and rename it."""
        want = hashlib.sha256(data).hexdigest()
        for attempt in range(PUT_ATTEMPTS):
            written = 0
            try:
                self.exec(f"f=open({path!r},'wb')\nw=f.write")
                for at in range(0, len(data), PUT_CHUNK_BYTES):
                    chunk = data[at : at + PUT_CHUNK_BYTES]
                    self.exec(f"n=w({chunk!r})\nif n!={len(chunk)}: raise OSError(28)")
                    written += len(chunk)
                    if progress is not None:
                        progress(len(chunk))
                self.exec("f.close()\nimport os\nhasattr(os,'sync') and os.sync()")
                if self.sha256(path) == want:
                    return
            except LineLostError:
                raise
            except DeviceError as error:  # code that the line spoiled makes any error but this
                if "OSError" in error.traceback or attempt == PUT_ATTEMPTS - 1:
                    raise
            except LinkError:
                if attempt == PUT_ATTEMPTS - 1:
                    raise
            if progress is not None:
                progress(-written)
        raise LinkError(
            f"{self.port}: {path} arrived damaged {PUT_ATTEMPTS} times",
            "use a shorter cable or another USB port",
        )

    def get(self, path: str, most_bytes: int = MAX_FILE_BYTES) -> bytes | None:
        """A file's bytes, checked by SHA-256; None when there is no such file."""
        for _ in range(PUT_ATTEMPTS):
            want = self.sha256(path)
            if not want:
                return None
            text = self.exec(
                f"import binascii\nf=open({path!r},'rb')\nk={most_bytes}\n"
                "while k>0:\n b=f.read(min(k,384))\n if not b: break\n k-=len(b)\n"
                " print(binascii.b2a_base64(b).decode(),end='')\nf.close()",
                timeout_s=DEFAULT_TIMEOUT_S + most_bytes / 2000,
            )
            try:
                data = b"".join(binascii.a2b_base64(line) for line in text.splitlines())
            except ValueError:
                continue
            if hashlib.sha256(data).hexdigest() == want:
                return data
            if len(data) >= most_bytes:
                raise LinkError(
                    f"{path} on the device is longer than {most_bytes} bytes", "remove it there"
                )
        raise LinkError(
            f"{self.port}: {path} arrived damaged {PUT_ATTEMPTS} times",
            "use a shorter cable or another USB port",
        )

    def sha256(self, path: str) -> str:
        """Hexadecimal SHA-256 of a file, computed on the device; empty when there is none."""
        if not self._has_hash:
            self.exec(_HASH)
            self._has_hash = True
        answer = self.exec(f"print('<'+_earnest_hash({path!r})+'>')", timeout_s=60)
        return answer[answer.find(b"<") + 1 : answer.rfind(b">")].decode("ascii", "replace")

    # -- resets

    def soft_reset(self) -> None:
        """Start the interpreter anew, without main.py, and be in its raw REPL again."""
        with _as_link_error(self.port):
            port = self._serial()
            port.write(b"\x04")
            if not self._read_until(b"soft reboot\r\n", ANSWER_S).endswith(b"soft reboot\r\n"):
                raise LinkError(
                    f"{self.port}: the device did not restart", "press its reset button"
                )
            self._read_until(_RAW, ANSWER_S)
            self._has_hash = False
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

    def _read_until(self, ending: bytes, most_s: float) -> bytes:
        """Read until `ending` or for `most_s`; what came, at most the last 8 KiB of it."""
        port = self._serial()
        data = bytearray()
        deadline = time.monotonic() + most_s
        was = port.timeout
        try:
            port.timeout = min(0.05, most_s)
            while not data.endswith(ending) and time.monotonic() < deadline:
                data += port.read(1)
                if len(data) > 16384:
                    del data[:8192]
        finally:
            port.timeout = was
        return bytes(data)


def _open(port: str, baud: int) -> SerialTransport:
    """mpremote's transport, or a LinkError that says why it cannot be had.

    A port that is busy gets BUSY_S: system services look at a port that has just appeared.
    """
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            transport = _Transport(port, baudrate=baud, timeout=READ_TIMEOUT_S)
            transport.serial.write_timeout = DEFAULT_TIMEOUT_S
            return transport
        except (TransportError, OSError, ValueError) as error:
            if not os.path.exists(port) or time.monotonic() > deadline:
                raise _why_not(port) from error
            time.sleep(0.1)


def _close(transport: SerialTransport) -> None:
    """Close the port for certain: mpremote's close stops where the line is lost, and the port
    would stay locked."""
    with contextlib.suppress(OSError, TransportError):
        transport.close()
    with contextlib.suppress(OSError):
        transport.serial.close()


def _why_not(port: str) -> LinkError:
    known = ", ".join(found.device for found in find_ports())
    if os.name != "nt" and not os.path.exists(port):
        return LinkError(
            f"there is no port {port}",
            f"ports with a board: {known}"
            if known
            else "no board found on USB: is it plugged in?",
        )
    if os.name != "nt" and not os.access(port, os.R_OK | os.W_OK):
        return LinkError(
            f"no permission to use {port}",
            "sudo usermod -a -G dialout $USER, then log out and in again",
        )
    try:
        serial.Serial(port, exclusive=True).close()
    except (OSError, ValueError) as error:
        words = str(error)
        if "lock" in words or "busy" in words.lower() or "denied" in words.lower():
            return LinkError(
                f"{port} is busy: another program has it open",
                "close the other program (a monitor, a terminal, another earnest), then try again",
            )
        return LinkError(f"{port} cannot be opened: {words}", "is this a serial port?")
    return LinkError(f"{port} could not be opened just now", "try again")


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


def _shown(data: bytes) -> str:
    """The last bytes in words that a terminal can show."""
    return ascii(data[-60:].decode("ascii", "replace"))


@contextlib.contextmanager
def _as_link_error(port: str) -> Iterator[None]:
    """Errors of pyserial and mpremote in words."""
    try:
        yield
    except (TransportError, struct.error) as error:
        raise LinkError(
            f"{port}: the device's answer makes no sense ({error})",
            "try again; if it stays so, use a shorter cable or another USB port",
        ) from error
    except serial.SerialTimeoutException as error:
        raise LinkError(f"{port}: the device takes no bytes", "press its reset button") from error
    except (OSError, TypeError) as error:  # TypeError: pyserial, of a port closed under it
        raise LineLostError(
            f"{port}: the line was lost ({error})",
            "plug the board in again and repeat the command",
        ) from error


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Ctrl-C waits: what leaves the device in order must not be stopped half-way."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
