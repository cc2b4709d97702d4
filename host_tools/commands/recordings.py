"""`earnest recordings`: what the receiver kept, to be heard, copied and deleted."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from pathlib import Path

import click

from host_tools.commands.options import data_option, json_option, yes_option
from host_tools.commands.tables import say, show
from host_tools.errors import HostToolError
from host_tools.receiver.devices import DeviceList
from host_tools.receiver.false_wakes import false_wakes
from host_tools.receiver.labels import WAKE_WORDS
from host_tools.receiver.player import play_wav
from host_tools.receiver.recordings import Recordings

EPILOG = """\b
Examples:
  earnest recordings list
  earnest recordings play 3f2a               a unique beginning of the id is enough
  earnest recordings label 3f2a wrong        that was a false wake
  earnest recordings list --false-wakes
  earnest recordings export 3f2a heard.wav
  earnest recordings delete 3f2a 77b0
  earnest recordings delete --unlisted       of devices that were removed from the list
  earnest recordings delete --all

Recordings exist only if a device's owner consented to keeping them, until they expire.
"""


@click.group("recordings", epilog=EPILOG)
def command() -> None:
    """List, play, label, export and delete the recordings that devices consented to keep."""


@command.command("list")
@click.option("--false-wakes", "is_false", is_flag=True, help="Only those labelled as such.")
@data_option
@json_option
def list_recordings(is_false: bool, data: Path, as_json: bool) -> int:
    """List the recordings, the oldest first."""
    names = {device.id: device.name for device in DeviceList(data / "devices.json").all()}
    with closing(Recordings(data)) as recordings:
        found = false_wakes(recordings) if is_false else recordings.all()
    rows = [{**asdict(recording), "name": names.get(recording.device)} for recording in found]
    columns = {"id": "id", "created": "created", "expires": "expires", "ms": "duration_ms"}
    columns |= {"device": "name", "training": "share_for_training", "wake word": "wake_word"}
    show(as_json, rows, columns, "false wakes" if is_false else "recordings")
    return 0


@command.command("play")
@click.argument("id")
@data_option
def play(id: str, data: Path) -> int:
    """Play a recording on this computer."""
    with closing(Recordings(data)) as recordings:
        recording = recordings.find(id)
        play_wav(recordings.wav(recording))
        recordings.labels.note_heard(recording)
    return 0


@command.command("label")
@click.argument("id")
@click.argument("label", type=click.Choice([*WAKE_WORDS, "none"]))
@data_option
@json_option
def label(id: str, label: str, data: Path, as_json: bool) -> int:
    """Say whether a recording's wake word was right.

    right: it was said. wrong: something that sounds like it was said. not-said: nothing like it
    was said. The last two are false wakes, which `earnest evaluate --false-wakes` measures. none
    takes the label back. A label is sealed with its recording, and deleted with it.
    """
    with closing(Recordings(data)) as recordings:
        recording = recordings.find(id)
        recordings.labels.set_wake_word(recording, None if label == "none" else label)
    facts = {"recording": recording.id, "wake_word": None if label == "none" else label}
    say(as_json, facts, f"labelled {recording.id}: {label}")
    return 0


@command.command("export")
@click.argument("id")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@data_option
@json_option
def export(id: str, file: Path, overwrite: bool, data: Path, as_json: bool) -> int:
    """Copy a recording to a WAV file, which does not expire and is not deleted with it."""
    with closing(Recordings(data)) as recordings:
        recording = recordings.find(id)
        recordings.export(recording, file, may_replace=overwrite)
    facts = {"exported": recording.id, "file": str(file)}
    say(as_json, facts, f"copied {recording.id} to {file}; the copy does not expire")
    return 0


@command.command("delete")
@click.argument("ids", metavar="[ID...]", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Delete every recording.")
@click.option(
    "--unlisted", "is_unlisted", is_flag=True, help="Delete those of devices not in the list."
)
@data_option
@json_option
@yes_option
def delete(
    ids: tuple[str, ...],
    is_all: bool,
    is_unlisted: bool,
    data: Path,
    as_json: bool,
    is_sure: bool,
) -> int:
    """Delete recordings by their ids, those of devices that were removed, or all."""
    if bool(ids) + is_all + is_unlisted != 1:
        raise click.UsageError("give the ids of recordings, --unlisted, or --all")
    with closing(Recordings(data)) as recordings:
        if ids:
            found = [recordings.find(id) for id in ids]
        else:
            listed = {device.id for device in DeviceList(data / "devices.json").all()}
            found = [r for r in recordings.all() if is_all or r.device not in listed]
        question = f"Delete {len(found)} recording{'s' if len(found) != 1 else ''} for good?"
        if not is_sure and not click.confirm(question, False, err=as_json):
            say(as_json, {"deleted": 0}, "deleted nothing")
            return 0
        done = recordings.delete_all() if is_all else recordings.delete(found)
    say(as_json, {"deleted": done.count, "left": done.left}, f"deleted {done.count} recordings")
    if done.left:
        raise HostToolError(
            "could not delete:\n  " + "\n  ".join(done.left), "remove what is left by hand"
        )
    return 0
