"""The serial line between esptool and the stand-in of a chip, and what hangs on its RTS and DTR.

The line is a pseudo-terminal with a name of its own, which a person would give by --port.  After
the reset at the end the name leads to whatever `then` is: a real MicroPython, for example.

A pseudo-terminal has no RTS and DTR.  Either esptool is run with `modem_wires` in its path, which
sends their state here, or it has to do without (`wires` is None): then the chip is in its boot
loader from the start, as after BOOT and RESET by hand, and the last register that esptool writes
before it would pull RTS is taken for that reset.
"""

from __future__ import annotations

import contextlib
import os
import pty
import select
import socket
import termios
import threading
import tty
from pathlib import Path

from esptool.targets import ESP32S3ROM

from tests.fakes.board.chip_stand_in import Chip

RATES = {getattr(termios, f"B{rate}"): rate for rate in (9600, 115200, 460800)}


class Bridge:
    """A UART bridge and the two transistors: RTS alone holds the chip in reset, DTR alone pulls
    GPIO0 low, both together do neither; a capacitor bridges the moment between two changes."""

    usb = "10C4 EA60"

    def __init__(self) -> None:
        self._is_held = False

    def resets(self, dtr: bool, rts: bool) -> bool | None:
        """What a change of the lines does: nothing, a reset (False), one into the boot loader."""
        if rts and not dtr:
            self._is_held = True
        elif self._is_held and not rts:
            self._is_held = False
            return dtr
        return None


class NativeUSB:
    """The chip's own USB Serial/JTAG: DTR alone asks for the boot loader, RTS alone resets."""

    usb = "303A 1001"

    def __init__(self) -> None:
        self._asked = False

    def resets(self, dtr: bool, rts: bool) -> bool | None:
        if dtr != rts:
            asked, self._asked = self._asked, dtr
            return asked if rts else None
        self._asked &= dtr
        return None


class PtyLine:
    """A context manager; `port` is the name.  With `pulls_plug`, the line is gone when the chip
    falls silent (Chip.stop_at).  `resets` has True for each into the boot loader."""

    def __init__(
        self,
        folder: Path,
        chip: Chip,
        then: str | None = None,
        wires: type[Bridge] | type[NativeUSB] | None = None,
        pulls_plug: bool = False,
    ) -> None:
        self.port = str(folder / "ttyUSB0")
        self.chip, self.then, self.pulls_plug = chip, then, pulls_plug
        self.wires = wires() if wires else None
        self.resets: list[bool] = []
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(folder / "wires"))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pump, daemon=True)
        chip.reset(wires is None)

    @property
    def environment(self) -> dict[str, str]:
        """What esptool's environment needs for the wires."""
        if self.wires is None:
            return {}
        return {
            "PYTHONPATH": str(Path(__file__).parent / "modem_wires"),
            "MODEM_WIRES": self._socket.getsockname(),
            "MODEM_USB": f"{self.port} {self.wires.usb}",
        }

    def __enter__(self) -> PtyLine:
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self._lead_to(os.ttyname(self._slave))
        self._socket.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def _lead_to(self, target: str | None) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.port)
        if target is not None:
            os.symlink(target, self.port)

    def _pump(self) -> None:
        watched: list[socket.socket | int] = [self._master, self._socket]
        with contextlib.ExitStack() as stack:
            stack.callback(os.close, self._master)
            stack.callback(os.close, self._slave)
            stack.enter_context(self._socket)
            while not (self._stop.is_set() or self.pulls_plug and self.chip.stopped.is_set()):
                for ready in select.select(watched, [], [], 0.02)[0]:
                    if ready is self._socket:
                        watched.append(stack.enter_context(self._socket.accept()[0]))
                    elif isinstance(ready, socket.socket):
                        if not self._wires_change(ready):
                            watched.remove(ready)
                    else:
                        self._bytes_come()
            if not self._stop.is_set():
                self._lead_to(None)

    def _bytes_come(self) -> None:
        data = os.read(self._master, 4096)
        rate = RATES[termios.tcgetattr(self._slave)[4]]
        os.write(self._master, self.chip.feed(data, rate))
        last = self.chip.written.pop(ESP32S3ROM.RTC_CNTL_OPTION1_REG, None)
        if last is not None and self.wires is None:
            self._reset(False)

    def _wires_change(self, wires: socket.socket) -> bool:
        """False when the other end is gone."""
        state = wires.recv(1)
        if not state or self.wires is None:
            return False
        how = self.wires.resets(
            bool(state[0] & termios.TIOCM_DTR), bool(state[0] & termios.TIOCM_RTS)
        )
        if how is not None:
            self._reset(how)
        wires.sendall(state)
        return True

    def _reset(self, into_boot_loader: bool) -> None:
        self.resets.append(into_boot_loader)
        self.chip.reset(into_boot_loader)
        if not into_boot_loader and self.chip.starts:
            self._lead_to(self.then)
