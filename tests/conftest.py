"""What a test needs of the machine, and fixtures over the host's MicroPython."""

from __future__ import annotations

import signal

import pytest

from host_tools import micropython
from host_tools.errors import HostToolError
from host_tools.models import catalog
from host_tools.xtensa.machine import find_qemu
from tests.fakes.board.pty_board import PtyBoard

# A shell starts what runs in its background with Ctrl-C ignored, and every child inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _skip_native_emitter(*_, **__):
    pytest.skip("this host's MicroPython has no native emitter, or there is none")


@pytest.fixture(scope="session", autouse=True)
def skip_when_micropython_is_needed():
    """Where the host's MicroPython cannot run the firmware, a test skips when it asks for it."""
    with pytest.MonkeyPatch.context() as patch:
        if not micropython.has_native_emitter():
            patch.setattr(micropython, "command", _skip_native_emitter)
            patch.setattr(micropython, "require_native_emitter", _skip_native_emitter)
        yield


@pytest.fixture(scope="session", autouse=True)
def words(tmp_path_factory):
    """The folder of trained words, empty: no test sees those of whoever runs it."""
    folder = tmp_path_factory.mktemp("words")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "WORDS", folder)
        yield folder


@pytest.fixture(scope="session")
def native_emitter():
    """For a test that needs it in another process: skips where MicroPython has no viper."""
    if not micropython.has_native_emitter():
        _skip_native_emitter()


@pytest.fixture(scope="session")
def qemu():
    """The path of qemu-xtensa; where it is not installed, the test skips."""
    try:
        return find_qemu()
    except HostToolError as error:
        pytest.skip(f"{error.message}: {error.hint}")


@pytest.fixture
def figure(record_property):
    """`figure(text)` says what a test measured; `make claims` prints it."""

    def say(text):
        print("figure:", text)
        record_property("figure", text)

    return say


@pytest.fixture
def run_micropython(native_emitter, tmp_path):
    """`run_micropython(source, *arguments, stdin=b"", heap_bytes=...)` -> stdout as bytes.

    Runs the source text with the firmware on its path and fails the test, with what MicroPython
    said, when it does not end with exit status 0.
    """

    def run(source, *arguments, **keywords):
        script = tmp_path / "script.py"
        script.write_text(source)
        done = micropython.run(script, *arguments, **keywords)
        assert done.returncode == 0, (done.stdout + done.stderr).decode(errors="replace")
        return done.stdout

    return run


@pytest.fixture
def board(native_emitter, tmp_path):
    """A plugged-in board with an empty file system."""
    with PtyBoard(tmp_path) as plugged:
        yield plugged
