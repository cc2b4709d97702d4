"""Processes that die: at a chosen call to the disk, or at a moment that nobody chose."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from collections.abc import Callable

#: Calls of `os` that change the disk.
_CALLS = ("open", "fsync", "replace", "unlink", "truncate", "close")
DIED = 77


class _Counting:
    """Lets so many calls pass; the next one is the last thing that the process does not do."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self) -> None:
        self.left -= 1
        if self.left < 0:
            os._exit(DIED)


def _wrap(call: Callable, counting: _Counting) -> Callable:
    def wrapped(*arguments, **options):
        counting()
        return call(*arguments, **options)

    return wrapped


def _database(counting: _Counting) -> type:
    class Database(sqlite3.Connection):
        def execute(self, *arguments):
            counting()
            return super().execute(*arguments)

        def executemany(self, *arguments):
            counting()
            return super().executemany(*arguments)

    return Database


def dying_after(calls: int, work: Callable[[], bytes]) -> bytes | None:
    """Do `work` in a process of its own that dies at this call; what it returned, None if it died.

    A process that dies has written what it wrote; what it had not written is lost.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        write = os.write
        counting = _Counting(calls)
        connect = sqlite3.connect
        for name in _CALLS:
            setattr(os, name, _wrap(getattr(os, name), counting))
        sqlite3.connect = lambda *a, **o: connect(*a, factory=_database(counting), **o)
        try:
            write(writing, b"done " + work())
        except BaseException as error:  # told to the test: it expects none
            write(writing, b"failed " + repr(error).encode())
        os._exit(0)
    os.close(writing)
    told = b""
    while part := os.read(reading, 65536):
        told += part
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if os.WEXITSTATUS(status) == DIED and not told:
        return None
    assert told.startswith(b"done "), told
    return told[5:]


def beside(
    work: Callable[[Callable[[bytes], None]], None], kill_after: tuple[int, float] | None = None
):
    """Start `work(tell)` in a process of its own; returns a function that waits for its end, and
    gives the lines that it told.  It is killed after so many lines and seconds, if given."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            work(lambda line: os.write(writing, line + b"\n"))
            os._exit(0)
        except BaseException as error:
            os.write(writing, b"failed " + repr(error).encode() + b"\n")
            os._exit(1)
    os.close(writing)

    def end() -> list[bytes]:
        told, is_killed = b"", kill_after is None
        while part := os.read(reading, 65536):
            told += part
            if not is_killed and told.count(b"\n") >= kill_after[0]:
                time.sleep(kill_after[1])
                os.kill(child, signal.SIGKILL)
                is_killed = True
        os.close(reading)
        os.waitpid(child, 0)
        lines = told.split(b"\n")[:-1]
        assert not [line for line in lines if line.startswith(b"failed")], lines
        return lines

    return end
