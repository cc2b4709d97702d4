"""Fixtures of the host's tests."""

import pytest
from pty_board import PtyBoard

from host_tools import micropython


@pytest.fixture
def board(tmp_path):
    """A plugged-in board with an empty file system."""
    if not micropython.has_native_emitter():
        pytest.skip("this host's MicroPython has no native emitter")
    with PtyBoard(tmp_path) as plugged:
        yield plugged
