"""Ctrl-C at points spread over all that a command tells the board: the exit status says so, and
the device that ran runs again."""

import json
import os
import signal
import tempfile

import click
import pytest

from host_tools import cli
from host_tools.board.serial_link import SerialLink
from tests.commands.test_status import wait_until_running
from tests.fakes.board import live_board
from tests.fakes.board.pty_board import PtyBoard
from tests.fakes.board.small_firmware import put, started, use_tiny_models, write_tree

POINTS = 8


class Fingers:
    """Presses Ctrl-C for a command of this process."""

    def __init__(self):
        self.total_bytes = 0
        self._may_press = False

    def press(self):
        os.kill(os.getpid(), signal.SIGINT)

    def _pressed(self, *_):
        if self._may_press:  # else the command was at its end
            raise KeyboardInterrupt

    def during(self, plugged, command, point):
        """The exit status of command() with Ctrl-C at that one of POINTS; without for None, which
        must be the first."""
        before = signal.signal(signal.SIGINT, self._pressed)
        began = plugged.received
        try:
            if point is not None:
                plugged.when_received(1 + self.total_bytes * point // POINTS, self.press)
            self._may_press = True
            return command()
        finally:
            self._may_press = False
            if point is None:
                self.total_bytes = plugged.received - began
            signal.signal(signal.SIGINT, before)


@pytest.fixture
def fingers(native_emitter):
    return Fingers()


def installs(plugged, tmp_path):
    tree = write_tree(tmp_path / "new", 2)
    called = click.Command("install", callback=lambda: put(plugged, tree) and 0)
    return lambda: cli.run_command(called, [])


def provisions(plugged, tmp_path):
    answers = tmp_path / "answers.json"
    answers.touch(mode=0o600)
    answers.write_text(json.dumps({"wifi_ssid": "home", "receiver_host": "192.0.2.7"}))
    given = ("--from", str(answers), "--name", "kitchen", "--yes")
    return lambda: cli.run(
        ["provision", "--port", plugged.port, *given, "--data", tempfile.mkdtemp(dir=tmp_path)]
    )


def erases(plugged, tmp_path):
    assert provisions(plugged, tmp_path)() == 0
    given = ("--yes", "--data", str(tmp_path / "none"))
    return lambda: cli.run(["erase", "--port", plugged.port, *given])


@pytest.mark.parametrize("make", [installs, provisions, erases])
def test_what_writes(tmp_path, monkeypatch, fingers, make):
    use_tiny_models(monkeypatch)
    with PtyBoard(tmp_path) as plugged:
        put(plugged, write_tree(tmp_path / "old", 1))
        command = make(plugged, tmp_path)
        plugged.unplug()
        restore = plugged.snapshot()
        statuses = []
        for point in (None, *range(0, POINTS, 1 if make is installs else 2)):
            plugged.unplug()
            restore()
            plugged.plug_in()
            started(plugged)
            statuses.append(fingers.during(plugged, command, point))
            started(plugged)
            with SerialLink(plugged.port) as link:
                assert link.was_running, point
        assert statuses[0] == 0
        # What must not stop half-way, in provision and erase, goes to its end.
        least = POINTS if make is installs else 2
        assert statuses.count(cli.INTERRUPTED) >= least, statuses
        assert set(statuses) <= {0, cli.INTERRUPTED}, statuses


LOOKS = {
    "status": [],
    "audit": ["--json"],
    "selftest": ["--only", "memory", "--only", "kernels", "--only", "model"],
}


@pytest.mark.parametrize("name", LOOKS)
def test_what_looks(tmp_path, fingers, name):
    with live_board.board(tmp_path) as plugged:
        statuses = []
        for point in (None, 0, 2, 4, 6):
            wait_until_running(plugged)
            given = [name, "--port", plugged.port, *LOOKS[name]]
            statuses.append(fingers.during(plugged, lambda given=given: cli.run(given), point))
        assert wait_until_running(plugged)
        assert statuses == [0] + [cli.INTERRUPTED] * 4
