"""Every command spells the options that it shares with others in the same way."""

import importlib

import click
import pytest

from host_tools import cli
from host_tools.commands import options

#: Each shared option with its short form.
SHARED = {"--port": "-p", "--json": None, "--data": None, "--yes": "-y", "--board": "-b"}
#: Whose --port is a TCP port, and whose --board may be left away.
OTHER = {("receive", "--port"), ("simulate", "--board")}


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_the_same_words_everywhere(name):
    for option in importlib.import_module(f"host_tools.commands.{name}").command.params:
        for long in SHARED.keys() & set(option.opts):
            if (name, long) not in OTHER:
                short = SHARED[long]
                assert set(option.opts) == {long, *([short] if short else [])}, long


def test_auto_is_the_only_board(monkeypatch):
    from host_tools.board import serial_port

    only = serial_port.Port("/dev/ttyACM3", "ESP32-S3 USB", True, None)
    monkeypatch.setattr(serial_port, "find_ports", lambda: [only])
    assert serial_port.find_port("auto") == serial_port.find_port(None) == only.device
    assert serial_port.find_port("COM4") == "COM4"


def test_the_receivers_folder_is_the_same_wherever_a_command_is_started(tmp_path, monkeypatch):
    """Another current folder must not make a second CA without a word."""
    monkeypatch.chdir(tmp_path)
    for name in ("receive", "provision", "erase", "recordings", "devices"):
        found = importlib.import_module(f"host_tools.commands.{name}").command
        for command in getattr(found, "commands", {name: found}).values():
            [data] = [option for option in command.params if option.name == "data"]
            assert data.get_default(click.Context(command)) == options.DEFAULT_DATA
    assert options.DEFAULT_DATA.is_absolute()
