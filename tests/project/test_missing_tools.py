"""On a machine without qemu and valgrind, or without MicroPython, tests skip and none fails."""

import os
import re
import subprocess
import sys

from host_tools.shared_firmware import ROOT

NO_MICROPYTHON = ROOT / "tests" / "fakes" / "no_micropython"
#: What needs MicroPython by way of every fixture, and directly; of the slow rest, nothing.
NEEDS_MICROPYTHON = [
    *("tests/firmware", "tests/simulation", "tests/project/test_micropython.py"),
    *("tests/xtensa/test_bench.py", "tests/xtensa/test_replay.py"),
    *("tests/xtensa/test_engine_on_xtensa.py", "tests/board/test_noisy_line.py"),
    *("tests/commands/test_demo.py", "tests/commands/test_simulate.py"),
    *("tests/commands/test_install.py", "tests/commands/test_status.py"),
    *("tests/commands/test_selftest.py", "tests/commands/test_ctrl_c.py"),
]


def counts(*paths, **environment):
    """{"passed": n, "skipped": n, ...} of these tests, run in a process with this environment."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True
    )
    found = re.findall(r"(\d+) (passed|skipped|failed|errors?)", done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stdout[-4000:]
    return {word: int(number) for number, word in found}


def test_without_qemu_and_valgrind(tmp_path):
    seen = counts("tests/xtensa", PATH=str(tmp_path))
    assert set(seen) == {"passed", "skipped"}
    assert seen["skipped"] > 400 and seen["passed"] > 10, seen


def test_without_micropython():
    seen = counts(*NEEDS_MICROPYTHON, PYTHONPATH=str(NO_MICROPYTHON))
    assert set(seen) == {"passed", "skipped"}
    assert seen["skipped"] > 400 and seen["passed"] > 50, seen
