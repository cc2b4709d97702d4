"""The `earnest` command: it teaches, fails in two lines with status 2, and stops with 130."""

import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import time
from collections import namedtuple

import click
import numpy as np
import pytest

from host_tools import cli
from host_tools.audio import files as audio
from host_tools.errors import EXTRAS, HostToolError
from host_tools.shared_firmware import ROOT

Done = namedtuple("Done", "returncode stdout stderr")


def earnest(*arguments):
    """`earnest ARGUMENTS` in this process, in a terminal of 120 columns."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = cli.run([*map(str, arguments)])
    return Done(status, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")


def test_help_lists_every_command_and_shows_examples():
    done = earnest("--help")
    assert done.returncode == 0
    listed = " ".join(done.stdout.split())
    for name, text in cli.COMMANDS.items():
        assert f" {name} {text}" in listed
    assert "earnest simulate recording.wav" in done.stdout
    headings = [done.stdout.index(f"\n{heading}:\n") for heading in cli.GROUPS]
    assert headings == sorted(headings)


def test_listing_the_commands_imports_none_of_them():
    script = "import sys; from host_tools import cli; cli.run(['--help']); "
    script += "heavy = ('numpy', 'scipy', 'host_tools.commands.simulate'); "
    script += "print([m for m in heavy if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.endswith("[]\n"), done.stdout


def test_the_simulator_imports_only_what_every_run_needs():
    """Each of these takes longer to import than 10 s of audio take to simulate."""
    script = "import sys; import host_tools.commands.simulate; "
    script += "heavy = ('scipy', 'rich.console', 'cryptography', 'matplotlib'); "
    script += "print([m for m in heavy if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "[]\n", done.stdout + done.stderr


@pytest.mark.parametrize("name", list(cli.COMMANDS))
def test_every_command_teaches_itself(name):
    done = earnest(name, "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage: earnest" in done.stdout and len(done.stdout) > 200


def test_version_and_unknown_names():
    command = [sys.executable, "-m", "host_tools", "--version"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("earnest, version 0.")
    for arguments in (["nonsense"], ["simulate"], ["simulate", "--nonsense"]):
        done = earnest(*arguments)
        assert done.returncode == 2 and "Traceback" not in done.stderr


def test_a_misspelled_command_gets_a_suggestion(capsys):
    assert cli.run(["simulte"]) == 2
    assert "Did you mean 'simulate'?" in capsys.readouterr().err
    assert cli.run(["xyzzy"]) == 2
    assert "Did you mean" not in capsys.readouterr().err


def test_an_error_is_two_lines_and_a_traceback_only_with_debug(tmp_path):
    missing = tmp_path / "none.wav"
    done = earnest("simulate", "--model", "none", missing)
    assert done.returncode == 2 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: ") and lines[1].startswith("hint: "), lines
    done = earnest("--debug", "simulate", "--model", "none", missing)
    assert done.returncode == 2 and "Traceback" in done.stderr and "\nhint: " in done.stderr


def test_an_absent_module_is_named(monkeypatch, capsys):
    monkeypatch.setitem(cli.COMMANDS, "absent", "")
    assert cli.run(["absent"]) == 2
    assert "earnest absent is not part of this installation" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "host_tools.commands.bench", None)
    monkeypatch.setitem(sys.modules, "host_tools.commands.models", None)
    monkeypatch.delitem(sys.modules, "host_tools.commands.convert", raising=False)
    monkeypatch.setitem(sys.modules, "host_tools.models.build", None)
    assert cli.run(["convert"]) == 2
    assert "host_tools" in capsys.readouterr().err


@pytest.mark.parametrize("module, extra", [("scipy", "simulate"), ("tflite_micro", "models")])
def test_a_package_of_an_extra_is_named_with_it_and_its_platforms(module, extra, capsys):
    def needs():
        raise ModuleNotFoundError(f"No module named '{module}.x'", name=f"{module}.x")

    assert cli.run_command(click.Command("x", callback=needs), []) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert f"earnest[{extra}]" in error and module.replace("_", "-") in error
    assert f"pip install '.[{extra}]'" in hint and "Linux" in hint


def test_every_extra_that_an_error_names_is_there_with_that_package():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in EXTRAS.values():
        section = project.split(f"\n{extra.name} = [")[1].split("]\n")[0]
        assert re.search(rf'["\[]{extra.package}[][=]', section), extra


def test_a_console_that_cannot_show_a_character_shows_another(monkeypatch):
    """As on Windows, where the code page may have no arrow."""
    shown = io.BytesIO()
    narrow = io.TextIOWrapper(shown, encoding="cp1252", write_through=True)
    monkeypatch.setattr(sys, "stdout", narrow)
    cli.print_on_any_console()
    assert cli.run_command(click.Command("x", callback=lambda: click.echo("a \u2192 b")), []) == 0
    assert shown.getvalue().split() == [b"a", b"?", b"b"]


def test_exit_statuses_of_a_command(monkeypatch):
    def running(action):
        return cli.run_command(click.Command("x", callback=action), [])

    def refuse():
        raise HostToolError("no", "yes")

    def interrupt():
        raise KeyboardInterrupt

    assert running(lambda: None) == 0
    assert running(lambda: 1) == 1
    assert running(refuse) == 2
    assert running(interrupt) == 130


def test_ctrl_c_ends_a_simulation_at_once(native_emitter, tmp_path):
    audio.write(tmp_path / "long.wav", np.zeros(16000 * 1800, np.int16))
    process = subprocess.Popen(
        [sys.executable, "-m", "host_tools", "simulate", str(tmp_path / "long.wav")]
        + ["--trace", str(tmp_path / "t.jsonl")],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline_s = time.monotonic() + 30
    while not (tmp_path / "t.jsonl").exists() or not (tmp_path / "t.jsonl").stat().st_size:
        assert process.poll() is None and time.monotonic() < deadline_s
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as the terminal does
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130 and errors.strip() == "stopped", errors


def test_a_reader_that_leaves_is_no_traceback(native_emitter, tmp_path):
    audio.write(tmp_path / "a.wav", np.zeros(16000 * 60, np.int16))
    line = f"{sys.executable} -m host_tools simulate {tmp_path}/a.wav --trace - | head -1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True)
    assert '"event": "start"' in done.stdout and done.stderr == "", done.stderr


@pytest.mark.parametrize("arguments", [["--version"], ["simulate", "a.wav", "--trace", "-"]])
def test_no_reader_at_all_is_no_traceback(tmp_path, arguments):
    audio.write(tmp_path / "a.wav", np.zeros(1600, np.int16))
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "host_tools", *arguments]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, cwd=tmp_path, env=buffered, text=True
    )
    os.close(writing)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr, done.stderr
