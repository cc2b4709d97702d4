"""The base installs on every promised platform, and imports nothing that one of them lacks.

Nothing here runs on Windows or macOS: the registry's wheels are resolved for them, and what only
POSIX systems have is taken away from our own imports.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec

import pytest

from host_tools.errors import EXTRAS
from host_tools.shared_firmware import ROOT

#: pymicro-wakeword's wheels need glibc 2.35 (Debian 12, Raspberry Pi OS 12) and macOS 15.
PLATFORMS = {
    "Linux x86-64": "x86_64-manylinux_2_35",
    "Linux aarch64": "aarch64-manylinux_2_35",
    "macOS arm64": "aarch64-apple-darwin",
    "Windows x86-64": "x86_64-pc-windows-msvc",
}
MACOS = "15.0"
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
#: Pure Python that is published as source only: pip builds its wheel anywhere.
SOURCE_ONLY = "esptool"
UNREACHABLE = r"Failed to fetch|error sending request|dns error|Could not connect|timed out"
POSIX_ONLY = (
    *("fcntl", "termios", "pty", "tty", "resource", "pwd", "grp", "syslog", "curses", "crypt"),
)
#: The commands of the base: all but those that work with audio or the chip's code.
BASE_COMMANDS = (
    *("models", "convert", "flash", "install", "provision", "erase", "status", "monitor", "mic"),
    *("selftest", "log", "audit", "repl", "receive", "companion", "recordings", "devices"),
)


def resolve(requirements, platform, python, *options):
    """What uv says when it resolves the requirements from wheels alone: (exit status, text)."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header"]
    command += ["--no-annotate", "--python", sys.executable, "--python-version", python]
    command += ["--python-platform", PLATFORMS[platform], "--no-config"]
    command += ["--only-binary", ":all:", "--no-binary", SOURCE_ONLY, str(requirements), *options]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "UV_HTTP_TIMEOUT": "20"}
    environment["MACOSX_DEPLOYMENT_TARGET"] = MACOS
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout + done.stderr


def base():
    """The dependencies that pyproject.toml gives every installation, one a line."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    listed = text.split("\ndependencies = [\n")[1].split("\n]\n")[0]
    return re.findall(r'^    "(.+)",$', listed, re.M)


def test_the_base_resolves_everywhere(tmp_path):
    requirements = tmp_path / "base.in"
    requirements.write_text("\n".join(base()))
    wanted = [(platform, python) for platform in PLATFORMS for python in PYTHONS]
    status, text = resolve(requirements, *wanted[0])
    if status and re.search(UNREACHABLE, text):
        pytest.skip(f"the package registry cannot be reached: {text.splitlines()[0]}")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda each: resolve(requirements, *each), wanted))
    failed = {each: text for each, (status, text) in zip(wanted, results, strict=True) if status}
    assert not failed, failed
    for each, (_, text) in zip(wanted, results, strict=True):
        assert "esptool==" in text and ("colorama==" in text) == each[0].startswith("Win"), each


def test_what_make_setup_takes_resolves_everywhere():
    """A platform's markers leave out what it has no wheels of."""
    for platform in PLATFORMS:
        options = ("--extra", "dev", "--no-binary", "earnest")
        status, text = resolve(ROOT / "pyproject.toml", platform, "3.11", *options)
        if re.search(UNREACHABLE, text):
            pytest.skip("the package registry cannot be reached")
        assert status == 0 and "pytest==" in text, (platform, text)
        assert ("tflite-micro==" in text) == (platform == "Linux x86-64"), platform


def test_a_pin_without_a_wheel_would_be_seen(tmp_path):
    requirements = tmp_path / "more.in"
    requirements.write_text("tflite-micro==0.dev20261023182759")
    status, text = resolve(requirements, "macOS arm64", "3.11")
    if re.search(UNREACHABLE, text):
        pytest.skip("the package registry cannot be reached")
    assert status != 0 and "no wheels with a matching platform tag" in " ".join(text.split()), text


IMPORT_ALL = """
import builtins, importlib, sys

absent, extras, commands = {posix!r}, {extras!r}, {commands!r}
for name in extras:
    sys.modules[name] = None
real = builtins.__import__

def on_windows(name, importer=None, *rest):
    ours = (importer or {{}}).get("__name__", "").startswith(("host_tools", "firmware"))
    if ours and name.split(".")[0] in absent:
        raise ModuleNotFoundError(name, name=name)
    return real(name, importer, *rest)

builtins.__import__ = on_windows
from host_tools import cli
for name in commands:
    importlib.import_module("host_tools.commands." + name)
"""


def test_the_base_imports_without_posix_and_without_the_extras():
    extras = [name for name in EXTRAS if name != "pymicro_features"]  # pymicro-wakeword brings it
    script = IMPORT_ALL.format(posix=POSIX_ONLY, extras=extras, commands=BASE_COMMANDS)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_what_training_takes_resolves_everywhere():
    """`make setup` leaves it out, so the test above does not see it."""
    for platform in PLATFORMS:
        options = ("--extra", "train", "--no-binary", "earnest")
        status, text = resolve(ROOT / "pyproject.toml", platform, "3.11", *options)
        if re.search(UNREACHABLE, text):
            pytest.skip("the package registry cannot be reached")
        assert status == 0 and "torch==" in text, (platform, text)


def test_every_extra_is_a_module_that_is_there_or_bound_to_a_platform():
    for module, extra in EXTRAS.items():
        is_everywhere = extra.platforms.startswith("Linux, ") and extra.name != "train"
        assert find_spec(module) or not is_everywhere, module
