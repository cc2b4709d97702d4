"""`earnest receive --install-service` and `--remove-service`: the receiver as a service."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
from click.core import ParameterSource

from host_tools.errors import HostToolError
from host_tools.service import systemd


def change(context: click.Context, data: Path, is_installed: bool, is_removed: bool) -> int:
    """Install the service with the options that were given, or remove it."""
    if is_installed and is_removed:
        raise click.UsageError("give --install-service or --remove-service, not both")
    if is_removed:
        path = systemd.remove()
        click.echo(f"stopped the service and removed {path}" if path else "no service to remove")
        return 0
    for name in ("commands", "as_json"):
        if context.params[name]:
            raise HostToolError(
                f"--{name.removeprefix('as_')} does not go with --install-service",
                "a service has no standard input, and logs to the journal",
            )
    path = systemd.install(_options_given(context), data)
    click.echo(f"installed and started {path}")
    click.echo("it starts when you log in; with the computer: loginctl enable-linger")
    click.echo(f"its log: journalctl --user -u {path.name}")
    return 0


def _options_given(context: click.Context) -> list[str]:
    """Return the options of this call as arguments of another, but those of the service and
    --data; files by their whole path."""
    given = []
    for option in context.command.params:
        name = option.name or ""
        is_given = context.get_parameter_source(name) is ParameterSource.COMMANDLINE
        if not is_given or name in ("data", "install_service", "remove_service"):
            continue
        value = context.params[name]
        if name == "program":
            value = shutil.which(value) or value
        if name in ("program", "reply"):
            value = Path(value).absolute()
        if value is True:
            given += [option.opts[0]]
        else:
            values = value if isinstance(value, tuple) else (value,)
            given += [f"{option.opts[0]}={each}" for each in values]
    return given
