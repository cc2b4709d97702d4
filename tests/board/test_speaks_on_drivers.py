"""The whole device on its real drivers, told to ring by a real receiver: what the pins did.

The chip is a stand-in (tests/fakes/machine.py); application, drivers, TLS and receiver are real.
"""

import ast
import json
import time

import pytest

from host_tools.board import console
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import LinkError
from host_tools.receiver.devices import CA_FILE, CERTIFICATE_FILE, KEY_FILE
from host_tools.shared_firmware import ROOT
from tests.fakes.board import live_board
from tests.fakes.board.pty_board import PtyBoard
from tests.fakes.receivers import new_device, receiving

pytestmark = pytest.mark.usefixtures("native_emitter")

#: Each board with the pin of its mute switch and that of its amplifier.
BOARDS = {"ESPRESSIF_DEVKITC_1_SPEAKER": (7, 13), "ONJU_VOICE_V3": (38, 21)}
PATIENCE_S = 60


def wait_for(board, words):
    """The first status for which `words(status)` is true."""
    end = time.monotonic() + PATIENCE_S
    status = None
    while time.monotonic() < end:
        try:
            status = console.ask(board.port, "status")
        except LinkError:
            continue
        if status["state"] != "STOPPED" and words(status):
            return status
        time.sleep(0.05)
    raise AssertionError(status)


def pins(board, enable):
    """What happened to clocks and amplifier, in order, as (what, level)."""
    with SerialLink(board.port) as link:  # stops the application
        said = link.exec(
            "import machine\n"
            f"print([e for e in machine.world.events if e[0] in ('clock', {enable})])"
        )
    return ast.literal_eval(said.decode().strip().splitlines()[-1])


def install(folder, name, plant, certificates, port):
    """A provisioned board of this name, whose owner allows timers."""
    live_board.prepare(folder, plant=plant)
    for file in (KEY_FILE, CERTIFICATE_FILE, CA_FILE):
        (folder / file).write_bytes((certificates / file).read_bytes())
    (folder / "board.py").write_text((ROOT / "boards" / name / "board.py").read_text())
    config = json.loads((folder / "config.json").read_text())
    config |= {"receiver_port": port, "timers": True}
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("name", BOARDS)
def test_a_timer_rings_and_mute_ends_it(tmp_path, name):
    """On the second board microphone and amplifier share the clock's pins."""
    switch, enable = BOARDS[name]
    data = tmp_path / "data"
    plant = (
        f"import network\nnetwork.air.password = {live_board.PASSWORD!r}\n"
        f"world.levels[{switch}] = 0\n"
    )
    with receiving(data, "--commands") as receiver:
        (tmp_path / "device").mkdir()
        made = PtyBoard(tmp_path / "device")
        install(made.folder, name, plant, new_device(data, "kitchen"), receiver.port)
        with made as board:
            wait_for(board, lambda s: s["receiver"]["connected"] and s["microphone"]["on"])
            receiver.wait("status")
            receiver.command("chime timer")
            status = wait_for(board, lambda s: s["speaker"]["on"])
            assert not status["microphone"]["on"] and status["light"]["state"] == "SPEAKING"
            wait_for(board, lambda s: s["microphone"]["on"])  # the pause of the timer
            wait_for(board, lambda s: s["speaker"]["on"])
            receiver.command("mute")
            status = wait_for(board, lambda s: s["muted"])
            assert not status["speaker"]["on"] and not status["microphone"]["on"]
            happened = pins(board, enable)
    listen, speak = [("clock", 1), ("clock", 0)], [("clock", 1), (enable, 1)]
    silent = [(enable, 0), ("clock", 0)]
    while happened[-2:] == [("clock", 0), (enable, 0)]:
        happened.pop()  # Ctrl-C closed what was off
    first = happened.index(("clock", 1))
    assert set(happened[:first]) == {(enable, 0)}, "off from the first moment"
    assert happened[first:] == [*listen, *speak, *silent, *listen, *speak, *silent], happened
