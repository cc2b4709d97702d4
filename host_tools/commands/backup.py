"""`earnest backup`: the receiver's folder in one file, also while the receiver runs."""

from __future__ import annotations

from pathlib import Path

import click

from host_tools.commands.options import data_option, json_option
from host_tools.commands.tables import say
from host_tools.service.backup import back_up

EPILOG = """\b
Examples:
  earnest backup /media/stick/earnest.tar
  earnest backup /media/stick/earnest.tar --with-recordings
  earnest restore /media/stick/earnest.tar

A back-up holds private keys: whoever reads it can pose as your receiver. Keep it where you keep
passwords, or encrypt it. Nothing that you delete later is deleted from it.
"""


@click.command("backup", epilog=EPILOG)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--with-recordings",
    "has_recordings",
    is_flag=True,
    help="Also the recordings and their keys.",
)
@data_option
@json_option
def command(file: Path, has_recordings: bool, data: Path, as_json: bool) -> int:
    """Back up the receiver's folder to FILE: its CA with its private key, the list of devices, the
    history of streams, anchors and settings; recordings only if you ask for them."""
    manifest, others = back_up(data, file, has_recordings=has_recordings)
    size = sum(entry.bytes for entry in manifest.files.values())
    facts = {"file": str(file), "files": len(manifest.files), "bytes": size}
    what = "with recordings" if has_recordings else "without recordings"
    say(
        as_json,
        {**facts, "recordings": has_recordings, "left_out": others},
        f"backed up {len(manifest.files)} files ({size} bytes), {what}, to {file}",
    )
    for name in others if not as_json else ():
        click.echo(f"left out: {name}", err=True)
    if not as_json:
        click.echo("it holds private keys: keep it where you keep passwords")
    return 0
