"""One receiver for one data folder: a lock that the system takes back when the process ends."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from host_tools.errors import HostToolError

LOCK_FILE = "receiver.lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`, which exists; raises HostToolError when it is taken."""
    path = folder / LOCK_FILE
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
            raise HostToolError(
                f"another `earnest receive` uses {folder}",
                "stop it, or give this one a folder of its own with --data",
            ) from error
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
