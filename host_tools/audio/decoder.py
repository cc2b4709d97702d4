"""Open and read audio with libsndfile: its errors as one type, its warnings off the terminal.

libmpg123 inside libsndfile writes warnings straight to the process's standard error.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

#: All that libsndfile and its Python side raise for a file that they cannot read.
ERRORS = (soundfile.LibsndfileError, RuntimeError, OSError, TypeError, ValueError, AssertionError)
STDERR = 2
Samples = np.ndarray[Any, Any]
_lock = threading.Lock()
_depth = 0
_kept = -1


@contextmanager
def quiet() -> Iterator[None]:
    """Send the process's standard error nowhere, also for what C code writes to it."""
    _hush(1)
    try:
        yield
    finally:
        _hush(-1)


def _hush(change: int) -> None:
    """Count who wants quiet; the first redirects file descriptor 2, the last puts it back."""
    global _depth, _kept
    with _lock:
        before, _depth = _depth, _depth + change
        try:
            if before == 0:
                if sys.stderr is not None:
                    sys.stderr.flush()
                _kept = os.dup(STDERR)
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, STDERR)
                os.close(nowhere)
            elif _depth == 0 and _kept >= 0:
                os.dup2(_kept, STDERR)
                os.close(_kept)
        except OSError:
            _kept = -1  # no standard error at all, as under pythonw: nothing to hush


class WholeWav(io.RawIOBase):
    """A WAV whose length of 0 reads as the length of what follows; for `soundfile`."""

    def __init__(self, path: Path, field_at: int) -> None:
        self._file = path.open("rb")
        self._field_at = field_at
        length = path.stat().st_size - field_at - 4
        self._field = struct.pack("<I", min(length & ~1, 0xFFFF_FFFE))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        at = self._file.tell()
        data = bytearray(self._file.read(len(buffer)))
        for i, value in enumerate(self._field):
            if 0 <= self._field_at + i - at < len(data):
                data[self._field_at + i - at] = value
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


@contextmanager
def opened(path: Path, field_at: int = 0) -> Iterator[soundfile.SoundFile]:
    """Open a file; with `field_at`, as a WAV whose length there is wrong.  Raises ERRORS."""
    with ExitStack() as stack:
        source = stack.enter_context(WholeWav(path, field_at)) if field_at else str(path)
        with quiet():
            file = soundfile.SoundFile(source)
        yield stack.enter_context(file)


def read_block(file: soundfile.SoundFile, samples: int, dtype: str, is_2d: bool) -> Samples:
    """Read up to `samples` of each channel; empty at the end.  Raises ERRORS."""
    if file.format not in ("MP3", "MPEG"):
        block: Samples = file.read(samples, dtype=dtype, always_2d=is_2d)
        return block
    with quiet():
        block = file.read(samples, dtype=dtype, always_2d=is_2d)
        return block
