"""Fixtures over the host's MicroPython, for tests of every folder."""

from __future__ import annotations

import signal

import pytest

from host_tools import micropython
from tests.fakes.board.pty_board import PtyBoard

# A shell starts what runs in its background with Ctrl-C ignored, and every child inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def run_micropython(tmp_path):
    """`run_micropython(source, *arguments, stdin=b"", heap_bytes=...)` -> stdout as bytes.

    Runs the source text with the firmware on its path and fails the test, with what MicroPython
    said, when it does not end with exit status 0.
    """
    if not micropython.has_native_emitter():
        pytest.skip("this host's MicroPython has no native emitter")

    def run(source, *arguments, **keywords):
        script = tmp_path / "script.py"
        script.write_text(source)
        done = micropython.run(script, *arguments, **keywords)
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        return done.stdout

    return run


@pytest.fixture
def board(tmp_path):
    """A plugged-in board with an empty file system."""
    if not micropython.has_native_emitter():
        pytest.skip("this host's MicroPython has no native emitter")
    with PtyBoard(tmp_path) as plugged:
        yield plugged
