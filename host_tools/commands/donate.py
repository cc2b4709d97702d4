"""`earnest donate`: the owner hears recordings one by one, labels them, and writes an archive."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from host_tools.commands.options import data_option
from host_tools.donation.archive import Labels, donatable, write_archive
from host_tools.errors import HostToolError
from host_tools.receiver.player import play_wav
from host_tools.receiver.printable import one_line
from host_tools.receiver.recording import Recording
from host_tools.receiver.recordings import Recordings

EPILOG = """\b
Example:
  earnest donate voices.tar

Nothing is uploaded. Until you give the archive away, delete it to take everything back; once it
has left, nobody can call it back, and a withdrawal does not reach it.
"""
_ASK = "[h]ear, [d]onate, [l]eave out, leave out the [r]est, [q]uit"
_SAID = {"y": True, "n": False, "?": None}


@click.command("donate", epilog=EPILOG)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@data_option
def command(file: Path, data: Path) -> int:
    """Write an archive of recordings for research or training to FILE.

    Offers only those that were kept under `share_for_training`. You hear each one before you can
    donate it, say whether the wake word was said, and write down what was said if you like. The
    archive has random ids, the month, and nothing that names you or a device.
    """
    if file.exists():
        raise HostToolError(f"{file} exists already", "give another name, or remove it")
    with closing(Recordings(data)) as recordings:
        offered = donatable(recordings)
        if not offered:
            click.echo("nothing to donate: no recording was kept under share_for_training")
            return 0
        chosen = _review(recordings, offered)
        if not chosen:
            click.echo("nothing was chosen, and nothing written")
            return 0
        click.echo(
            f"{_recordings(len(chosen))} chosen. A voice can be recognised, and once the archive "
            "has left this computer nobody can call it back."
        )
        if not click.confirm(f"Write {file}?", False):
            click.echo("nothing was written")
            return 0
        count = write_archive(recordings, chosen, file)
    if gone := len(chosen) - count:
        click.echo(f"{_recordings(gone)} withdrawn or deleted meanwhile: not in it")
    if count:
        click.echo(f"wrote {_recordings(count)} to {file}; nothing was uploaded")
    else:
        click.echo("nothing was written")
    return 0


def _recordings(count: int) -> str:
    return f"{count} recording{'' if count == 1 else 's'}"


def _review(recordings: Recordings, offered: list[Recording]) -> dict[str, Labels]:
    """Return the labels of those that were heard and chosen; raises click.Abort on quit."""
    chosen: dict[str, Labels] = {}
    for number, recording in enumerate(offered, 1):
        word = one_line(recording.wake_word or "unknown wake word")
        seconds = recording.duration_ms / 1000
        click.echo(f"\n{number} of {len(offered)}: {recording.created}, {word}, {seconds:.1f} s")
        is_heard = False
        while True:
            answer = click.prompt(
                _ASK, type=click.Choice(["h", "d", "l", "r", "q"]), show_choices=False
            )
            if answer == "h":
                play_wav(recordings.wav(recording))
                is_heard = True
            elif answer == "d" and not is_heard:
                click.echo("hear it first: nobody should give away what they have not heard")
            elif answer == "d":
                if (labels := _labels(word)) is not None:
                    chosen[recording.id] = labels
                break
            elif answer == "q":
                raise click.Abort
            else:
                break
        if answer == "r":
            break
    return chosen


def _labels(word: str) -> Labels | None:
    """Ask for the labels; None if not everybody agrees."""
    if not click.confirm("Does everybody who can be heard in it agree?", False):
        click.echo("left out")
        return None
    said = click.prompt(
        f"Was the wake word said ({word})? y, n, or ? if you are not sure",
        type=click.Choice(list(_SAID)),
        show_choices=False,
    )
    text = click.prompt("What was said (Enter: no transcript)", default="", show_default=False)
    return Labels(_SAID[said], one_line(text).strip() or None)
