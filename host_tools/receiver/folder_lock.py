"""One receiver for one data folder: a lock that the system takes back when the process ends."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from host_tools.errors import HostToolError

LOCK_FILE = "receiver.lock"
_WAIT_S = 30.0


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which exists; raises HostToolError when it is taken."""
    taken = HostToolError(
        f"another `earnest receive` uses {folder}",
        "stop it, or give this one a folder of its own with --data",
    )
    with held(folder / LOCK_FILE, taken):
        yield


@contextlib.contextmanager
def held(path: Path, taken: HostToolError) -> Iterator[None]:
    """Hold the lock of a file, made where it is missing; raises `taken` when somebody has it."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise HostToolError(
            f"cannot open {path}: {error.strerror}", "check its folder's permissions"
        ) from error
    try:
        try:
            _lock(descriptor)
        except OSError as error:
            raise taken from error
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def waiting(path: Path) -> Iterator[None]:
    """Hold the lock of a file, made where it is missing, as soon as it is free.

    Raises HostToolError when it is taken for longer than any work that needs it.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise HostToolError(
            f"cannot open {path}: {error.strerror}", "check its folder's permissions"
        ) from error
    try:
        until_s = time.monotonic() + _WAIT_S
        while True:
            try:
                _lock(descriptor)
                break
            except OSError as error:
                if time.monotonic() > until_s:
                    raise HostToolError(f"{path} is locked by another process") from error
                time.sleep(0.005)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take the lock or raise OSError at once."""
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
