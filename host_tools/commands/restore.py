"""`earnest restore`: the receiver's folder from a back-up."""

from __future__ import annotations

from pathlib import Path

import click

from host_tools.commands.options import data_option, json_option
from host_tools.commands.tables import say
from host_tools.receiver.devices import DeviceList
from host_tools.service import restore

EPILOG = """\b
Examples:
  earnest restore earnest.tar
  earnest restore earnest.tar --data /srv/earnest

Only one receiver may use what is restored: end the one that it was made of.
"""


@click.command("restore", epilog=EPILOG)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@data_option
@json_option
def command(file: Path, data: Path, as_json: bool) -> int:
    """Restore the receiver's folder from FILE, a back-up. Checks all of it first, and overwrites
    nothing: the folder must be empty or missing."""
    manifest = restore.restore(file, data)
    devices = [device.name for device in DeviceList(data / "devices.json").all()]
    facts = {"data": str(data), "files": len(manifest.files), "created": manifest.created}
    say(
        as_json,
        {**facts, "recordings": manifest.has_recordings, "devices": devices},
        f"restored {len(manifest.files)} files of {manifest.created} to {data}",
    )
    if not as_json:
        click.echo(f"devices that may connect: {', '.join(devices) or 'none'}")
        if manifest.has_recordings:
            click.echo(
                "recordings that were deleted or withdrawn since are back; delete them again"
            )
    return 0
