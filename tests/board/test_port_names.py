"""Port names of Windows and macOS, as pyserial lists them there."""

from types import SimpleNamespace

import pytest

from host_tools.board import serial_port
from host_tools.errors import HostToolError

ESPRESSIF, CP210X, OTHER = (0x303A, 0x1001), (0x10C4, 0xEA60), (0x046D, 0xC52B)


@pytest.fixture
def computer(monkeypatch):
    """`computer(system, {port: (vid, pid)})` is what this computer then is."""

    def become(system, ports):
        monkeypatch.setattr(serial_port, "IS_WINDOWS", system == "windows")
        monkeypatch.setattr(serial_port, "IS_MACOS", system == "macos")
        listed = [
            SimpleNamespace(device=name, vid=ids and ids[0], pid=ids and ids[1], serial_number="1")
            for name, ids in ports.items()
        ]
        monkeypatch.setattr(serial_port.list_ports, "comports", lambda *_, **__: listed)

    return become


@pytest.mark.parametrize(
    "system, ports, board",
    [
        ("windows", {"COM1": None, "COM3": ESPRESSIF, "COM12": OTHER}, "COM3"),
        ("windows", {"COM1": None, "COM12": CP210X}, "COM12"),
        (
            "macos",
            {"/dev/cu.Bluetooth-Incoming-Port": None, "/dev/cu.usbmodem1101": ESPRESSIF},
            "/dev/cu.usbmodem1101",
        ),
        ("macos", {"/dev/cu.SLAB_USBtoUART": CP210X}, "/dev/cu.SLAB_USBtoUART"),
    ],
)
def test_the_only_board_is_found(computer, system, ports, board):
    computer(system, ports)
    assert serial_port.find_port(None) == board


def test_two_boards_are_named(computer):
    computer("windows", {"COM3": ESPRESSIF, "COM4": CP210X})
    with pytest.raises(HostToolError, match=r"COM3 \(ESP32-S3 USB\), COM4 \(CP210x"):
        serial_port.find_port(None)


def test_on_macos_the_dial_in_name_is_taken_as_the_other(computer):
    computer("macos", {})
    assert serial_port.find_port("/dev/tty.usbmodem1101") == "/dev/cu.usbmodem1101"
    assert serial_port.find_port("/dev/cu.usbmodem1101") == "/dev/cu.usbmodem1101"
    computer("linux", {})
    assert serial_port.find_port("/dev/tty.odd") == "/dev/tty.odd"


@pytest.mark.parametrize("name", ["COM3", "com3"])
def test_a_busy_com_port_is_asked_again_and_then_said_to_be_busy(computer, monkeypatch, name):
    computer("windows", {"COM3": ESPRESSIF})
    tried = []

    def denied(port, *_, **__):
        tried.append(port)
        raise PermissionError(f"could not open port {port!r}: Access is denied.")

    monkeypatch.setattr(serial_port, "_Transport", denied)
    monkeypatch.setattr(serial_port.serial, "Serial", denied)
    monkeypatch.setattr(serial_port, "BUSY_S", 0.25)
    with pytest.raises(serial_port.LinkError, match=f"{name} is busy"):
        serial_port.open_port(name, 115200)
    assert len(tried) > 2


def test_a_com_port_that_is_not_there(computer, monkeypatch):
    def absent(port, *_, **__):
        raise FileNotFoundError(f"could not open port {port!r}")

    monkeypatch.setattr(serial_port, "_Transport", absent)
    computer("windows", {"COM3": ESPRESSIF})
    with pytest.raises(serial_port.LinkError, match="there is no port COM7") as caught:
        serial_port.open_port("COM7", 115200)
    assert caught.value.hint == "ports with a board: COM3"


def test_no_hint_names_a_linux_group_on_a_mac(computer, monkeypatch, tmp_path):
    port = tmp_path / "cu.usbmodem1"
    port.touch()
    monkeypatch.setattr(serial_port.os, "access", lambda *_: False)
    hints = {}
    for system in ("macos", "linux"):
        computer(system, {})
        hints[system] = serial_port._why_not(str(port)).hint
    assert "dialout" in hints["linux"] and "dialout" not in hints["macos"]
