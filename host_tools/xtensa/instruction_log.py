"""Counts executed instructions from qemu's log, read through a FIFO as it runs.

With `-d in_asm,exec,nochain` qemu lists each block of
instructions when it translates it and writes one line each time a block is entered:
`Trace 0: 0x7f34bc0000c0 [00000000/00012490/0005bfd3/00000200]`, the second field being its
address. Lines times block lengths is the count. With single_step every block is one instruction:
the plain definition, ten times slower; a test holds the two against each other.

Where the monitor's calling block is entered, a call begins; what follows in the code region
belongs to that call, so the stubs that stand for the runtime are not counted.
"""

from __future__ import annotations

import os
import subprocess
import threading

import numpy as np

_READ_BYTES = 1 << 20
_CALL_BEGINS = -1


class InstructionLog:
    """Reads the log in a thread and keeps one number for each call.

    call_at: address of the monitor's calling block; code: the addresses that are counted.
    """

    def __init__(self, folder: str, call_at: int, code: range, single_step: bool) -> None:
        self._path = os.path.join(folder, "log")
        os.mkfifo(self._path)
        self._call_at, self._code, self._single_step = call_at, code, single_step
        self._sizes: dict[bytes, int] = {}  # by the block's whole line
        self._listed = 0  # instructions listed since the last block was entered
        self._counts: list[int] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def qemu_options(self, qemu: str) -> list[str]:
        """Return the options that make qemu write the log (qemu 8.1 renamed single step)."""
        if not self._single_step:
            return ["-d", "in_asm,exec,nochain", "-D", self._path]
        usage = subprocess.run([qemu, "-h"], capture_output=True, text=True, check=False).stdout
        single = "-one-insn-per-tb" if "-one-insn-per-tb" in usage else "-singlestep"
        return [single, "-d", "in_asm,exec,nochain", "-D", self._path]

    def _read(self) -> None:
        rest = b""
        with open(self._path, "rb", buffering=0) as fifo:
            while data := fifo.read(_READ_BYTES):
                whole, newline, rest = (rest + data).rpartition(b"\n")
                if newline:
                    self._add(whole.split(b"\n"))

    def _add(self, lines: list[bytes]) -> None:
        try:
            sizes = [self._sizes[line] for line in lines]  # nothing but blocks that are known
        except KeyError:
            sizes = [size for line in lines if (size := self._block(line)) is not None]
        values = np.array(sizes, np.int64)
        starts = np.flatnonzero(values == _CALL_BEGINS)
        values[starts] = 0
        sums = [int(part.sum()) for part in np.split(values, starts)]
        if self._counts:
            self._counts[-1] += sums[0]
        self._counts += sums[1:]

    def _block(self, line: bytes) -> int | None:
        """Return how many instructions this line stands for; None for a line of a listing."""
        if not line.startswith(b"Trace "):
            self._listed += line.startswith(b"0x")
            return None
        if self._listed:
            address = int(line.partition(b"[")[2].split(b"/")[1], 16)
            size = self._listed if address in self._code else 0
            self._sizes[line] = _CALL_BEGINS if address == self._call_at else size
            self._listed = 0
        return self._sizes[line]

    def finish(self) -> None:
        """Wait until everything is read; the process must have ended."""
        try:  # a process that ended before it opened the log leaves the reader waiting for one
            os.close(os.open(self._path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            pass  # nobody reads any more: all is read
        self._thread.join()

    def per_call(self) -> list[int]:
        """Instructions of each call, in order; after finish()."""
        return self._counts
