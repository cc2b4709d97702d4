"""The systemd unit: its text, what systemd says of it, and its installation through systemctl."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from host_tools.errors import HostToolError
from host_tools.service import systemd
from host_tools.service.unit import NAME, unit_text
from tests.fakes.network_pages import set_up
from tests.fakes.receivers import earnest

HAS_ANALYZE = shutil.which("systemd-analyze") is not None
needs_analyze = pytest.mark.skipif(
    not HAS_ANALYZE, reason="systemd-analyze is missing: sudo apt-get install systemd"
)
#: A stand-in for `systemctl --user`: notes how it was called; the service is what STATE says.
SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$CALLS"
case "$2" in
show-environment)
    test -z "$NO_BUS" && exit
    echo 'Failed to connect to bus: No medium' >&2
    exit 1 ;;
is-active) echo "$STATE" ;;
esac
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user whose systemd is a stand-in, with a home that no service has of its own."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "systemctl").write_text(SYSTEMCTL)
    (tmp_path / "bin" / "systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("STATE", "active")
    monkeypatch.setattr(systemd, "_RUNS_SYSTEMD", tmp_path)
    monkeypatch.setattr(systemd, "_SETTLE_S", 0)
    # The tests' own folders lie in /tmp, which a service does not see.
    monkeypatch.setattr("host_tools.service.unit._PRIVATE", (tmp_path / "tmp",))
    return tmp_path


def calls(home):
    return (home / "calls").read_text().splitlines()


@needs_analyze
def test_systemd_verifies_the_unit(tmp_path):
    path = tmp_path / NAME
    command = ["/bin/true", "receive", "--data", '/srv/a b%"\\$x', "--run=/srv/an$wer %h"]
    path.write_text(unit_text(command, Path('/srv/a b%"\\$x')))
    (tmp_path / "run").mkdir()
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path / "run")}
    done = subprocess.run(
        ["systemd-analyze", "--user", "verify", str(path)],
        capture_output=True,
        text=True,
        env=environment,
    )
    # systemd looks for what the unit wants in places that a container may not have.
    mine = [line for line in done.stderr.splitlines() if NAME in line]
    assert done.returncode == 0 and mine == [], done.stderr


@needs_analyze
def test_systemd_finds_the_unit_closed(tmp_path):
    """Of 10 (open), as if root ran it: a user's service has no capability to begin with."""
    path = tmp_path / NAME
    path.write_text(unit_text(["/bin/true"], Path("/srv/data")))
    options = ["security", "--offline=true", "--no-pager", "--threshold=54"]
    done = subprocess.run(["systemd-analyze", *options, path], capture_output=True, text=True)
    if "unrecognized option" in done.stderr:
        pytest.skip("systemd-analyze is older than 250: it cannot look at a file")
    assert done.returncode == 0, done.stdout[-200:] + done.stderr
    closed = {line.split()[1] for line in done.stdout.splitlines() if line.startswith("✓")}
    want = "NoNewPrivileges= ProtectSystem= PrivateTmp= PrivateUsers= LockPersonality= UMask="
    assert set(want.split()) <= closed


def test_it_may_write_its_folder_and_nothing_else():
    lines = unit_text(["/usr/bin/python3", "-m"], Path("/srv/my data")).splitlines()
    assert "ProtectSystem=strict" in lines and "ProtectHome=read-only" in lines
    assert [line for line in lines if "Write" in line] == ['ReadWritePaths="/srv/my data"']
    assert 'ExecStart="/usr/bin/python3" "-m"' in lines


def test_words_stay_what_they_are():
    """systemd expands % in every value, and $ in commands."""
    lines = unit_text(["/bin/a", '50% of $x "y" \\'], Path("/srv/5% $x")).splitlines()
    assert 'ExecStart="/bin/a" "50%% of $$x \\"y\\" \\\\"' in lines
    assert 'ReadWritePaths="/srv/5%% $x"' in lines


@pytest.mark.parametrize("path", ["/tmp/data", "/var/tmp/x", "/srv/a\nExecStartPre=/bin/sh"])
def test_a_path_that_a_service_cannot_have_is_refused(path):
    with pytest.raises(HostToolError):
        unit_text(["/usr/bin/python3"], Path(path))


def test_install_and_remove(home, monkeypatch):
    data = home / "data"
    (home / "answer.py").write_text("#!/bin/sh\n")
    (home / "answer.py").chmod(0o755)
    monkeypatch.chdir(home)
    options = ["--answers", "--run", "./answer.py", "--keep-days", "7"]
    done = earnest(data, "receive", "--install-service", *options)
    assert done.returncode == 0, done.stderr
    path = home / "config" / "systemd" / "user" / NAME
    assert f"installed and started {path}\n" in done.stdout and "enable-linger" in done.stdout
    given = ["--keep-days=7.0", "--answers", f"--run={home / 'answer.py'}"]
    started = next(x for x in path.read_text().splitlines() if x.startswith("ExecStart="))
    for word in (sys.executable, "receive", str(data), *given):
        assert f'"{word}"' in started
    assert "install-service" not in started
    assert [line.split()[1] for line in calls(home)] == (
        ["show-environment", "daemon-reload", "enable", "start", "is-active"]
    )
    assert data.stat().st_mode & 0o777 == 0o700
    assert earnest(data, "receive", "--install-service").returncode == 0  # again: stopped first
    assert "--user stop " + NAME in calls(home)
    done = earnest(data, "receive", "--remove-service")
    assert done.stdout == f"stopped the service and removed {path}\n" and not path.exists()
    assert f"--user disable --now {NAME}" in calls(home) and data.is_dir()
    assert earnest(data, "receive", "--remove-service").stdout == "no service to remove\n"


def test_a_page_for_other_computers_needs_its_set_up_first(home):
    data = home / "data"
    data.mkdir()
    options = ("--page-host", "0.0.0.0", "--page-name", "a.test", "--page-name", "192.0.2.7")
    done = earnest(data, "receive", "--install-service", *options)
    assert done.returncode == 2 and "`earnest companion --setup" in done.stderr
    assert not (home / "config").exists()
    set_up(data)
    done = earnest(data, "receive", "--install-service", *options)
    assert done.returncode == 0, done.stderr
    text = (home / "config" / "systemd" / "user" / NAME).read_text()
    for word in ("--page-host=0.0.0.0", "--page-name=a.test", "--page-name=192.0.2.7"):
        assert f'"{word}"' in text
    done = earnest(data, "receive", "--install-service", "--page-name", "a.test")
    assert done.returncode == 2 and "--page-name needs a --page-host" in done.stderr


def test_what_keeps_it_from_being_installed_is_said_in_two_lines(home, monkeypatch):
    data = home / "data"

    def said(*options):
        done = earnest(data, "receive", "--install-service", *options)
        assert done.returncode == 2 and len(done.stderr.splitlines()) == 2, done.stderr
        return done.stderr

    assert "--commands does not go with" in said("--commands")
    assert "--json does not go with" in said("--json")
    monkeypatch.setenv("STATE", "activating")
    assert "does not run\nhint: see journalctl --user -u " + NAME in said()
    monkeypatch.setenv("NO_BUS", "yes")
    assert "does not answer: Failed to connect to bus" in said()
    monkeypatch.setattr(systemd, "_RUNS_SYSTEMD", home / "nowhere")
    assert "systemd does not run on this computer\n" in said()
    done = earnest(data, "receive", "--install-service", "--remove-service")
    assert "not both" in done.stderr


def test_a_folder_that_another_receiver_serves_gets_no_service(home):
    from host_tools.receiver.folder_lock import locked

    (home / "data").mkdir()
    with locked(home / "data"):
        done = earnest(home / "data", "receive", "--install-service")
    assert done.returncode == 2 and "another `earnest receive` uses" in done.stderr
    assert not (home / "config").exists()
