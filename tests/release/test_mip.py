"""MicroPython's own installer takes the engine and a model, from a web server and over a cable,
and the installed engine hears a word."""

import functools
import http.server
import os
import re
import subprocess
import sys
import threading
import wave

import pytest

from host_tools import micropython
from host_tools.audio import speech
from host_tools.release import build as release
from host_tools.shared_firmware import ROOT

EXAMPLE = ROOT / "examples" / "wav_file.py"
INSTALL = """
import mip, sys
for package in sys.argv[2:]:
    mip.install(package, target=sys.argv[1])
"""
TIMEOUT_S = 60


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(a release's folder, the address of a web server that serves it, what was asked for)."""
    folder = tmp_path_factory.mktemp("release") / "served"
    release.build(folder)
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, _format, *arguments):
            asked.append(arguments[0].split()[1])

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield folder, f"http://127.0.0.1:{served.server_address[1]}", asked
        served.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("speech") / "okay_nabu.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        sound = speech.pad(speech.synthesise("okay nabu"), 0.3, 0.5)
        file.writeframes(sound.astype("<i2").tobytes())
    return path


def run_alone(folder, script, *arguments):
    """What a script prints in a MicroPython that has nothing on its path but a library folder."""
    done = subprocess.run(
        micropython.command(script, *arguments),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, "MICROPYPATH": f"{folder}:.frozen"},
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("kind", ("x64", "py"))
def test_mip_on_the_device(native_emitter, server, recording, tmp_path, kind):
    folder, url, asked = server
    script = tmp_path / "install.py"
    script.write_text(INSTALL)
    library = tmp_path / "lib"
    library.mkdir()
    asked.clear()
    packages = (f"{url}/wakeword/{kind}", f"{url}/models/okay_nabu")
    said = run_alone(library, script, library, *packages)
    assert said.count("Done") == 2, said
    ending = "mpy" if kind == "x64" else "py"
    assert f"/wakeword/{kind}/package.json" in asked
    assert f"/wakeword/{kind}/wakeword/frontend/kernels.{ending}" in asked
    (library / "okay_nabu.ewm").rename(tmp_path / "okay_nabu.ewm")
    for path in (folder / "wakeword" / kind / "wakeword").rglob("*.*py"):
        copy = library / path.relative_to(folder / "wakeword" / kind)
        assert copy.read_bytes() == path.read_bytes()
    heard = run_alone(library, EXAMPLE, tmp_path / "okay_nabu.ewm", recording)
    assert re.fullmatch(r"1\.\d s: Okay Nabu\n", heard), heard


def test_mpremote_from_a_folder_and_from_a_url(server, recording, board):
    folder, url, _ = server
    board.write("recording.wav", "")
    (board.folder / "recording.wav").write_bytes(recording.read_bytes())
    (board.folder / "lib").mkdir()
    mpremote(board, "mip", "install", f"{folder}/wakeword/x64/package.json")
    mpremote(board, "mip", "install", f"{url}/models/okay_nabu")
    installed = {p.name for p in (board.folder / "lib").rglob("*.*")}
    assert {"okay_nabu.ewm", "engine.mpy"} <= installed
    code = EXAMPLE.read_text().replace("sys.argv", "('', '/lib/okay_nabu.ewm', 'recording.wav')")
    assert re.search(r"1\.\d s: Okay Nabu", mpremote(board, "exec", code))


def mpremote(board, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "mpremote", "connect", board.port, *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
