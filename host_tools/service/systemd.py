"""Installs and removes the receiver's unit through `systemctl --user`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import platformdirs

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.receiver import owner_only_files
from host_tools.receiver.folder_lock import locked
from host_tools.service.unit import NAME, unit_text

_RUNS_SYSTEMD = Path("/run/systemd/system")
_ANSWER_S = 60
#: A receiver that cannot start fails within this time: a port in use, a damaged file.
_SETTLE_S = 3.0
_SHOW_LOG = f"journalctl --user -u {NAME}"


def unit_path() -> Path:
    return platformdirs.user_config_path("systemd", appauthor=False) / "user" / NAME


def install(options: Sequence[str], data: Path) -> Path:
    """Write the unit, start it now and whenever its user's systemd starts; return its path.

    Args:
        options: Of `earnest receive`, without --data.
        data: The receiver's folder, which is made if it is missing.

    Raises:
        HostToolError: there is no systemd for this user, another receiver uses the folder, or the
            receiver does not start.
    """
    _need_systemd()
    data = data.absolute()
    python = Path(sys.executable).absolute()  # in a virtual environment: its own, not resolved
    command = [str(python), "-m", "host_tools", "receive", "--data", str(data), *options]
    text = unit_text(command, data)
    owner_only_files.make_folder(data)
    path = unit_path()
    if path.exists():
        _systemctl("stop", NAME)
    with locked(data):
        pass  # nobody else serves this folder
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostToolError(
            f"cannot make the folder {path.parent}: {error.strerror}", "check its permissions"
        ) from error
    atomic_file.write(path, text.encode())
    _systemctl("daemon-reload")
    _systemctl("enable", NAME)
    _systemctl("start", NAME)
    time.sleep(_SETTLE_S)
    if _run("is-active", NAME).stdout.strip() != "active":
        raise HostToolError("the service was installed, but does not run", f"see {_SHOW_LOG}")
    return path


def remove() -> Path | None:
    """Stop the service and remove its unit, not its folder; return the unit's path, None when
    there is none."""
    _need_systemd()
    path = unit_path()
    if not path.exists():
        return None
    _systemctl("disable", "--now", NAME)
    try:
        path.unlink()
    except OSError as error:
        raise HostToolError(
            f"cannot remove {path}: {error.strerror}", "remove it by hand"
        ) from error
    _systemctl("daemon-reload")
    return path


def _need_systemd() -> None:
    if shutil.which("systemctl") is None or not _RUNS_SYSTEMD.is_dir():
        raise HostToolError(
            "systemd does not run on this computer",
            "start `earnest receive` from what starts services here, or in a container: "
            "docs/receiver-service.md",
        )
    answer = _run("show-environment")
    if answer.returncode != 0:
        raise HostToolError(
            f"the systemd of this user does not answer: {_reason(answer)}",
            "log in as the user who shall run the receiver, not with su or sudo",
        )


def _systemctl(*arguments: str) -> None:
    """Run `systemctl --user`; raises HostToolError when it fails."""
    answer = _run(*arguments)
    if answer.returncode != 0:
        raise HostToolError(
            f"systemctl --user {' '.join(arguments)} failed: {_reason(answer)}", f"see {_SHOW_LOG}"
        )


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["systemctl", "--user", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostToolError(
            f"systemctl --user {' '.join(arguments)} failed: {error}", "is systemd well?"
        ) from error


def _reason(answer: subprocess.CompletedProcess[str]) -> str:
    lines = answer.stderr.strip().splitlines()
    return lines[-1] if lines else f"status {answer.returncode}"
