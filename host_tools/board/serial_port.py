"""Serial ports of this computer: find those with a board, open them, close them for certain.

Place: below raw_repl.  What pyserial and mpremote raise becomes a LinkError that says what to do.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
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
IS_WINDOWS = os.name == "nt"
IS_MACOS = sys.platform == "darwin"
#: macOS shows each port under two names.
_MACOS_DIAL_IN, _MACOS_CALL_OUT = "/dev/tty.", "/dev/cu."
AUTO = "auto"  # as a port: the only board
READ_TIMEOUT_S = 2.0  # of a single read below mpremote, which would wait for ever
WRITE_TIMEOUT_S = 10.0
ANSWER_S = 3.0  # how long an interrupted device may take until it shows a prompt
BUSY_S = 1.0

USB_ESPRESSIF = 0x303A  # the chip's own USB
USB_BRIDGES = {
    0x10C4: "CP210x UART bridge",
    0x1A86: "CH34x UART bridge",
    0x0403: "FTDI UART bridge",
}


class LinkError(HostToolError):
    """The line or the device's end of it failed; nothing is known of what was under way."""


class LineLostError(LinkError):
    """The port is gone: unplugged, or reset where the chip is its own USB."""


@dataclass(frozen=True)
class Port:
    """A serial port of this computer; `what` names its USB device."""

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
    """The port that is meant: `given`, or the only one with a board's USB id (None and AUTO)."""
    if given and given != AUTO:
        if IS_MACOS and given.startswith(_MACOS_DIAL_IN):  # opening it waits for a caller
            return _MACOS_CALL_OUT + given[len(_MACOS_DIAL_IN) :]
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
        "one board with two cables? unplug one; else say which: --port PORT",
    )


class _Transport(SerialTransport):  # type: ignore[misc]  # mpremote has no types
    """mpremote's, which does not wait longer than ANSWER_S for what is due at once."""

    def read_until(
        self,
        min_num_bytes: int,
        ending: bytes,
        timeout: float | None = 10,
        data_consumer: Callable[[bytes], None] | None = None,
        timeout_overall: float | None = None,
    ) -> Any:
        max_s = ANSWER_S if timeout is None else min(timeout, ANSWER_S)
        return super().read_until(min_num_bytes, ending, max_s, data_consumer, timeout_overall)


def open_port(port: str, baud: int) -> SerialTransport:
    """mpremote's transport, or a LinkError that says why it cannot be had.

    A port that is busy gets BUSY_S: system services look at a port that has just appeared.
    """
    deadline = time.monotonic() + BUSY_S
    was_free = False
    while True:
        try:
            transport = _Transport(port, baudrate=baud, timeout=READ_TIMEOUT_S)
            transport.serial.write_timeout = WRITE_TIMEOUT_S
            return transport
        except (TransportError, OSError, ValueError) as error:
            if not _is_there(port) or time.monotonic() > deadline:
                problem = _why_not(port)
                if problem is not None or was_free:
                    raise problem or LinkError(
                        f"{port} could not be opened", "try again"
                    ) from error
                was_free = True  # it has become free just now: once more
            else:
                time.sleep(0.1)


def close_port(transport: SerialTransport) -> None:
    """Close the port for certain: mpremote's close stops where the line is lost, and the port
    would stay locked."""
    with contextlib.suppress(OSError, TransportError):
        transport.close()
    with contextlib.suppress(OSError):
        transport.serial.close()


def _is_there(port: str) -> bool:
    """Whether this computer has that port; on Windows a port is not a file."""
    if IS_WINDOWS:
        return any(found.device.upper() == port.upper() for found in list_ports.comports())
    return os.path.exists(port)


def _why_not(port: str) -> LinkError | None:
    """What is in the way of opening a port; None when nothing is."""
    known = ", ".join(found.device for found in find_ports())
    if not _is_there(port):
        return LinkError(
            f"there is no port {port}",
            f"ports with a board: {known}"
            if known
            else "no board found on USB: is it plugged in?",
        )
    if not (IS_WINDOWS or os.access(port, os.R_OK | os.W_OK)):
        return LinkError(
            f"no permission to use {port}",
            "give yourself the right to use it, or name another port"
            if IS_MACOS
            else "sudo usermod -a -G dialout $USER, then log out and in again",
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
        return LinkError(
            f"{port} cannot be opened: {words}",
            f"ports with a board: {known}" if known else "plug the board in, then try again",
        )
    return None


@contextlib.contextmanager
def as_link_error(port: str) -> Iterator[None]:
    """Raise what pyserial and mpremote raise as a LinkError."""
    try:
        yield
    except (TransportError, struct.error) as error:
        raise LinkError(
            f"{port}: unexpected response from the board ({error})",
            "try again; if it stays so, use a shorter cable or another USB port",
        ) from error
    except serial.SerialTimeoutException as error:
        raise LinkError(
            f"{port}: write timed out: the board is not reading", "press its reset button"
        ) from error
    except (OSError, TypeError) as error:  # TypeError: pyserial, of a port closed under it
        raise LineLostError(
            f"{port}: the line was lost ({error})",
            "plug the board in again and repeat the command",
        ) from error
