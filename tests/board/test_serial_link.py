"""The serial link against the real MicroPython on a pseudo-terminal, and what goes wrong on it."""

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from host_tools.board import serial_port
from host_tools.board.raw_repl import DeviceError
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import LineLostError, LinkError, Port, find_port
from host_tools.errors import HostToolError
from host_tools.shared_firmware import ROOT
from tests.fakes.board import pty_board

RUNS = "import time\nopen('starts','a').write('x')\nwhile True:\n    time.sleep(0.02)\n"


def starts(board, least=0):
    """How often main.py has started; waits until it has `least` times."""
    path = board.folder / "starts"
    deadline = time.monotonic() + 5
    while True:
        count = len(path.read_text()) if path.exists() else 0
        if count >= least or time.monotonic() > deadline:
            return count
        time.sleep(0.02)


@pytest.fixture
def running(tmp_path):
    """A board whose main.py runs and counts its starts."""
    plugged = pty_board.PtyBoard(tmp_path)
    plugged.write("main.py", RUNS)
    with plugged:
        assert starts(plugged, 1) == 1
        yield plugged


def test_code_and_its_errors(board):
    with SerialLink(board.port) as link:
        assert link.exec("print(6 * 7)").strip() == b"42"
        assert link.exec_json("print('noise')\nprint('{\"a\": [1]}')") == {"a": [1]}
        with pytest.raises(DeviceError, match="ZeroDivisionError"):
            link.exec("1/0")
        assert link.exec("print('after')").strip() == b"after"
        with pytest.raises(LinkError, match="unreadable response"):
            link.exec_json("print('no json')")


def test_files(board):
    data = bytes(range(256)) * 9 + b"\x03\x04\x01\r\n"
    seen = []
    with SerialLink(board.port) as link:
        link.put("a.bin", data, seen.append)
        assert (board.folder / "a.bin").read_bytes() == data
        assert sum(seen) == len(data)
        assert link.get("a.bin") == data
        assert link.get("nothing") is None
        assert link.sha256("nothing") == ""
        with pytest.raises(LinkError, match="longer"):
            link.get("a.bin", max_bytes=100)
        with pytest.raises(DeviceError, match="ENOENT"):
            link.put("no_folder/a.bin", b"x")


def test_a_time_limit_stops_the_code_and_not_the_link(board):
    with SerialLink(board.port) as link:
        before = time.monotonic()
        with pytest.raises(LinkError, match="in time"):
            link.exec("while True: pass", timeout_s=0.3)
        with pytest.raises(LinkError, match="in time"):
            link.exec("while True: print('x')", timeout_s=0.3)
        assert time.monotonic() - before < 8
        assert link.exec("print(1)").strip() == b"1"


def test_stream_ends_when_the_caller_stops(board):
    with SerialLink(board.port) as link:
        lines = link.stream("n=0\nimport time\nwhile True:\n print(n)\n n+=1\n time.sleep(.01)")
        assert [next(lines) for _ in range(3)] == [b"0", b"1", b"2"]
        lines.close()
        assert link.exec("print('again')").strip() == b"again"
        assert list(link.stream("print('a')\nprint('b', end='')")) == [b"a", b"b"]


def test_an_interrupted_device_runs_again(running):
    with SerialLink(running.port) as link:
        assert link.was_running
        assert link.exec("print(1)").strip() == b"1"
        assert starts(running) == 1
    assert starts(running, 2) == 2


def test_an_idle_device_stays_at_its_prompt(board):
    with SerialLink(board.port) as link:
        assert not link.was_running
    assert board.resets == 0
    with SerialLink(board.port) as link:
        link.restart_on_leave()
    assert board.resets == 1


def test_a_device_left_in_the_raw_repl_is_started(running):
    with pty_board.serial.Serial(running.port, timeout=0.5) as other:
        other.write(b"\x03\r\x01")  # another tool, killed here
        assert other.read(2000).endswith(b">")
    with SerialLink(running.port) as link:
        assert link.exec("print(1)").strip() == b"1"
    assert starts(running, 2) == 2


def test_soft_reset_forgets_and_does_not_run_main(running):
    with SerialLink(running.port) as link:
        link.exec("kept = 1")
        link.soft_reset()
        with pytest.raises(DeviceError, match="NameError"):
            link.exec("kept")
        assert starts(running) == 1
    assert starts(running, 2) == 2


def test_ctrl_c_and_errors_do_not_leave_it_stopped(running):
    with pytest.raises(KeyboardInterrupt), SerialLink(running.port):
        raise KeyboardInterrupt
    assert starts(running, 2) == 2
    with pytest.raises(LinkError), SerialLink(running.port) as link:
        link.exec("while True: pass", timeout_s=0.1)
    assert starts(running, 3) == 3


@pytest.mark.parametrize("delay_s", [0.02, 0.15, 0.4, 0.8])
def test_ctrl_c_at_any_moment(running, delay_s):
    code = (
        "import sys\nfrom host_tools.serial_link import SerialLink\n"
        "print('ready', flush=True)\n"
        "with SerialLink(sys.argv[1]) as link:\n"
        "    while True: link.exec('print(1)')\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, running.port],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    process.stdout.readline()
    time.sleep(delay_s)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) != 0
    process.stdout.close()
    before = starts(running)
    with SerialLink(running.port) as link:  # whatever it met, main.py was running
        assert link.was_running, before
    assert starts(running, before + 1) == before + 1


def test_a_port_that_becomes_free_at_the_last_moment(board, monkeypatch):
    other = pty_board.serial.Serial(board.port, exclusive=True)

    class ThenFree(serial_port._Transport):
        def __init__(self, *args, **kwargs):
            try:
                super().__init__(*args, **kwargs)
            finally:
                other.close()

    monkeypatch.setattr(serial_port, "BUSY_S", -1)
    monkeypatch.setattr(serial_port, "_Transport", ThenFree)
    with SerialLink(board.port) as link:
        assert link.exec("print(1)").strip() == b"1"


def test_a_device_that_has_forgotten_how_to_hash(board):
    with SerialLink(board.port) as link:
        link.put("a.bin", b"abc")
        link.exec("del _earnest_hash")  # as a reset of the board does
        assert link.sha256("a.bin") == hashlib.sha256(b"abc").hexdigest()


def test_no_such_port():
    with (
        pytest.raises(LinkError, match="there is no port /dev/nothing"),
        SerialLink("/dev/nothing"),
    ):
        pass


def test_not_a_serial_port(tmp_path):
    (tmp_path / "file").write_text("x")
    with (
        pytest.raises(LinkError, match="cannot be opened") as told,
        SerialLink(str(tmp_path / "file")),
    ):
        pass
    assert "board" in told.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every port")
def test_no_permission(tmp_path):
    (tmp_path / "port").touch(mode=0)
    with pytest.raises(LinkError, match="no permission"), SerialLink(str(tmp_path / "port")):
        pass


def test_busy(board):
    with board.busy(), pytest.raises(LinkError, match="busy"), SerialLink(board.port):
        pass
    with SerialLink(board.port), pytest.raises(LinkError, match="busy"), SerialLink(board.port):
        pass


def silent_port(answer=b""):
    master, slave = os.openpty()
    pty_board.tty.setraw(slave)
    if answer:
        os.write(master, answer)
    return master, slave, os.ttyname(slave)


def test_nobody_answers():
    master, slave, port = silent_port()
    try:
        with pytest.raises(LinkError, match="no MicroPython answers"), SerialLink(port):
            pass
    finally:
        os.close(master)
        os.close(slave)


def test_boot_loader_answers():
    master, slave, port = silent_port()
    try:
        said = threading.Timer(0.3, os.write, (master, b"ESP-ROM\r\nwaiting for download\r\n"))
        said.start()
        with pytest.raises(LinkError, match="boot loader"), SerialLink(port):
            pass
        said.join()
    finally:
        os.close(master)
        os.close(slave)


def test_garbage_before_and_between(running):
    running.garbage(bytes(range(5, 256)))
    with SerialLink(running.port) as link:
        assert link.exec("print(1)").strip() == b"1"
        running.garbage(b"\xff\x00!?")
        with pytest.raises(LinkError, match="unexpected response|in time"):
            link.exec("print(2)", timeout_s=1)
        assert link.exec("print(3)").strip() == b"3"


def test_a_copy_survives_garbage(board):
    data = os.urandom(4000)
    spoiled = []

    def progress(count):
        if not spoiled:
            spoiled.append(board.garbage(b"\xa5\x5a"))

    with SerialLink(board.port) as link:
        link.put("a", data, progress)
    assert (board.folder / "a").read_bytes() == data


@pytest.mark.parametrize("other", [b"spoilt!", b"'spoilt"])
def test_a_copy_survives_spoiled_bytes(board, other):
    data = b"0123 pattern 4567"
    board.spoil(b"pattern", other)
    with SerialLink(board.port) as link:
        link.put("a", data)
    assert (board.folder / "a").read_bytes() == data


@pytest.mark.parametrize("after_bytes", [1, 700, 3000])
def test_the_line_is_lost(board, after_bytes):
    with pytest.raises(LineLostError, match="plug|lost"), SerialLink(board.port) as link:
        board.pull_plug(after_bytes)
        link.put("a", bytes(8000))
    board.unplug()
    board.plug_in()
    with SerialLink(board.port) as link:
        link.put("a", b"whole")
        assert link.get("a") == b"whole"


def test_a_reset_in_the_middle(running):
    with pytest.raises(LinkError), SerialLink(running.port) as link:
        link.exec("print(1)")
        running.reset()
        time.sleep(0.2)
        link.exec("print(2)", timeout_s=2)
    assert starts(running, 2) >= 2
    with SerialLink(running.port) as link:
        assert link.was_running


def test_opening_the_port_may_reset_the_chip(running):
    running.reset()
    with SerialLink(running.port) as link:
        assert link.exec("print(2)").strip() == b"2"
    before = starts(running)
    time.sleep(0.3)
    with SerialLink(running.port) as link:
        assert link.was_running, before


def test_a_slow_line(tmp_path):
    with pty_board.PtyBoard(tmp_path, byte_delay_s=0.0002) as slow, SerialLink(slow.port) as link:
        link.put("a", bytes(1500))
        assert link.get("a") == bytes(1500)


def test_finding_the_port(monkeypatch):
    assert find_port("/dev/given") == "/dev/given"
    for ports, words in (
        ([], "no board"),
        ([Port("/dev/a", "x", True, None), Port("/dev/b", "y", False, None)], "more than one"),
    ):
        monkeypatch.setattr("host_tools.board.serial_port.find_ports", lambda ports=ports: ports)
        with pytest.raises(HostToolError, match=words):
            find_port(None)
    one = [Port("/dev/a", "x", True, None)]
    monkeypatch.setattr("host_tools.board.serial_port.find_ports", lambda: one)
    assert find_port(None) == "/dev/a"


WATCHED = """
import sys, time
class Chip:
    told = []
    def WDT(timeout):
        Chip.told.append(timeout)
        return Chip
    def feed():
        Chip.told.append("fed")
sys.modules["machine"] = Chip
while True:
    time.sleep(0.01)
"""


def test_a_watchdog_that_the_program_started_gets_patient(board):
    board.unplug()
    (board.folder / "main.py").write_text(WATCHED)
    board.plug_in()
    with SerialLink(board.port) as link:
        assert link.was_running
        assert link.exec("import machine; print(machine.told)").strip() == b"[1800000, 'fed']"
