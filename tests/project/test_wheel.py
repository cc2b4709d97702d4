"""The wheel, installed where no clone is: what it carries, and what a user does with it first.

It is built from a copy of the tracked folders, so that no leftover of the clone gets into it, and
installed into a fresh environment that borrows the packages of this one, but not the clone.
"""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import sysconfig
import threading
import venv
import zipfile
from pathlib import Path

import pytest

from host_tools.audio import files as audio
from host_tools.audio import speech
from host_tools.shared_firmware import ROOT
from tests.fakes.board.pty_board import PtyBoard

SOURCES = ("host_tools", "firmware", "boards", "models")
FILES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
#: Folder of the clone to its folder in the wheel.
CARRIED = {
    "firmware": "firmware",
    "host_tools": "host_tools",
    "boards": "host_tools/data/boards",
    "models": "host_tools/data/models",
}
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel's path."""
    copy, out = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, copy)
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", out]
    run([sys.executable, "-m", "pip", "wheel", *options, copy], copy)
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """(the earnest command, an empty folder to run it in, its environment)."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}))
    options = ["--no-deps", "--no-index", "--quiet"]
    run([sys.executable, "-m", "pip", "--python", python, "install", *options, wheel], folder)
    # A .pth gives the packages, but does not obey the .pth files among them: no editable install.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (folder / "empty").mkdir()
    kept = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8"}
    kept["XDG_CACHE_HOME"] = str(folder / "cache")
    return folder / "venv" / "bin" / "earnest", folder / "empty", kept


def run(command, folder, environment=None):
    """Its output; fails with what it said when its exit status is not 0."""
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def tracked(folder):
    """The files below a folder that git would keep, relative to it."""
    return {
        path.relative_to(ROOT / folder).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }


def test_it_carries_every_file_that_it_needs(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder, inside in CARRIED.items():
        missing = {f"{inside}/{name}" for name in tracked(folder)} - names
        assert not missing, missing
    top = {name.split("/")[0] for name in names}
    assert top == {"firmware", "host_tools", next(n for n in top if n.endswith(".dist-info"))}


def test_the_clone_is_not_what_runs(installed):
    earnest, folder, environment = installed
    python = earnest.parent / "python"
    script = "import host_tools, firmware.satellite.protocol as p; print(host_tools.__file__)"
    script += "; print(p.__file__)"
    printed = run([python, "-c", script], folder, environment)
    assert len(printed.splitlines()) == 2 and str(ROOT) not in printed


def test_models_convert_and_simulate(native_emitter, installed):
    earnest, folder, environment = installed
    known = json.loads(run([earnest, "models", "--json"], folder, environment))
    assert [entry["licence"] for entry in known] == ["Apache-2.0"] * 4
    convert = [earnest, "convert", "okay_nabu", "--inferences", 30, "--json"]
    report = json.loads(run(convert, folder, environment))
    assert report["different"] == 0 and (folder / "okay_nabu.ewm").is_file()
    audio.write(folder / "a.wav", speech.pad(speech.synthesise("okay naboo"), 0.5, 1.0))
    said = run([earnest, "simulate", "a.wav", "--trace", "t.jsonl"], folder, environment)
    assert "okay_nabu" in said
    events = [json.loads(line) for line in (folder / "t.jsonl").read_text().splitlines()]
    assert "detection" in {event["event"] for event in events}
    assert sorted(path.name for path in folder.iterdir()) == ["a.wav", "okay_nabu.ewm", "t.jsonl"]
    cached = next(Path(environment["XDG_CACHE_HOME"]).rglob("okay_nabu-*.ewm"))
    assert cached.read_bytes() == (folder / "okay_nabu.ewm").read_bytes()


def test_install_on_a_board(installed, tmp_path):
    earnest, folder, environment = installed
    with PtyBoard(tmp_path, flash_bytes=2 << 20) as plugged:
        call = [earnest, "install", "--board", "ESPRESSIF_DEVKITC_1_N16R8", "--json"]
        call += ["--port", plugged.port, "--no-reset"]
        report = json.loads(run(call, folder, environment))
    assert report["models"] == ["okay_nabu"] and report["copied_bytes"] > 100_000


def test_receive(installed, tmp_path):
    earnest, folder, environment = installed
    call = [earnest, "receive", "--data", tmp_path, "--host", "127.0.0.1", "--port", 0, "--json"]
    with subprocess.Popen(
        [*map(str, call)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines = queue.Queue()
        threading.Thread(target=lambda: [lines.put(line) for line in process.stdout]).start()
        try:
            heard = lines.get(timeout=TIMEOUT_S)
            while '"listening"' not in heard:
                heard = lines.get(timeout=TIMEOUT_S)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        assert json.loads(heard)["port"] > 0 and process.wait(TIMEOUT_S) in (0, 130)
