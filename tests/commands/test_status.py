"""Diagnosis of a running device over the line: the real firmware in the real MicroPython.

What is asked does not disturb: no chunk of audio is lost, nothing restarts; noise on the line and
Ctrl-C at any moment included.
"""

import binascii
import datetime
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

from firmware.diagnostics import frame
from host_tools.audit.device_log import describe
from host_tools.board.console import Live
from host_tools.board.personal_data import SENSITIVITY_FILE, WITHDRAWN_FILE
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import LinkError
from host_tools.commands import audit, bench, bench_port, log, mic, monitor, selftest, status
from host_tools.errors import HostToolError
from host_tools.shared_firmware import ROOT
from tests.fakes.board import live_board

#: As firmware/satellite/withdrawn_state.py writes it.
WITHDRAWN = b"earnest withdrawn 1\n%08x\n" % binascii.crc32(b"earnest withdrawn 1\n")
#: Before click 8.2 the two are mixed unless one says so.
_OLD = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
RUNNER = CliRunner(**_OLD)


pytestmark = pytest.mark.usefixtures("native_emitter")


def call(command, board, *arguments):
    """(exit status, what it printed)."""
    done = RUNNER.invoke(command, ["--port", board.port, *arguments], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value or 0, done.stdout


def wait_until_running(board, chunks=1):
    """The levels once the application has heard so much; fails after 10 s.

    Just after a soft reset the port may be locked: the stand-in's new process was forked from
    this one, and holds what was open here until it is MicroPython.
    """
    end = time.monotonic() + 10
    while time.monotonic() < end:
        try:
            with Live(board.port) as live:
                levels = live.ask("levels", 1.0, attempts=1)
        except LinkError:
            continue
        if levels["state"] != "STOPPED" and levels["chunks"] >= chunks:
            return levels
        time.sleep(0.05)
    raise AssertionError("the device does not run")


def test_a_running_device(tmp_path):
    with live_board.board(tmp_path) as board:
        wait_until_running(board, 30)
        exit_status, text = call(status.command, board, "--json")
        told = json.loads(text)
        assert exit_status == 0 and told["running"] and told["state"] == "IDLE"
        assert told["microphone"] == {"on": True, "health": "OK", "overruns": 0}
        assert told["light"] == {"ok": True, "state": "IDLE", "mic": True}
        volumes = {"late": 0, "volume": 60, "volume_max": 80}
        assert told["speaker"] == {"on": False} | volumes
        assert told["board"] == live_board.BOARD and told["models"][0]["name"] == "okay_nabu"
        assert told["muted"] is False and told["mute_source"] == "none"
        assert told["wifi"] == "wrong password" and not told["receiver"]["connected"]
        for secret in (live_board.PASSWORD, "home", "the device's key"):
            assert secret not in text, secret
        _, text = call(status.command, board)
        assert "off, volume 60 % of at most 80 %, 0 times late" in " ".join(text.split())
        assert "state" in text and "IDLE" in text and live_board.PASSWORD not in text
        # A person types the same by hand, and nothing else is executed.
        with Live(board.port) as live:
            for line, words in (
                (b"diag.status()", b"microphone  on, health OK"),
                (b"app.parts.gate.unmute()", b"Ctrl-C stops it"),
                (b"import diag; diag.selftest(json=True)", b"Ctrl-C stops it"),
                (b"\xff\x00\x07 garbage", b"Ctrl-C stops it"),
            ):
                live._serial.reset_input_buffer()
                live._serial.write(b"\r" + line + b"\r")
                time.sleep(0.4)
                assert words in live._serial.read(4096), line
        exit_status, text = call(mic.command, board, "--json")
        heard = json.loads(text)
        assert exit_status == 0 and heard["verdict"] == "OK" and heard["chunks"] > 100, heard
        assert 900 < heard["peak"] < 1100 and abs(heard["dc"]) < 50, heard
        _, text = call(log.command, board, "--json")
        kinds = [json.loads(line).get("kind") for line in text.splitlines()]
        assert kinds[0] == "boot" and "mic" in kinds
        assert board.resets == 0


def test_a_cutoff_that_the_network_raised_and_a_consent_that_it_took_back_are_shown(tmp_path):
    line = b"earnest sensitivity 1 okay_nabu=950\n"
    stored = line + b"%08x\n" % binascii.crc32(line)
    plant = f"\nwith open({SENSITIVITY_FILE!r}, 'wb') as file:\n    file.write({stored!r})\n"
    plant += f"with open({WITHDRAWN_FILE!r}, 'wb') as file:\n    file.write({WITHDRAWN!r})\n"
    with live_board.board(tmp_path, plant=plant) as board:
        wait_until_running(board)
        told = json.loads(call(status.command, board, "--json")[1])
        (model,), consent = told["models"], told["consent"]
        assert consent["withdrawn"] == "stored" and not consent["keep_recordings"]
        assert model["cutoff"] == 242 and model["raised_by_network"] is True
        text = call(status.command, board)[1]
        assert "okay_nabu, cutoff 0.95, raised by the network" in text, text
        assert "nothing may be kept; withdrawn over the network, until" in text, text


def test_monitor_disturbs_nothing(tmp_path):
    with live_board.board(tmp_path) as board:
        wait_until_running(board, 30)
        _, text = call(monitor.command, board, "--json", "--seconds", "3", "--hz", "8")
        lines = [json.loads(line) for line in text.splitlines()]
        assert len(lines) >= 12
        first, last = lines[1], lines[-1]
        elapsed_ms = (last["at_us"] - first["at_us"] & (1 << 30) - 1) / 1000
        heard_ms = 10 * (last["chunks"] - first["chunks"])
        # What waits in the ring is at most 256 ms; every chunk comes.
        assert abs(heard_ms - elapsed_ms) < 100, (heard_ms, elapsed_ms)
        assert last["overruns"] == 0 and board.resets == 0
        assert all(0 < line["cpu_share"] < 1 for line in lines[1:])
        assert all(900 < line["peak"] < 1100 for line in lines[1:]), lines
        assert call(monitor.command, board, "--seconds", "0.2")[1].endswith(
            "\nstopped watching; the board keeps running\n"
        )
        assert last["cutoff"] == [216] and len(last["probability"]) == 1
        told = json.loads(call(status.command, board, "--json")[1])
        assert told["counters"]["late_chunks"] <= 1 and told["microphone"]["overruns"] == 0


NOISE = (b"\xff\x00garb{age", b"earnest:{}*00000000\r\n", b"earnest:\xfe" * 20, b"\r\n>>> \x04")


def test_every_question_on_a_slow_and_noisy_line(tmp_path):
    """At 19200 baud, with bytes that nobody sent and a question that arrives as another."""
    with live_board.board(tmp_path, byte_delay_s=0.0005) as board:
        wait_until_running(board)
        board.garbage(b"".join(NOISE))
        assert json.loads(call(log.command, board, "--json")[1].splitlines()[0])["kind"] == "boot"
        with Live(board.port) as live:  # half a line of somebody else's
            live._serial.write(b"\xffdiag.")
            time.sleep(0.1)
            assert live.ask("levels", attempts=1)["state"] == "IDLE"
        for other in ({"version": 1, "records": []}, {"state": "another"}):  # still on its way
            board.garbage(frame.encode(other).encode() + b"\r\n")
            with Live(board.port) as live:
                assert live.ask("status", attempts=1)["state"] == "IDLE"
        board.spoil(b"diag.status", b"diag.sta\xfeus")
        assert json.loads(call(status.command, board, "--json")[1])["state"] == "IDLE"
        board.garbage(NOISE[0])
        assert json.loads(call(mic.command, board, "--json")[1])["verdict"] == "OK"
        board.garbage(NOISE[1])
        board.spoil(b"diag.levels", b"diag.\x00evels")
        lines = call(monitor.command, board, "--json", "--seconds", "2")[1].splitlines()
        assert len(lines) >= 2 and all(json.loads(line)["overruns"] == 0 for line in lines)
        assert board.resets == 0


def test_the_others_on_a_slow_and_noisy_line(tmp_path):
    """They stop the device; the line spoils what they send and what they get."""
    with live_board.board(tmp_path, byte_delay_s=0.0002) as board:
        wait_until_running(board)
        board.garbage(NOISE[0])
        text = call(selftest.command, board, "--json", "--only", "memory")[1]
        assert json.loads(text)["ok"]
        wait_until_running(board)
        board.garbage(NOISE[2])
        assert json.loads(call(audit.command, board, "--json")[1])["whole"]
        wait_until_running(board)
        board.spoil(b"diag.selftest", b"diag.selfte\xfet")
        text = call(selftest.command, board, "--json", "--only", "memory")[1]
        (result,) = json.loads(text)["results"]
        assert result["ok"] or result["reason"], result
        assert wait_until_running(board)["state"] == "IDLE"


#: Tells the test by a file that the device has been stopped and is at work, for a long time.
BUSY = """
import time
import diagnostics.self_test, diagnostics.timing
def _busy(*_):
    open("busy", "w").close()
    time.sleep(60)
diagnostics.self_test.run = diagnostics.timing.measure = _busy
"""


@pytest.mark.parametrize("name", ["monitor", "selftest", "log", "bench"])
def test_ctrl_c_leaves_the_device_running(tmp_path, name):
    with live_board.board(tmp_path, plant=BUSY) as board:
        wait_until_running(board)
        arguments = ["--follow"] if name == "log" else []
        command = [sys.executable, "-m", "host_tools", name, "--port", board.port, "--json"]
        with subprocess.Popen(
            command + arguments, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            is_stopped = name in ("selftest", "bench")
            if is_stopped:
                end = time.monotonic() + 20
                while not (board.folder / "busy").exists():
                    assert time.monotonic() < end
                    time.sleep(0.01)
            else:
                json.loads(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            try:
                errors = process.communicate(timeout=20)[1].decode()
            finally:
                process.kill()  # else its end would be waited for
        assert process.returncode == 130, (process.returncode, errors)
        assert "Traceback" not in errors
        assert wait_until_running(board, 20)["state"] == "IDLE"
        assert (board.resets > 0) == is_stopped


#: BOOT held down for a while, at one second.
PRESS = """
_level = machine.Pin._level
machine.Pin._level = lambda pin: (
    not 1000000 < world.now_us < 1400000 if pin.number == 0 else _level(pin)
)
"""


def test_muted(tmp_path):
    with live_board.board(tmp_path, muted=True) as board:
        end = time.monotonic() + 10
        while True:  # until it knows where the switch stands
            told = json.loads(call(status.command, board, "--json")[1])
            if told["state"] != "NOT_READY" or time.monotonic() > end:
                break
        assert told["state"] == "MUTED" and told["muted"] and not told["microphone"]["on"]
        assert told["light"] == {"ok": True, "state": "MUTED", "mic": False}
        exit_status, text = call(mic.command, board, "--json")
        assert exit_status == 1 and json.loads(text)["verdict"] == "REFUSED"
        done = RUNNER.invoke(mic.command, ["--port", board.port], standalone_mode=False)
        assert "REFUSED" in done.stdout and "say something" not in done.stderr
        told = json.loads(call(status.command, board, "--json")[1])
        assert told["state"] == "MUTED" and told["counters"]["chunks"] == 0


def test_a_button_that_the_switch_refuses(tmp_path):
    """What the first start of a board without its switch looks like."""
    plant = "world.levels[7] = 1\n"
    press = plant + PRESS
    with live_board.board(tmp_path, muted=True, plant=press) as board:
        end = time.monotonic() + 20
        while '"refused"' not in (text := call(log.command, board, "--json")[1]):
            assert time.monotonic() < end, text
        assert "refused what unmute, source button" in call(log.command, board)[1]
        _, text = call(status.command, board)
        assert "yes, by boot; its switch is on mute" in text, text
        assert "refused what unmute, source button" in text
        with Live(board.port) as live:
            live._serial.write(b"\x03\rdiag.status()\r")
            time.sleep(1)
            said = live._serial.read(8192)
        assert b"refused what unmute, source button" in said, said


def test_a_device_stopped_at_the_cable_does_not_listen(tmp_path):
    with live_board.board(tmp_path) as board:
        wait_until_running(board, 10)
        with Live(board.port) as live:
            live._serial.write(b"\x03")
            time.sleep(0.5)
        told = json.loads(call(status.command, board, "--json")[1])
        assert told["state"] == "STOPPED" and not told["running"], told
        assert told["microphone"]["on"] is False
        assert told["light"]["mic"] is False and told["faults"] == [], told
        assert '"what":"cable"' in (board.folder / "audit.jsonl").read_text()
        assert "state       STOPPED: press RESET, or Ctrl-D" in call(status.command, board)[1]
        exit_status, text = call(mic.command, board, "--json")
        assert exit_status == 0 and json.loads(text)["verdict"] == "OK"
        with SerialLink(board.port) as link:
            assert b"False" in link.exec("import diag\nprint(diag._hardware.mic.is_on())")
            # Red, and no more green, once the measurement is over.
            shown = "import neopixel\nprint(list(neopixel.NeoPixel.wires[48][0]))"
            red, green, blue = json.loads(link.exec(shown))
            assert red > 0 and green == blue == 0, (red, green, blue)


def test_the_monitor_of_a_stopped_board_says_so(tmp_path):
    """At its prompt, and in a raw REPL that another tool has left."""
    with live_board.board(tmp_path, runs=False) as board:
        for keys in (b"\x02", b"\x01"):
            with Live(board.port) as live:
                live._serial.write(keys)
                time.sleep(0.3)
            done = RUNNER.invoke(
                monitor.command,
                ["--port", board.port, "--seconds", "0.5"],
                standalone_mode=False,
            )
            assert done.return_value == 1 and "state  STOPPED: press RESET" in done.stdout, keys
            assert "ended; the board is stopped: press RESET" in done.stderr
            assert "keeps running" not in done.stdout
    ends = os.openpty()
    try:
        with pytest.raises(LinkError, match="does not answer"):  # not one word: no success
            RUNNER.invoke(
                monitor.command,
                ["--port", os.ttyname(ends[1]), "--seconds", "0.5"],
                standalone_mode=False,
                catch_exceptions=False,
            )
    finally:
        for end in ends:
            os.close(end)


def test_what_stopped_it_is_told(tmp_path):
    plant = "import network\nnetwork.WLAN.active = None\n"
    with live_board.board(tmp_path, plant=plant) as board:
        time.sleep(0.5)
        end = time.monotonic() + 10
        while time.monotonic() < end and not (board.folder / "last_error.txt").exists():
            time.sleep(0.1)
        error = (board.folder / "last_error.txt").read_text()
        assert "TypeError" in error, error


def test_a_diagnosis_that_fails_stops_nothing_else(tmp_path):
    plant = "import diagnostics.status\ndiagnostics.status.levels = lambda *_: 1 // 0\n"
    with live_board.board(tmp_path, plant=plant) as board:
        time.sleep(0.5)
        with Live(board.port) as live, pytest.raises(LinkError):
            live.ask("levels", 1.0, attempts=1)
        time.sleep(0.5)
        assert not (board.folder / "last_error.txt").exists() and board.resets == 0
        with SerialLink(board.port) as link:  # stopped only now
            assert link.was_running
            code = "import diag\nprint(diag._app.parts.counters.snapshot()['chunks'])"
            assert int(link.exec(code)) > 100


def test_bench_on_the_board(tmp_path, monkeypatch):
    """Microseconds of every stage beside the counted instructions; the device goes on."""
    with live_board.board(tmp_path) as board:
        wait_until_running(board)
        exit_status, text = call(bench.command, board, "--json", "--seconds", "0.2")
        told = json.loads(text)
        stages = {"convert", "frontend", "engine"}
        kernels = {
            "model." + k for k in ("load", "dot", "depthwise", "requantise", "push", "lookup")
        }
        assert exit_status == 0 and set(told["stages"]) == stages | kernels
        assert all(calls > 0 and us >= 0 for calls, us in told["stages"].values())
        assert told["stages"]["engine"][0] == told["stages"]["frontend"][0] == 90
        assert told["worst_engine_us"] > 0 and told["models"] == ["okay_nabu"]
        assert wait_until_running(board)
        if shutil.which("qemu-xtensa"):
            assert set(told["instructions"]) == kernels | {"frontend"}
            assert all(count > 10 for count in told["instructions"].values())
        _, text = call(bench.command, board, "--seconds", "0.2")
        assert "worst chunk" in text
        for stage in stages | kernels:
            (row,) = [line for line in text.splitlines() if f" {stage} " in line]
            numbers = re.findall(r"[\d,.]+", row.replace(stage, ""))
            has_count = stage in told["instructions"]
            assert len(numbers) >= 3 if has_count else len(numbers) == 2, row
        assert wait_until_running(board)
        asked = []
        monkeypatch.setattr(bench_port, "_count", lambda *of: (asked.append(of), (None, ""))[1])
        call(bench.command, board)
        call(bench.command, board, "alexa")
        assert [model for model, _ in asked] == ["okay_nabu", "alexa"]
        (board.folder / "models" / "okay_nabu.ewm").unlink()
        with pytest.raises(HostToolError, match=r"models/okay_nabu.ewm is not there"):
            call(bench.command, board)


def test_audit_over_the_line(tmp_path):
    with live_board.board(tmp_path / "device") as board:
        wait_until_running(board)
        kept = tmp_path / "kept"
        nobody = ("--data", str(tmp_path / "no receiver"))
        exit_status, text = call(audit.command, board, "--export", str(kept), "--json", *nobody)
        document = json.loads(text)
        assert exit_status == 0 and document["whole"] and document["head_checked"]
        assert document["records"][0]["kind"] == "boot"
        fetched = (kept / "audit.jsonl").read_bytes()
        assert wait_until_running(board)
        assert (board.folder / "audit.jsonl").read_bytes().startswith(fetched)
        with pytest.raises(HostToolError, match="exists already"):
            call(audit.command, board, "--export", str(kept), *nobody)
        text = (board.folder / "audit.jsonl").read_text()
        (board.folder / "audit.jsonl").write_text(text.replace("true", "false", 1))
        assert call(audit.command, board, "--json", *nobody)[0] == 1


def test_who_waits_for_a_silent_port_knows_it(capsys):
    ends = os.openpty()
    try:
        with Live(os.ttyname(ends[1])) as live, pytest.raises(LinkError):
            live.ask("status", 0.1)
    finally:
        for end in ends:
            os.close(end)
    assert capsys.readouterr().err == "no answer yet: waiting for the board\n"


def test_a_board_without_earnest_and_no_board(tmp_path):
    from tests.fakes.board.pty_board import PtyBoard

    with PtyBoard(tmp_path) as bare, pytest.raises(HostToolError, match="not on this board"):
        call(status.command, bare)
    with pytest.raises(LinkError, match="no port"):
        CliRunner().invoke(
            status.command, ["--port", "/dev/none"], standalone_mode=False, catch_exceptions=False
        )
    assert not os.path.exists("/dev/none")


def test_records_of_the_present_run_have_clock_times():
    def answer(*kinds, now_ms=60_000):
        records = [{"seq": i, "t_ms": 1000 * i, "kind": kind} for i, kind in enumerate(kinds)]
        return {"records": records, "now_ms": now_ms}

    given = [time for _, time in log.times(answer("boot", "mic", "boot", "mic"), 10_000.0)]
    assert given == [None, None, 9942.0, 9943.0]
    assert [time for _, time in log.times(answer("mic", "mic"), 10_000.0)] == [9940.0, 9941.0]
    assert [time for _, time in log.times(answer("boot", now_ms=None), 10_000.0)] == [None]
    record = {"seq": 3, "t_ms": 512, "kind": "mic", "on": True}
    at = datetime.datetime.fromtimestamp(9942.0)
    assert describe(record, 9942.0) == f"#3 {at:%Y-%m-%d %H:%M:%S} mic on yes"
    assert describe(record) == "#3 512 ms mic on yes"
