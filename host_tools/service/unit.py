"""The text of the systemd user unit: what `earnest receive` may do when systemd runs it.

What is left open, and why: docs/receiver-service.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from host_tools.errors import HostToolError

NAME = "earnest-receiver.service"
#: A service has its own, empty ones.
_PRIVATE = (Path("/tmp"), Path("/var/tmp"))

_TEMPLATE = """\
# Written by `earnest receive --install-service`; removed by `earnest receive --remove-service`.
[Unit]
Description=Earnest receiver
StartLimitIntervalSec=0

[Service]
Type=exec
ExecStart={command}
Restart=on-failure
RestartSec=10
TimeoutStopSec=10

# Each line has its level; a line without one is an error that Python itself tells.
SyslogIdentifier=earnest
SyslogLevel=err

# It writes its own folder and nothing else; it reads this computer's programs.
UMask=0077
PrivateUsers=yes
PrivateTmp=yes
ProtectSystem=strict
ProtectHome=read-only
ReadWritePaths={data}
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
LockPersonality=yes
ProtectControlGroups=yes
ProtectKernelTunables=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
"""


def unit_text(command: Sequence[str], data: Path) -> str:
    """Return the unit.

    Args:
        command: The program, by its absolute path, and its arguments.
        data: The receiver's folder, absolute: the only place that it may write to.

    Raises:
        HostToolError: a path lies where a service cannot see it, or has unprintable characters.
    """
    for path in (Path(command[0]), data):
        if any(path.is_relative_to(folder) for folder in _PRIVATE):
            raise HostToolError(
                f"{path} lies in a folder for temporary files, where a service has its own",
                "keep Earnest's folder and --data elsewhere, in your home folder for instance",
            )
    line = " ".join(_quoted(word).replace("$", "$$") for word in command)
    return _TEMPLATE.format(command=line, data=_quoted(str(data)))


def _quoted(word: str) -> str:
    """Return a word as systemd reads it back; raises HostToolError."""
    if not word.isprintable():
        raise HostToolError(
            f"{word!r} cannot stand in a systemd unit", "use printable characters only"
        )
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'
