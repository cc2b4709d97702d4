"""`earnest donate`: the owner hears recordings one by one, labels them, and writes an archive."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from host_tools.commands.options import data_option
from host_tools.donation.archive import write_archive
from host_tools.donation.data_card import data_card
from host_tools.donation.review import NotGivenError, Offer, give, given, leave_out, offers
from host_tools.errors import HostToolError
from host_tools.receiver.labels import NOT_SAID, RIGHT, WRONG
from host_tools.receiver.player import play_wav
from host_tools.receiver.printable import one_line
from host_tools.receiver.recordings import Recordings

EPILOG = """\b
Example:
  earnest donate voices.tar

Nothing is uploaded. Until you give the archive away, delete it to take everything back; once it
has left, nobody can call it back, and a withdrawal does not reach it. What you decide is kept
with each recording, also when you stop: go on here, or on the receiver's page.
"""
_ASK = "[h]ear, [d]onate, [l]eave out, leave out the [r]est, [q]uit"
_LABELS = {"r": RIGHT, "w": WRONG, "n": NOT_SAID, "?": None}


@click.command("donate", epilog=EPILOG)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--again", "is_again", is_flag=True, help="Also ask about what was decided before.")
@data_option
def command(file: Path, is_again: bool, data: Path) -> int:
    """Write an archive of recordings for research or training to FILE.

    Offers only those that were kept under `share_for_training`. You hear each one before you can
    donate it, say whether its wake word was right, and write down what was said if you like. The
    archive has random ids, the month, and nothing that names you or a device.
    """
    if file.exists():
        raise HostToolError(f"{file} exists already", "give another name, or remove it")
    with closing(Recordings(data)) as recordings:
        offered = offers(recordings)
        if not offered:
            click.echo("nothing to donate: no recording was kept under share_for_training")
            return 0
        open_ones = [offer for offer in offered if is_again or not offer.is_decided]
        if before := len(offered) - len(open_ones):
            click.echo(f"{_recordings(before)} decided before; --again asks about them, too")
        _review(recordings, open_ones)
        chosen = given(recordings)
        if not chosen:
            click.echo("nothing was chosen, and nothing written")
            return 0
        click.echo(f"\n{data_card(chosen)}")
        click.echo(
            f"{_recordings(len(chosen))} chosen. A voice can be recognised, and once the archive "
            "has left this computer nobody can call it back."
        )
        if not click.confirm(f"Write {file}?", False):
            click.echo("nothing was written")
            return 0
        count = write_archive(recordings, file)
    if (gone := len(chosen) - count) > 0:
        click.echo(f"{_recordings(gone)} withdrawn or deleted meanwhile: not in it")
    if count:
        click.echo(f"wrote {_recordings(count)} to {file}; nothing was uploaded")
    else:
        click.echo("nothing was written")
    return 0


def _recordings(count: int) -> str:
    return f"{count} recording{'' if count == 1 else 's'}"


def _review(recordings: Recordings, offered: list[Offer]) -> None:
    """Let the owner decide on each of these; raises click.Abort on quit."""
    for number, offer in enumerate(offered, 1):
        recording = offer.recording
        word = one_line(recording.wake_word or "unknown wake word")
        seconds = recording.duration_ms / 1000
        click.echo(f"\n{number} of {len(offered)}: {recording.created}, {word}, {seconds:.1f} s")
        answer = ""
        while answer not in ("l", "r"):
            answer = click.prompt(
                _ASK, type=click.Choice(["h", "d", "l", "r", "q"]), show_choices=False
            )
            if answer == "q":
                raise click.Abort
            if answer == "h":
                play_wav(recordings.wav(recording))
                recordings.labels.note_heard(recording)
            elif answer == "d" and _is_settled(recordings, offer, word):
                break
        if answer in ("l", "r"):
            rest = offered[number - 1 :] if answer == "r" else [offer]
            for each in rest:
                leave_out(recordings, each.recording, source="command")
        if answer == "r":
            return


def _is_settled(recordings: Recordings, offer: Offer, word: str) -> bool:
    """Give it with the labels that are asked for, or leave it out if not everybody agrees.

    Returns False while nobody has heard it.
    """
    recording = offer.recording
    if not recordings.labels.of(recording.id).is_heard:
        click.echo("hear it first: nobody should give away what they have not heard")
        return False
    if not click.confirm("Does everybody who can be heard in it agree?", False):
        leave_out(recordings, recording, source="command")
        click.echo("left out")
        return True
    label = click.prompt(
        f"The wake word ({word}): [r]ight, [w]rong: something that sounds like it was said, "
        "[n]ot said, or ? if you are not sure",
        type=click.Choice(list(_LABELS)),
        show_choices=False,
    )
    words = recordings.transcript(recording.id)
    if words is None:
        text = click.prompt("What was said (Enter: no transcript)", default="", show_default=False)
    else:
        click.echo(f"Understood: {one_line(words)}")
        text = click.prompt(
            "What was said (Enter: that; - for no transcript)", default=words, show_default=False
        )
        text = "" if text.strip() == "-" else text
    try:
        give(
            recordings,
            recording,
            _LABELS[label],
            text,
            everybody_agrees=True,
            source="command",
        )
    except NotGivenError as error:
        click.echo(error.message)
    return True
