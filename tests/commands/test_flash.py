"""`earnest flash`: the real esptool, started by the real command, against a stand-in of the chip.

From the arguments to the bytes on the wire and back; chip_stand_in.py says what that proves and
what it cannot.
"""

import io
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from host_tools import cli
from host_tools.board import flasher, serial_port
from host_tools.board import image_source as image_download
from host_tools.board.definition import load_board
from host_tools.errors import INTERRUPTED, HostToolError
from host_tools.shared_firmware import ROOT
from tests.fakes.board.chip_images import micropython
from tests.fakes.board.chip_lines import Bridge, NativeUSB, PtyLine
from tests.fakes.board.chip_stand_in import OLD, S3, Chip

BOARD = load_board("ESPRESSIF_S3_EYE")
ESP32 = {"chip_id": None, "magic": 0x00F01D83}
BLOCK = "FLASH_DEFL_DATA"


@pytest.fixture
def image(tmp_path):
    """An image of several blocks of 16 kB on the wire."""
    path = tmp_path / "image.bin"
    path.write_bytes(micropython(tmp_path, code_bytes=60_000))
    return path


@pytest.fixture
def line(tmp_path, monkeypatch):
    """`line(chip, ...)` -> a PtyLine to it, with wires that esptool finds."""
    made = []

    def make(chip, wires=Bridge, **options):
        made.append(PtyLine(tmp_path, chip, wires=wires, **options).__enter__())
        for name, value in made[0].environment.items():
            monkeypatch.setenv(name, value)
        return made[0]

    yield make
    for each in made:
        each.__exit__()


@pytest.fixture
def esptool_cfg(tmp_path, monkeypatch):
    """`esptool_cfg(name=value)` sets how often and how long esptool tries to connect."""

    def write(**options):
        lines = [f"{name} = {value}\n" for name, value in options.items()]
        (tmp_path / "esptool.cfg").write_text("[esptool]\n" + "".join(lines))
        monkeypatch.setenv("ESPTOOL_CFGFILE", str(tmp_path / "esptool.cfg"))

    return write


def arguments(line, image, *more):
    return ["flash", "--board", BOARD.id, "--port", line.port, "--image", str(image), *more]


def is_as_it_was(chip):
    return chip.flash.content.count(OLD) == len(chip.flash.content)


def holds_only(chip, image):
    data = image.read_bytes()
    rest = chip.flash.content[len(data) :]
    return chip.flash.content[: len(data)] == data and rest.count(0xFF) == len(rest)


@pytest.mark.parametrize("wires", (Bridge, None), ids=("bridge", "boot-and-reset-by-hand"))
def test_the_whole_way(line, image, board, wires, monkeypatch, capfd):
    chip = Chip()
    there = line(chip, wires, then=board.port)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert cli.run(arguments(there, image)) == 0
    assert holds_only(chip, image)
    assert there.resets == ([True, True, False] if wires else [False])
    steps = [name for name in chip.commands if name[:4] not in ("READ", "WRIT", "MEM_")]
    blocks = steps.count(BLOCK)
    assert blocks >= 4
    assert steps == [
        *("SYNC", "GET_SECURITY_INFO", "FLASH_BEGIN", "FLASH_END"),
        *("SYNC", "GET_SECURITY_INFO", "CHANGE_BAUDRATE", "SPI_SET_PARAMS", "ERASE_FLASH"),
        *("FLASH_DEFL_BEGIN", *blocks * [BLOCK], "FLASH_DEFL_END", "SPI_FLASH_MD5"),
    ]
    assert chip.rates == {115200, flasher.BAUD}
    # Where nothing resets the chip, the second call finds the stub of the first.
    assert chip.commands.count("MEM_END") == (2 if wires else 1)
    out = capfd.readouterr().out
    assert f"answers on {there.port}\n" in out
    assert f"earnest install --board {BOARD.id} --port {there.port}\n" in out


def test_the_whole_way_by_the_chips_own_usb(line, image, board, monkeypatch, capfd):
    """The port goes with the reset and comes back under another name."""
    chip = Chip()
    there = line(chip, NativeUSB)

    def ports():
        return [SimpleNamespace(device=board.port)] if there.resets[-1:] == [False] else []

    monkeypatch.setattr(flasher, "find_ports", ports)
    assert cli.run(arguments(there, image, "--yes")) == 0
    assert holds_only(chip, image)
    assert there.resets == [True, True, False]
    assert {S3.RTC_CNTL_WDTCONFIG0_REG, S3.RTC_CNTL_SWD_CONF_REG} <= set(chip.written)
    said = capfd.readouterr()
    assert "USB-Serial/JTAG" in said.err and f"answers on {board.port}\n" in said.out


@pytest.mark.parametrize(
    "chip, words",
    [
        (ESP32, "this chip is ESP32, the board ESPRESSIF_S3_EYE has esp32s3"),
        ({"chip_id": 5}, "this chip is ESP32-C3, the board"),
        ({"size_id": 22}, "the chip has 4 MB of flash, ESPRESSIF_S3_EYE has 8 MB"),
        ({"size_id": 0}, "esptool could not tell the flash's size"),
        ({"psram": 2}, "the chip has 2 MB of PSRAM, ESPRESSIF_S3_EYE has 8 MB (octal)"),
        ({"psram": 0}, "the chip has no PSRAM, ESPRESSIF_S3_EYE has 8 MB (octal)"),
        ({"is_secure": True}, "this chip is locked"),
    ],
)
def test_a_wrong_chip_is_not_erased_and_starts_again(line, image, chip, words, capfd):
    chip = Chip(**chip)
    there = line(chip)
    assert cli.run(arguments(there, image, "--yes")) == 2
    err = capfd.readouterr().err
    assert f"error: {words}" in err and "\nhint: " in err and "nothing was erased" in err
    assert is_as_it_was(chip) and there.resets == [True, True, False]


def test_a_flash_that_is_counted_in_kilobytes():
    with pytest.raises(HostToolError, match="512 KB of flash"):
        flasher.require_chip(BOARD, 0, "Detected flash size: 512KB\n")


def test_a_no_erases_nothing_and_starts_it_again(line, image, monkeypatch, capfd):
    chip = Chip()
    there = line(chip)
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert cli.run(arguments(there, image)) == INTERRUPTED
    said = capfd.readouterr()
    assert f"Erase everything on {there.port} (ESP32-S3-EYE" in said.out
    assert "nothing was erased" in said.err
    assert is_as_it_was(chip) and there.resets == [True, True, False]


def test_no_chip_answers(line, image, esptool_cfg, capfd):
    esptool_cfg(connect_attempts=1)
    chip = Chip(stop_at=("SYNC", 1))
    assert cli.run(arguments(line(chip, None), image, "--yes")) == 2
    err = capfd.readouterr().err
    assert "error: esptool found no chip: " in err and "No serial data received" in err
    assert "hint: hold BOOT" in err and is_as_it_was(chip)


def test_a_chip_that_hangs_does_not_hang_us(line, image, monkeypatch, capfd):
    """esptool itself waits for ever for the first word of its stub."""
    chip = Chip(runs_stub=False)
    there = line(chip)
    monkeypatch.setattr(flasher, "QUIET_S", 4.0)
    assert cli.run(arguments(there, image, "--yes")) == 2
    err = capfd.readouterr().err
    assert "found no chip: serial error: nothing was heard for 4 s\nhint: hold BOOT" in err
    assert is_as_it_was(chip) and there.resets == [True, True, False]


def test_a_flash_that_loses_a_bit(line, image, capfd):
    chip = Chip(weak_at=0x10100)
    assert cli.run(arguments(line(chip), image, "--yes")) == 2
    assert not holds_only(chip, image)
    err = capfd.readouterr().err
    assert "error: esptool could not write: " in err and "MD5 of file does not match" in err
    assert "hint: flashing did not complete" in err


def test_a_bit_that_is_lost_on_the_way_is_sent_again(line, image, board, capfd):
    chip = Chip(noise_at=(BLOCK, 2))
    assert cli.run(arguments(line(chip, then=board.port), image, "--yes")) == 0
    assert holds_only(chip, image)


def test_the_plug_is_pulled_in_the_middle(line, image, esptool_cfg, capfd):
    esptool_cfg(connect_attempts=2, sync_timeout=2)
    chip = Chip(stop_at=(BLOCK, 3))
    there = line(chip, pulls_plug=True)
    assert cli.run(arguments(there, image, "--yes")) == 2
    assert chip.stopped.is_set() and not os.path.lexists(there.port)
    err = capfd.readouterr().err
    assert "error: esptool could not write: " in err and "hint: flashing did not complete" in err
    assert "Traceback" not in err


def test_a_plug_that_is_pulled_before_the_erase_loses_nothing(line, image, esptool_cfg, capfd):
    esptool_cfg(connect_attempts=2, sync_timeout=2)
    chip = Chip(stop_at=("MEM_BEGIN", 3))  # the second call's stub
    assert cli.run(arguments(line(chip, pulls_plug=True), image, "--yes")) == 2
    err = capfd.readouterr().err
    assert chip.stopped.is_set() and is_as_it_was(chip)
    assert "error: esptool could not begin to write: " in err
    assert "hint: nothing was erased; hold BOOT" in err


@pytest.mark.parametrize("to_all", (True, False), ids=("terminal", "kill"))
def test_ctrl_c_in_the_middle_ends_esptool_too(line, image, to_all):
    """From a terminal both processes get it; sent to one, esptool must not go on either."""
    chip = Chip(stop_at=(BLOCK, 3))
    command = [sys.executable, "-m", "host_tools", *arguments(line(chip), image, "--yes")]
    with subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert chip.stopped.wait(60)
        (os.killpg if to_all else os.kill)(process.pid, signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == INTERRUPTED, said
    assert "flashing did not complete" in said and said.endswith("stopped\n")
    assert "Traceback" not in said.split("flashing did not complete")[1]
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)


def test_ctrl_c_before_that_starts_it_again(line, image):
    chip = Chip(stop_at=("MEM_BEGIN", 1))
    there = line(chip)
    command = [sys.executable, "-m", "host_tools", *arguments(there, image)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert chip.stopped.wait(60)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert process.returncode == INTERRUPTED and "nothing was erased\n" in said
    assert is_as_it_was(chip) and there.resets == [True, True, False]


def test_a_second_try_after_that_succeeds(line, image, board):
    chip = Chip(stop_at=(BLOCK, 3))
    there = line(chip, then=board.port)
    chip.stop_at = None
    chip.flash.program(0, image.read_bytes()[:40_000])
    assert cli.run(arguments(there, image, "--yes")) == 0
    assert holds_only(chip, image)


def test_nothing_starts_and_another_board_is_left_alone(line, image, board, monkeypatch, capfd):
    """A board that was plugged in before is not taken for the one that was written."""
    chip = Chip()
    monkeypatch.setattr(flasher, "WAIT_S", 0.3)
    monkeypatch.setattr(flasher, "find_ports", lambda: [SimpleNamespace(device=board.port)])
    received = board.received
    assert cli.run(arguments(line(chip), image, "--yes")) == 2
    err = capfd.readouterr().err
    assert "error: the image is written, but no MicroPython answered within 0 s: there is" in err
    assert "hint: press the board's RESET" in err
    assert holds_only(chip, image) and board.received == received


def test_a_link_to_the_port_is_no_other_board(board, tmp_path, monkeypatch):
    monkeypatch.setattr(flasher, "find_ports", lambda: [SimpleNamespace(device=board.port)])
    (tmp_path / "by-id").symlink_to(board.port)
    assert flasher.other_ports(str(tmp_path / "by-id")) == frozenset()


def test_dry_run_prints_the_exact_calls_and_does_nothing(line, image, capfd):
    chip = Chip()
    there = line(chip)
    assert cli.run(arguments(there, image, "--dry-run")) == 0
    out = capfd.readouterr().out
    to = f"--port {there.port}"
    assert f"1. ask the chip: esptool --chip esp32s3 {to} --after no-reset flash-id\n" in out
    assert f"start it again: esptool --chip auto {to} --no-stub " in out
    wrote = f"esptool --chip esp32s3 {to} --baud 460800 write-flash --erase-all 0x0 {image}\n"
    assert f"4. erase and write: {wrote}" in out
    assert not chip.commands and not there.resets


@pytest.fixture
def nothing_at_hand(tmp_path, monkeypatch):
    """No image in the cache, and no network."""
    monkeypatch.setattr(image_download, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(image_download, "download", lambda *_: pytest.fail("it downloads"))


def test_dry_run_needs_no_image_and_no_network(nothing_at_hand, capfd):
    assert cli.run(["flash", "--board", BOARD.id, "--dry-run"]) == 0
    out = capfd.readouterr().out
    assert f"image: {BOARD.micropython.image}, not downloaded yet, so not checked\n" in out
    name = BOARD.micropython.image.rsplit("/", 1)[-1]
    assert re.search(rf"4. erase and write: esptool .* 0x0 .*/{name}\n", out), out


def test_the_port_is_looked_for_before_the_image(nothing_at_hand, monkeypatch, capfd):
    assert cli.run(["flash", "--board", BOARD.id, "--port", "/dev/there-is-none"]) == 2
    assert "there is no port" in capfd.readouterr().err
    monkeypatch.setattr(serial_port, "find_ports", lambda: [])
    assert cli.run(["flash", "--board", BOARD.id]) == 2
    assert "no board found on USB" in capfd.readouterr().err


def test_names_that_esptool_would_take_for_something_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("@image.bin", "-image.bin"):
        assert flasher.write_call(BOARD, "P", Path(name))[-1] == str(tmp_path / name)


def test_make_passes_board_port_and_arguments_on():
    call = ["make", "-n", "flash", "install", "provision", "BOARD=B", "PORT=P", "ARGS=--x y"]
    lines = subprocess.run(call, cwd=ROOT, capture_output=True, text=True).stdout.splitlines()
    for words in ("flash --board B", "install --board B", "provision"):
        assert f".venv/bin/earnest {words} --port P --x y" in lines


def test_repl_is_mpremotes(capfd):
    assert cli.run(["repl", "--port", "/dev/ttyX", "--dry-run"]) == 0
    assert capfd.readouterr().out.strip() == f"{sys.executable} -m mpremote connect /dev/ttyX repl"
    assert cli.run(["repl", "--port", "/dev/there-is-none"]) == 2
    assert "there is no port" in capfd.readouterr().err


def test_repl_says_that_it_needs_a_terminal(capfd, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    ends = os.openpty()
    try:
        assert cli.run(["repl", "--port", os.ttyname(ends[1])]) == 2
    finally:
        for end in ends:
            os.close(end)
    assert "needs a terminal" in capfd.readouterr().err
