"""`earnest install` onto the real MicroPython on a pseudo-terminal, and what goes wrong there."""

import contextlib
import json
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest

from host_tools import cli
from host_tools.board import build as firmware_build
from host_tools.board import file_set as board_files
from host_tools.board import installer
from host_tools.board.build import MpyKind
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import LinkError
from host_tools.commands import install
from host_tools.errors import INTERRUPTED, HostToolError
from host_tools.shared_firmware import ROOT
from tests.fakes.board.pty_board import PtyBoard
from tests.fakes.board.small_firmware import (
    BOARD,
    NEW,
    OLD,
    at_operation,
    names,
    put,
    ran,
    use_tiny_models,
    write_tree,
)


@pytest.fixture
def trees(tmp_path, monkeypatch):
    """Two versions of a small firmware, each file of which differs."""
    use_tiny_models(monkeypatch)
    return {n: write_tree(tmp_path / f"tree{n}", n) for n in (1, 2)}


INSTALLED_1 = [
    "a.mpy",
    "board.py",
    "boot.py",
    "config.json",
    "installed.json",
    "main.py",
    "models/tiny.ewm",
    "ran",
    "satellite/__init__.mpy",
    "satellite/b.mpy",
    "satellite/only_in_1.mpy",
]
INSTALLED_2 = [name.replace("only_in_1", "only_in_2") for name in INSTALLED_1]


def test_first_install_and_unchanged_one(board, trees):
    report = put(board, trees[1])
    assert report.copied == 9 and report.models == ["tiny"], report
    assert names(board) == INSTALLED_1
    assert ran(board) == [OLD]
    before = {n: (board.folder / n).stat().st_mtime_ns for n in INSTALLED_1 if n != "ran"}
    again = put(board, trees[1])
    assert (again.copied, again.copied_bytes, again.unchanged) == (0, 0, 8)
    assert {n: (board.folder / n).stat().st_mtime_ns for n in before} == before
    assert ran(board) == [OLD, OLD]


def test_only_what_changed_is_copied(board, trees):
    put(board, trees[1])
    (trees[1] / "firmware/a.py").write_text("version = 1\nmore = 2\n")
    assert put(board, trees[1]).copied == 1
    (board.folder / "satellite/b.mpy").write_bytes(b"damaged")
    assert put(board, trees[1]).copied == 1


def test_renewal_removes_what_is_not_needed(board, trees):
    put(board, trees[1])
    board.write("satellite/b.py", "version = 9\n")
    board.write("a.py", "version = 9\n")
    board.write("config.json", '{"models": ["tiny"], "receiver_host": "192.0.2.7"}')
    board.write("mine.py", "")
    report = put(board, trees[2])
    assert report.removed == ["a.py", "satellite/b.py", "satellite/only_in_1.mpy"]
    changed = f"board changed from {trees[1]} to {trees[2]}; pin assignments updated"
    assert changed in report.warnings and report.provisioned is True
    assert names(board) == sorted([*INSTALLED_2, "mine.py"])
    assert ran(board)[-1] == NEW


def test_no_reset_leaves_it_stopped_until_the_next_install(board, trees):
    put(board, trees[1], start=False)
    assert ran(board) == []
    assert put(board, trees[1]).copied == 0
    assert ran(board) == [OLD]
    put(board, trees[1], start=False)
    assert ran(board) == [OLD]


def test_interrupted_copy_is_taken_up_again(board, trees):
    put(board, trees[1])
    (trees[2] / "firmware/satellite/b.py").write_text("version = 2\nx = '" + "long" * 900 + "'\n")
    pull = lambda piece: board.pull_plug(len(piece))  # noqa: E731
    with pytest.raises(LinkError), at_operation("new/satellite~b", pull):
        put(board, trees[2])
    board.unplug()
    staged = {name for name in names(board) if name.startswith("new/")}
    board.plug_in()
    report = put(board, trees[2])
    assert {"new/a.mpy", "new/models~tiny.ewm", "new/satellite~__init__.mpy"} < staged
    assert report.copied == 2, report
    assert ran(board)[-1] == NEW


def test_what_became_of_the_files_is_looked_at(board, trees):
    def damage(_):
        (board.folder / "satellite/b.mpy").write_bytes(b"damaged")

    words = "satellite/b.mpy on the board is not what was copied"
    with pytest.raises(HostToolError, match=words), at_operation("os.rmdir", damage):
        put(board, trees[1])


def test_full_disk_is_refused_before_it_begins(tmp_path, trees):
    with PtyBoard(tmp_path, flash_bytes=96 * 1024) as small:
        put(small, trees[1])
        small.unplug()
        small.run("with open('mine', 'w') as f: f.write('x' * 20000)")
        small.plug_in()
        before = small.sent
        with pytest.raises(HostToolError, match="too full"):
            put(small, trees[2])
        assert small.sent > before
        small.unplug()
        files = small.run("print(sorted(os.listdir('/')), sorted(os.listdir('/satellite')))")
        assert b"only_in_1" in files and b"'new'" not in files


def test_full_disk_in_the_middle_leaves_the_old_version(tmp_path, trees, monkeypatch):
    monkeypatch.setattr(board_files, "SPARE_BYTES", -(1 << 20))
    with PtyBoard(tmp_path, flash_bytes=96 * 1024) as small:
        put(small, trees[1])
        (trees[2] / "firmware/long.py").write_text("x = b'" + "0123456789" * 9000 + "'\n")
        with pytest.raises(HostToolError, match="ENOSPC|OSError: 28") as caught:
            put(small, trees[2])
        assert "full" in caught.value.hint
        small.unplug()
        small.plug_in()
        (trees[2] / "firmware/long.py").unlink()
        assert put(small, trees[2]).removed == ["satellite/only_in_1.mpy"]


@pytest.mark.parametrize(
    "main, why",
    [
        ("import nothing_like_this", "ImportError: no module named 'nothing_like_this'"),
        ("def f():\n    1 // 0\nf()", "ZeroDivisionError: divide by zero"),
        ("print('earnest stopped:', repr(OSError(2)))", "earnest stopped: OSError(2,)"),
        ("print('listens')", ""),
    ],
)
def test_a_firmware_that_dies_at_its_start_is_told(board, trees, monkeypatch, capsys, main, why):
    monkeypatch.setattr(installer, "LISTEN_S", 1.0)
    (trees[1] / "firmware/main.py").write_text(main + "\n")
    tree = replace(BOARD, id=str(trees[1]), folder=trees[1])
    monkeypatch.setattr(install, "load_board", lambda name: tree)
    monkeypatch.setattr(
        installer, "build", lambda a, _: firmware_build.build(a, trees[1] / "firmware")
    )
    status = cli.run(
        ["install", "--board", "x", "--port", board.port, "--model", f"{trees[1]}/tiny.ewm"]
    )
    out, shown = capsys.readouterr()
    assert status == (1 if why else 0), shown
    assert ("earnest provision; the light is" in out) == (not why), out
    assert "board changed" not in shown
    assert (f"the firmware does not run: {why}" in shown) == bool(why), shown


def who(**changes):
    machine = "Generic ESP32S3 module with Octal-SPIRAM with ESP32S3"
    same = {"version": [1, 28, 0], "mpy": 0x2B06, "machine": machine, "free": 8 << 20, "used": 1}
    return {**same, **changes}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"version": [1, 23, 0]}, "1.23.0, at least 1.24.0"),
        ({"mpy": 0x2B05}, "version 5.3"),
        ({"mpy": 0x2A06}, "version 6.2"),
        ({"mpy": 0x1F06}, "armv7emsp"),
        ({"mpy": 0x0306}, "for none"),
        ({"machine": "Generic ESP32 module with ESP32"}, "ESP32 module"),
        ({"free": 221535}, "a heap of 216 KB here: it uses no PSRAM"),
        ({"free": installer.MIN_HEAP_BYTES - 2}, "uses no PSRAM"),
    ],
)
def test_what_does_not_fit_is_refused(changes, words):
    given = who(**changes)
    with pytest.raises(HostToolError, match=re.escape(words)) as caught:
        installer.require_fit(BOARD, given, MpyKind.from_number(given["mpy"]))
    assert caught.value.hint


def test_what_fits():
    for heap_bytes in (8 << 20, installer.MIN_HEAP_BYTES):
        fits = who(free=heap_bytes - 1)
        assert installer.require_fit(BOARD, fits, MpyKind.from_number(fits["mpy"])) == []


def test_wrong_version_copies_nothing(board, trees, monkeypatch):
    monkeypatch.setattr(firmware_build, "MPY_SUB_VERSION", 2)
    with pytest.raises(HostToolError, match="loads .mpy version 6.3"):
        put(board, trees[1])
    assert names(board) == []


def test_every_module_compiles_for_the_chip():
    files = firmware_build.build(firmware_build.CHIP)
    assert "wakeword/engine.mpy" in files and "wakeword/feed.mpy" not in files
    assert {"boot.py", "main.py", "wakeword/kernels_xtensa.mpy"} <= set(files)
    assert all(name.endswith(".mpy") or name in firmware_build.SOURCES for name in files)
    kinds = {data[2] >> 2 for data in files.values() if data[:2] == b"M\x06"}
    assert kinds == {0, firmware_build.ARCHITECTURES.index(firmware_build.CHIP)}


def test_garbage_on_the_line(board, trees):
    put(board, trees[1])
    total = 0
    real = board_files.SerialLink.put

    def noisy(link, path, data, progress=None):
        nonlocal total
        total += 1
        board.garbage(b"\xfe\x01~" if total % 3 == 0 else b"")
        return real(link, path, data, progress)

    board_files.SerialLink.put = noisy
    try:
        put(board, trees[2])
    finally:
        board_files.SerialLink.put = real
    assert names(board) == INSTALLED_2 and ran(board)[-1] == NEW


def test_busy_and_two_at_once(board, trees):
    with board.busy(), pytest.raises(LinkError, match="busy"):
        put(board, trees[1])
    results = []

    def one():
        try:
            results.append(put(board, trees[1]).copied)
        except HostToolError as error:
            results.append(error.message)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 9 in results, results
    assert any("busy" in str(result) or result == 0 for result in results), results
    assert names(board) == INSTALLED_1


@pytest.mark.parametrize("after_bytes", [4000, 30000])
def test_ctrl_c_leaves_the_old_firmware_running(tmp_path, after_bytes):
    plugged = PtyBoard(tmp_path)
    plugged.write("main.py", "open('ran','a').write('x')\nwhile True: pass\n")
    with plugged:
        process = subprocess.Popen(
            [sys.executable, "-m", "host_tools", "install", "--board", BOARD.id]
            + ["--port", plugged.port],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while plugged.received < after_bytes and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        assert (
            "the installation did not complete: run it again" in process.communicate(timeout=20)[1]
        )
        assert process.returncode == INTERRUPTED
        time.sleep(0.2)
        assert ran(plugged) == ["xx"] and "installed.json" not in names(plugged)


def test_a_reset_in_the_middle(board, trees):
    put(board, trees[1])
    timer = threading.Timer(0.6, board.reset)
    timer.start()
    with contextlib.suppress(HostToolError):  # of the line, or of the device that has forgotten
        put(board, trees[2])
    timer.join()
    put(board, trees[2])
    assert names(board) == INSTALLED_2 and ran(board)[-1] == NEW


def test_the_command_with_the_whole_firmware(tmp_path, capfd):
    with PtyBoard(tmp_path, flash_bytes=2 << 20) as plugged:
        call = ["install", "--board", BOARD.id, "--port", plugged.port, "--no-reset", "--json"]
        assert cli.run(call) == 0
        report = json.loads(capfd.readouterr().out)
        assert report["models"] == ["okay_nabu"] and report["copied_bytes"] > 100_000
        assert cli.run(call[:-1]) == 0
        assert "nothing copied" in capfd.readouterr().out
        with SerialLink(plugged.port) as link:
            check = "import wakeword.model as m\nprint(m.read('models/okay_nabu.ewm') is not None)"
            assert link.exec(check).strip() == b"True"
        assert cli.run(["erase", "--port", plugged.port, "--yes"]) == 0
        assert "not ours" not in capfd.readouterr().out
    assert cli.run(["install", "--board", "NONE", "--port", "/dev/null"]) == 2
    assert "known boards" in capfd.readouterr().err
