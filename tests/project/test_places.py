"""How the tools say that they are started: what is printed works where it is printed."""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

from host_tools import places

pytestmark = pytest.mark.skipif(os.name == "nt", reason="other scripts, other quotes")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An installation in a folder of its own, whose name needs quotes; the script in it."""
    scripts = tmp_path / "my clone" / ".venv" / "bin"
    scripts.mkdir(parents=True)
    script = scripts / "earnest"
    script.write_text("#!/bin/sh\necho started $1\n")
    script.chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(scripts))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    return script


def started(folder, tool):
    return subprocess.run(
        f"{tool} models", shell=True, cwd=folder, capture_output=True, text=True
    ).stdout


def test_a_clone_that_is_not_on_the_path_is_named_by_its_file(installed, monkeypatch):
    clone = installed.parent.parent.parent
    for folder, tool in (
        (clone, ".venv/bin/earnest"),
        (clone.parent, "'my clone/.venv/bin/earnest'"),
        (Path("/"), shlex.quote(str(installed).lstrip("/"))),
        (Path("/usr"), shlex.quote(str(installed))),
    ):
        monkeypatch.chdir(folder)
        assert places.earnest() == tool
        assert started(folder, tool) == "started models\n"


def test_what_is_on_the_path_goes_by_its_name_if_it_is_this_one(installed, tmp_path, monkeypatch):
    monkeypatch.chdir(installed.parent)
    monkeypatch.setenv("PATH", f"{installed.parent}:/usr/bin:/bin")
    assert places.earnest() == "earnest" and started(tmp_path, "earnest") == "started models\n"
    other = tmp_path / "other"
    other.mkdir()
    (other / "earnest").symlink_to(installed)  # as pipx installs it
    monkeypatch.setenv("PATH", f"{other}:/usr/bin:/bin")
    assert places.earnest() == "earnest"
    (other / "earnest").unlink()
    (other / "earnest").write_bytes(installed.read_bytes())
    (other / "earnest").chmod(0o755)
    assert places.earnest() == "./earnest", "the PATH finds another one"


def test_without_a_script_this_python_runs_the_tools(installed, monkeypatch):
    installed.unlink()
    assert places.earnest().endswith(" -m host_tools")
