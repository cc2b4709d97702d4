"""Counts executed instructions from qemu's log: one line each, read through a FIFO as it runs.

For: machine.py with count=True. qemu with one instruction per block and `-d exec,nochain` writes
`Trace 0: 0x7f34bc0000c0 [00000000/00012490/0005bfd3/00000201]` for each instruction; the second
field is its address. The monitor's call instruction marks where a call begins; what follows in
the code region belongs to that call, so the stubs that stand for the runtime are not counted.
"""

from __future__ import annotations

import os
import subprocess
import threading

import numpy as np

_BLOCK_BYTES = 1 << 20
_HEX = np.zeros(256, np.uint32)
for _digit in range(16):
    _HEX[ord(f"{_digit:x}")] = _digit


def _addresses(block: bytes) -> np.ndarray:
    """The instruction addresses (uint32) of whole log lines."""
    width = block.find(b"\n") + 1
    bracket = block.find(b"[")
    if width > 0 and 0 <= bracket < width and len(block) % width == 0:
        lines = np.frombuffer(block, np.uint8).reshape(-1, width)
        if (lines[:, -1] == 10).all() and (lines[:, bracket] == ord("[")).all():
            digits = _HEX[lines[:, bracket + 10 : bracket + 18]]
            return digits @ (1 << np.arange(28, -1, -4)).astype(np.uint32)
    fields = (line.partition(b"[")[2].split(b"/") for line in block.split(b"\n"))
    return np.array([int(f[1], 16) for f in fields if len(f) > 1], np.uint32)


class InstructionLog:
    """Reads the log in a thread and keeps one number for each call."""

    def __init__(self, folder: str, call_at: int, code: range) -> None:
        self._path = os.path.join(folder, "log")
        os.mkfifo(self._path)
        self._call_at, self._code = call_at, code
        self._counts: list[int] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def qemu_options(self, qemu: str) -> list[str]:
        """The options that make qemu write the log (the first was renamed in qemu 8.1)."""
        usage = subprocess.run([qemu, "-h"], capture_output=True, text=True, check=False).stdout
        single = "-one-insn-per-tb" if "-one-insn-per-tb" in usage else "-singlestep"
        return [single, "-d", "exec,nochain", "-D", self._path]

    def _read(self) -> None:
        rest = b""
        with open(self._path, "rb", buffering=0) as fifo:
            while data := fifo.read(_BLOCK_BYTES):
                whole, newline, rest = (rest + data).rpartition(b"\n")
                if newline:
                    self._add(whole + newline)

    def _add(self, block: bytes) -> None:
        addresses = _addresses(block)
        inside = np.cumsum((addresses >= self._code.start) & (addresses < self._code.stop))
        starts = np.flatnonzero(addresses == self._call_at)
        edges = [0, *(int(inside[i]) for i in starts), int(inside[-1]) if len(inside) else 0]
        shares = [b - a for a, b in zip(edges, edges[1:], strict=False)]
        if self._counts:
            self._counts[-1] += shares[0]
        self._counts += shares[1:]

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
