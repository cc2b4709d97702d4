"""A board on the end of a serial line: the real MicroPython on a pseudo-terminal.

What tools open is `PtyBoard.port`.  Behind it a pump carries bytes to and from MicroPython, whose
files are `PtyBoard.folder` (mounted as /), or with `flash_bytes` a LittleFS of that size in one
file, as on the chip.  A soft reset starts the interpreter anew as a board does: in the raw REPL
nothing runs, in the friendly REPL boot.py and main.py do.  What can go wrong on a line:

    pull_plug(after_bytes)   the tool sees the port vanish and MicroPython dies, in mid-byte
    plug_in()                power again, on a new port, with whatever the files then are
    when_received(n, action) at so many bytes more from the tool, whatever it is
    reset()                  the device resets; the port stays, as with a UART bridge
    spoil(pattern, other)    bytes of the tool that arrive as others, once
    flip(mask, n, is_sent)   a byte of the tool, or of the device, arrives as another
    garbage(data)            bytes that nobody sent, in front of the device's next ones
    busy()                   another program has the port open, exclusively

Bytes from the tool are counted in `received`, those from the device in `sent`; `said` has the last
of these since the interpreter started.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import serial

from host_tools import micropython

HEAP_BYTES = 4 << 20
BLOCK_BYTES = 4096
SOFT, HARD = 0, 75  # exit status of the interpreter: Ctrl-D or soft_reset, machine.reset

_BOOT = r"""
import micropython, os, sys, vfs
micropython.kbd_intr(-1)  # nothing ends the making of the board
_o = {options}
class _Machine:
    PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5
    def reset(self):
        raise SystemExit({hard})
    def soft_reset(self):
        raise SystemExit({soft})
    def reset_cause(self):
        return _o["cause"]
    def unique_id(self):
        return b"\x7c\xdf\xa1\x00\x00\x01"
    def freq(self, *_):
        return 240000000
    class WDT:
        def __init__(self, id=0, timeout=5000):
            pass
        def feed(self):
            pass
sys.modules["machine"] = _Machine()
if _o["flash"]:
    class _Flash:
        def __init__(self, path, size):
            self.f = open(path, "r+b")
            self.n = size // {block}
        def readblocks(self, n, buf, off=0):
            self.f.seek(n * {block} + off)
            self.f.readinto(buf)
        def writeblocks(self, n, buf, off=0):
            self.f.seek(n * {block} + off)
            self.f.write(buf)
            self.f.flush()
        def ioctl(self, op, arg):
            if op == 4:
                return self.n
            if op == 5:
                return {block}
            return 0
    _d = _Flash(_o["flash"], _o["flash_bytes"])
    if _o["format"]:
        vfs.VfsLfs2.mkfs(_d)
    _v = vfs.VfsLfs2(_d)
else:
    _v = vfs.VfsPosix(_o["folder"])
try:
    vfs.umount("/")
except OSError:
    pass
vfs.mount(_v, "/")
os.chdir("/")
sys.path[:] = ["", ".frozen", "/lib"]
micropython.kbd_intr(3)
for _n in ("boot.py", "main.py") if _o["main"] else ("boot.py",):
    try:
        os.stat(_n)
    except OSError:
        continue
    try:
        exec(compile(open(_n).read(), _n, "exec"), globals())
    except SystemExit:
        raise
    except BaseException as _e:
        sys.print_exception(_e)
        break
"""


class PtyBoard:
    """See the module; use it as a context manager, or the fixture `board` of conftest.py."""

    def __init__(self, folder: Path, flash_bytes: int = 0, byte_delay_s: float = 0.0) -> None:
        self.folder = folder / "board"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._scratch = folder
        self._flash = folder / "flash.bin" if flash_bytes else None
        self._flash_bytes = flash_bytes
        self._format = bool(flash_bytes)
        if self._flash is not None:
            self._flash.write_bytes(b"\xff" * flash_bytes)
        self.received = 0
        self.sent = 0
        self.port = ""
        self.resets = 0
        self.byte_delay_s = byte_delay_s
        self._plug_after: int | None = None
        self._then: tuple[int, Callable[[], object]] | None = None
        self._flip: tuple[int, int, bool] | None = None
        self._garbage = b""
        self._spoil = (b"", b"")
        self._process: subprocess.Popen | None = None
        self._thread: threading.Thread | None = None
        self._master = self._slave = self._inner = -1
        self._stop = threading.Event()
        self._raw = False
        self.said = b""
        self._reset_asked = False

    def __enter__(self) -> PtyBoard:
        self.plug_in()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    # -- power and line

    def plug_in(self) -> None:
        """Power on: a new port, main.py runs when there is one."""
        assert self._thread is None, "still plugged in"
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        self.port = os.ttyname(self._slave)
        self._stop.clear()
        self._raw = False
        self.said = b""
        self._plug_after = None
        self._start(cause=1)
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def unplug(self) -> None:
        """Power off; the port vanishes."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)
            self._thread = None

    def pull_plug(self, after_bytes: int) -> None:
        """Power off after so many more bytes from the tool."""
        self._plug_after = self.received + after_bytes

    def when_received(self, more_bytes: int, action: Callable[[], object]) -> None:
        """Call `action`, in another thread, after so many more bytes from the tool."""
        self._then = (self.received + more_bytes, action)

    @property
    def is_plugged_in(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def reset(self) -> None:
        """A hard reset, as by the button: everything but the files is lost, the port stays."""
        self._reset_asked = True

    def garbage(self, data: bytes) -> None:
        """Put these bytes in front of the next that the device sends."""
        self._garbage += data

    def spoil(self, pattern: bytes, other: bytes) -> None:
        """The next time that the tool sends `pattern`, within one read, `other` arrives."""
        assert len(pattern) == len(other)
        self._spoil = (pattern, other)

    def flip(self, mask: int, after_bytes: int, is_sent: bool) -> None:
        """Exclusive-or with `mask` the byte after so many more from the tool, or of those that
        the device sent."""
        self._flip = (mask, after_bytes + (self.sent if is_sent else self.received), is_sent)

    def _flipped(self, data: bytes, is_sent: bool) -> bytes:
        """The data that is now counted, with what flip() asked for."""
        if self._flip is None or self._flip[2] != is_sent:
            return data
        at = self._flip[1] - (self.sent if is_sent else self.received) + len(data)
        if at >= len(data):
            return data
        mask, self._flip = self._flip[0], None
        return data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]

    def babble(self, data: bytes) -> None:
        """Send these bytes at once, as from the device."""
        os.write(self._master, data)

    @contextlib.contextmanager
    def busy(self) -> Iterator[None]:
        """Another program holds the port."""
        with serial.Serial(self.port, exclusive=True):
            yield

    # -- files, past the line

    def run(self, code: str) -> bytes:
        """Run code in another interpreter over the same files while this board is unplugged."""
        assert not self.is_plugged_in
        script = self._scratch / "aside.py"
        script.write_text(self._boot(main=False, cause=1) + "\n" + code)
        done = subprocess.run(micropython.command(script), capture_output=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def snapshot(self) -> Callable[[], None]:
        """What brings the files back to what they are now; both while it is unplugged."""
        assert not self.is_plugged_in
        if self._flash is not None:
            return partial(self._flash.write_bytes, self._flash.read_bytes())
        kept = self._scratch / "snapshot"
        shutil.copytree(self.folder, kept)

        def restore() -> None:
            shutil.rmtree(self.folder)
            shutil.copytree(kept, self.folder)

        return restore

    def write(self, name: str, text: str) -> None:
        """A file of the folder, as if it had been installed before."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    # -- inside

    def _boot(self, main: bool, cause: int) -> str:
        options = {
            "folder": str(self.folder),
            "flash": str(self._flash) if self._flash else "",
            "flash_bytes": self._flash_bytes,
            "format": int(self._format),
            "main": int(main),
            "cause": cause,
        }
        text = _BOOT.format(options=json.dumps(options), soft=SOFT, hard=HARD, block=BLOCK_BYTES)
        self._format = False
        return text

    def _start(self, cause: int) -> None:
        """Start the interpreter on the inner line."""
        boot = self._scratch / "boot_of_the_board.py"
        boot.write_text(self._boot(not self._raw, cause))
        self._inner, slave = pty.openpty()
        tty.setraw(slave)
        command = micropython.command(boot, heap_bytes=HEAP_BYTES)
        command.insert(command.index("-X"), "-i")

        def own_session() -> None:
            os.setsid()
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # until a program of the board runs

        self._process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=own_session,
            cwd=self.folder,
        )
        os.close(slave)
        if self._raw:
            os.write(self._inner, b"\x01")

    def _kill(self) -> None:
        process = self._process
        if process is not None:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            os.close(self._inner)
            self._process = None

    def _pump(self) -> None:
        try:
            while not self._stop.is_set() and not self._dead_after_plug():
                if self._reset_asked:
                    self._reset_asked = self._raw = False
                    self._again(HARD)
                ready, _, _ = select.select([self._master, self._inner], [], [], 0.02)
                if self._inner in ready:
                    self._from_device()
                if self._master in ready:
                    self._from_tool()
        finally:
            self._kill()
            os.close(self._master)
            os.close(self._slave)

    def _dead_after_plug(self) -> bool:
        return self._plug_after is not None and self.received >= self._plug_after

    def _from_tool(self) -> None:
        most = 256
        if self._plug_after is not None:
            most = min(most, self._plug_after - self.received)
        data = os.read(self._master, max(most, 1))
        self.received += len(data)
        if self._then is not None and self.received >= self._then[0]:
            (_, action), self._then = self._then, None
            action()
        data = self._flipped(data, is_sent=False)
        if self._spoil[0] and self._spoil[0] in data:
            data = data.replace(*self._spoil, 1)
            self._spoil = (b"", b"")
        if self.byte_delay_s:
            time.sleep(self.byte_delay_s * len(data))
        if not self._dead_after_plug():
            try:
                self._give(data)
            except OSError:
                self._ended()

    def _give(self, data: bytes) -> None:
        """Hand bytes to the interpreter; Ctrl-C becomes the signal when a program runs."""
        *pieces, last = data.split(b"\x03")
        for piece in pieces:
            os.write(self._inner, piece)
            if self._runs():
                assert self._process is not None
                self._process.send_signal(signal.SIGINT)
                time.sleep(0.03)  # a second one before the first is noticed ends the interpreter
            else:
                os.write(self._inner, b"\x03")
        os.write(self._inner, last)

    def _runs(self) -> bool:
        """Whether the interpreter listens for the signal, as it does while a program runs."""
        assert self._process is not None
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:
            return False
        caught = next((line for line in status.splitlines() if line.startswith("SigCgt")), "0 0")
        return bool(int(caught.split()[1], 16) & 1 << (signal.SIGINT - 1))

    def _from_device(self) -> None:
        try:
            data = os.read(self._inner, 4096)
        except OSError:  # EIO: the interpreter has ended
            data = b""
        if not data:
            self._ended()
            return
        # The host's port ends lines with \r\r\n where a raw terminal gets \r\n from a board.
        data = data.replace(b"\r\r\n", b"\r\n")
        self.said = (self.said + data)[-200:]
        raw = self.said.rfind(b"raw REPL; CTRL-B to exit\r\n")
        friendly = self.said.rfind(b">>> ")
        if raw != friendly:
            self._raw = raw > friendly
        self._send(data)

    def _send(self, data: bytes) -> None:
        data, self._garbage = self._garbage + data, b""
        self.sent += len(data)
        data = self._flipped(data, is_sent=True)
        if self.byte_delay_s:
            time.sleep(self.byte_delay_s * len(data))
        os.write(self._master, data)

    def _ended(self) -> None:
        assert self._process is not None
        status = self._process.wait()
        if status == HARD:
            self._raw = False
        self._again(status)

    def _again(self, status: int) -> None:
        self._kill()
        self.resets += 1
        self.said = b""
        self._send(b"ESP-ROM:esp32s3\r\n" if status == HARD else b"MPY: soft reboot\r\n")
        self._start(cause=2 if status == HARD else 5)


if __name__ == "__main__":  # a board to play with: python -m tests.host.pty_board FOLDER
    with PtyBoard(Path(sys.argv[1])) as example:
        print(example.port, flush=True)
        while True:
            time.sleep(1)
