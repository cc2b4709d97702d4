"""`earnest erase` against the real MicroPython, and what Ctrl-C and a terminal's echo do."""

import json
import os
import pty
import select
import sys
import time

from firmware.satellite import config as configuration
from host_tools.board import personal_data
from host_tools.receiver.devices import DeviceList
from tests.commands.test_provision import (
    KEEP,
    NO,
    SECRET,
    answers,
    install_models,
    provision,
    write_source,
)
from tests.fakes.board.pty_board import PtyBoard

PERSONAL = (
    *("config.json", "config.json.new", "device.key.der", "device.cert.der", "ca.cert.der"),
    *("device.2.key.der", "mute.state", "consent.state", "consent.state.new", "audit.head"),
    *("audit.head.new", "audit.jsonl", "audit.3.jsonl"),
    *("last_error.txt", "selftest.tmp", "sensitivity.state", "sensitivity.state.new"),
    "withdrawn.state",
)
SYSTEM = (
    *("main.py", "board.py", "models/okay_nabu.ewm", "satellite/config.mpy", "installed.json"),
    *("diag.mpy", "mine/some.der", "mine/some.der.new", "mine/config.json"),
)


def furnish(board):
    """A board that has lived: whatever firmware and tools may have left on it."""
    for name in (*PERSONAL, *SYSTEM, "my notes.txt"):
        if not (board.folder / name).exists():
            board.write(name, "" if name == "main.py" else "x")


def test_erase_leaves_nothing_personal_and_says_what_is_left(board, tmp_path):
    data = tmp_path / "data"
    status, shown = provision(board, data, typed=answers())
    assert status == 0, shown
    furnish(board)

    status, shown = provision(board, data, typed=[KEEP], command="erase")
    assert status == 0 and "nothing erased" in shown, shown
    assert (board.folder / "device.key.der").exists()

    status, shown = provision(board, data, typed=["y"], command="erase")
    assert status == 0, shown
    left = personal_files_of(board)
    assert left == sorted([*SYSTEM, "my notes.txt"])
    listed = [line.strip() for line in shown.splitlines() if line.startswith("  ")]
    assert listed.index("config.json") < listed.index("withdrawn.state"), listed
    assert f"{len(PERSONAL)} files removed" in shown and f"Left: {len(SYSTEM)} files" in shown
    assert "my notes.txt: not ours, kept" in shown and "recordings delete --all" in shown
    assert DeviceList(data / "devices.json").all() == []
    for path in board.folder.rglob("*"):
        assert path.is_dir() or b"ord" not in path.read_bytes()

    status, shown = provision(board, data, "--json", "--yes", command="erase")
    assert status == 0 and json.loads(shown)["removed"] == [], shown
    # And it can be set up again, under the same name.
    status, shown = provision(board, data, typed=answers())
    assert status == 0, shown


def personal_files_of(board):
    root = board.folder
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_files_with_names_of_their_own_are_erased_too(board, tmp_path):
    config = {"receiver_host": "192.0.2.1", "ssl_key": "mine.bin"}
    board.write("config.json", json.dumps(config))
    board.write("mine.bin", "key")
    status, shown = provision(board, tmp_path / "data", "--yes", command="erase")
    assert status == 0 and personal_files_of(board) == [], shown


def test_the_words_of_a_board_stay_so_that_it_starts(board, tmp_path):
    """Its models stay, and without a configuration the firmware would look for the default's."""
    install_models(board, "hey_jarvis")
    source = write_source(tmp_path / "b.json", wifi_ssid="home", receiver_host="192.0.2.7")
    named = ("--from", source, "--yes", "--name", "kitchen")
    assert provision(board, tmp_path / "data", *named)[0] == 0
    status, shown = provision(board, tmp_path / "data", "--yes", command="erase")
    assert status == 0 and "3 files removed" in shown, shown
    assert "config.json: the wake words, and nothing else" in shown
    only = configuration.Config({"models": ["hey_jarvis"]}).to_json()
    assert (board.folder / "config.json").read_text() == only
    assert not any(name.endswith(".der") for name in personal_files_of(board))
    status, shown = provision(board, tmp_path / "data", command="erase")
    assert status == 0 and "0 files removed" in shown, shown
    assert (board.folder / "config.json").read_text() == only


def test_what_is_personal():
    for name in PERSONAL:
        assert personal_data.is_personal(name), name
    for name in (*SYSTEM, "my notes.txt", "boot.py"):
        assert not personal_data.is_personal(name), name


def in_terminal(board, data, *arguments, command="provision"):
    """The command in a terminal of its own; (process id, its end of the terminal)."""
    words = [sys.executable, "-m", "host_tools", command, "--port", board.port]
    words += ["--data", str(data), *map(str, arguments)]
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, words)
    return process, terminal


def until(terminal, words, max_s=30):
    """What the terminal shows up to these words."""
    shown, deadline = b"", time.monotonic() + max_s
    while words not in shown and time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 4096)
            except OSError:  # the command has ended
                break
    assert words in shown, shown
    return shown.decode(errors="replace")


def test_a_terminal_never_shows_the_password(board, tmp_path):
    process, terminal = in_terminal(board, tmp_path / "data")
    shown = until(terminal, b"Wi-Fi network: ")
    os.write(terminal, b"home\n")
    shown += until(terminal, b"open network): ")
    time.sleep(0.2)
    os.write(terminal, SECRET.encode() + b"\n")
    for line in answers()[2:]:
        shown += until(terminal, b": ")
        os.write(terminal, line.encode() + b"\n")
        time.sleep(0.1)
    shown += until(terminal, b"Restarting the board")
    assert os.waitpid(process, 0)[1] == 0
    os.close(terminal)
    assert "home" in shown and "pa$$" not in shown and "w\\ord" not in shown
    text = (board.folder / "config.json").read_bytes()
    assert configuration.Config.from_json(text).wifi_password == SECRET


def test_ctrl_c_at_any_moment_leaves_a_whole_set(board, tmp_path):
    data = tmp_path / "data"
    source = tmp_path / "b.json"
    source.write_text(json.dumps({"wifi_ssid": "home", "receiver_host": "192.0.2.7"}))
    source.chmod(0o600)
    ends = set()
    board.byte_delay_s = 0.0001
    for wait_for in (b"", b"writing device.key", b"writing ca", b"writing config"):
        for name in personal_files_of(board):
            (board.folder / name).unlink()
        arguments = ("--from", source, "--name", "kitchen", "--yes")
        process, terminal = in_terminal(board, data, *arguments)
        if wait_for:
            until(terminal, wait_for)
        else:
            before = board.received
            while board.received == before:  # it has opened the line
                time.sleep(0.01)
        os.write(terminal, b"\x03")
        shown = until(terminal, b"stopped")
        assert "Traceback" not in shown
        ends.add(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
        os.close(terminal)
        assert personal_files_of(board) == [], wait_for
        assert DeviceList(data / "devices.json").all() == []
    assert ends == {130}
    status, shown = provision(board, data, "--from", source, "--name", "kitchen", "--yes")
    assert status == 0, shown


def test_ctrl_c_at_a_question_is_one_word(board, tmp_path):
    for typed in (b"", b"home\n"):
        process, terminal = in_terminal(board, tmp_path / "data")
        until(terminal, b"Wi-Fi network: ")
        os.write(terminal, typed)
        if typed:
            until(terminal, b"open network): ")
        time.sleep(0.2)
        os.write(terminal, b"\x03")
        shown = until(terminal, b"stopped")
        assert "Traceback" not in shown and os.WEXITSTATUS(os.waitpid(process, 0)[1]) == 130
        os.close(terminal)
    assert personal_files_of(board) == []


def test_a_running_firmware_runs_again_after_each_command(board, tmp_path):
    beat = "import time\nwhile True:\n    open('beat', 'a').write('.')\n    time.sleep(0.05)\n"
    board.write("main.py", beat)
    board.unplug()
    board.plug_in()
    data = tmp_path / "data"
    for command, typed in (("provision", answers()), ("erase", [NO]), ("erase", ["y"])):
        status, shown = provision(board, data, typed=typed, command=command)
        assert status == 0, shown
        size = (board.folder / "beat").stat().st_size
        deadline = time.monotonic() + 10
        while (board.folder / "beat").stat().st_size == size:
            assert time.monotonic() < deadline, "main.py does not run"
            time.sleep(0.05)


def test_on_the_chips_file_system_too(tmp_path):
    with PtyBoard(tmp_path, flash_bytes=256 * 1024) as board:
        data = tmp_path / "data"
        status, shown = provision(board, data, typed=answers())
        assert status == 0, shown
        status, shown = provision(board, data, "--yes", "--new-certificate", typed=[KEEP] * 7)
        assert status == 0, shown
        board.unplug()
        assert board.run("import os; print(sorted(os.listdir()))").split() == [
            *(b"['ca.2.cert.der',", b"'config.json',"),
            *(b"'device.2.cert.der',", b"'device.2.key.der']"),
        ]
        board.plug_in()
        status, shown = provision(board, data, "--yes", command="erase")
        assert status == 0 and "4 files removed" in shown, shown
        board.unplug()
        assert board.run("import os; print(os.listdir())").strip() == b"[]"
