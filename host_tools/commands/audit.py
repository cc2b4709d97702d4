"""`earnest audit`: show a device's audit log, and what in it was changed or left out."""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from firmware.satellite import audit_record
from host_tools.audit.anchor_check import AnchorCheck
from host_tools.audit.cross_check import CABLE, FILES, CrossCheck, cross_check
from host_tools.audit.device_log import HEAD_NAME, Log, as_document, details, find, read
from host_tools.audit.stream_check import StreamCheck
from host_tools.commands.options import data_option, json_option, port_instead
from host_tools.errors import HostToolError
from host_tools.receiver import receiver_log

BROKEN = 1

EPILOG = """\b
Examples:
  earnest audit copied-from-device/
  earnest audit audit.1.jsonl audit.jsonl audit.head
  earnest audit copied-from-device/ --json
  earnest audit --port auto --export kept/
  earnest audit copied-from-device/ --device kitchen
  earnest audit copied-from-device/ --expect 5f0c...   (a hash noted on an earlier day)
  earnest audit --receiver                             (the receiver's own log)

Exit status: 0 if the hash chain is intact; 1 if anything was changed, left out, moved or cut off,
or if audio left the device that did not come to this receiver; 2 if a file cannot be read or is
not an audit log.
"""

_COLOURS = {
    "mute": "red",
    "wake": "green",
    "stream-start": "blue",
    "stream-end": "blue",
    "speak-start": "cyan",
    "speak-end": "cyan",
    "refused": "yellow",
    "fault": "yellow",
    "dropped": "yellow",
    "torn": "magenta",
    "look": "cyan",
    "delete": "red",
    "withdraw": "yellow",
    "withdraw-asked": "yellow",
    "donate": "blue",
    "sign-in": "green",
    "sign-in-failed": "yellow",
    "set-up": "yellow",
}


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@click.argument("files", nargs=-1, metavar="[FILE...]")
@port_instead("Fetch the log from")
@click.option(
    "--export",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --port: keep the fetched files in this folder.",
)
@click.option("--device", metavar="NAME", help="Name of the device in the receiver's list.")
@click.option(
    "--no-anchors", is_flag=True, help="Do not check the log against the receiver's anchors."
)
@click.option(
    "--receiver",
    "is_receiver",
    is_flag=True,
    help="The receiver's own log: looks at recordings, and deletions.",
)
@data_option
@click.option(
    "--expect", metavar="HASH", help="Require this hash, noted earlier, to be in the log."
)
@json_option
def command(
    files: tuple[str, ...],
    port: str | None,
    export: Path | None,
    device: str | None,
    no_anchors: bool,
    is_receiver: bool,
    data: Path,
    expect: str | None,
    as_json: bool,
) -> int:
    """Verify a device's audit log and show it.

    With --receiver it is the log of the receiver on this computer: who heard, downloaded or
    exported a recording, what was deleted, and which consent was withdrawn.

    With --port the log is fetched from a board, which is stopped meanwhile and then restarted.
    FILE... are the log's files as copied from the device, in any order, or the folder that holds
    them: audit.jsonl, older files such as audit.1.jsonl, and audit.head. Without audit.head,
    records missing at the end cannot be seen.

    While the log grew, the device told its receiver the number and hash of the newest record. If
    that receiver is on this computer, the log is checked against these anchors. The device is the
    board on the port, the one given with --device, or the one whose anchors fit the log.
    Then every stream of the log must be one that this receiver got, with the same bytes. The
    receiver's page shows what was found.
    """
    if expect is not None and not _is_hash(expect.lower()):
        raise HostToolError(f"{expect!r} is not a hash", "a hash has 64 hexadecimal digits")
    if files and port is not None:
        raise HostToolError("give the log files or --port, not both", "earnest audit --help")
    if is_receiver:
        if files or port is not None or device is not None:
            raise HostToolError(
                "--receiver goes with no other log", "name the receiver's folder with --data"
            )
        no_anchors = True
        folder = data / receiver_log.FOLDER
        if not folder.is_dir():
            raise HostToolError(
                f"there is no receiver's log in {data}", "name the receiver's folder with --data"
            )
        files = (str(folder),)
    if not files and port is None:
        raise HostToolError(
            "no audit log given",
            "name the log's folder or files, or fetch the log from a board: --port auto",
        )
    if export is not None and port is None:
        raise HostToolError(
            "--export needs --port", "the files given are on this computer already"
        )
    if no_anchors and device is not None:
        raise HostToolError("give --device or --no-anchors, not both", "earnest audit --help")
    wanted = None if expect is None else expect.lower()
    certificate = None
    if port is None:
        kinds = receiver_log.KINDS if is_receiver else audit_record.KINDS
        log = read(find(files), wanted, kinds)
    else:
        from host_tools.board.audit_fetch import fetched

        with fetched(port, export) as board:
            certificate = board.certificate
            log = read(find((str(board.folder),)), wanted)
    checked = None
    if not no_anchors:
        checked = cross_check(log, data, device=device, certificate=certificate)
        log = checked.log
    anchors = None if checked is None else checked.anchors
    streams = None if checked is None else checked.streams
    if as_json:
        document = as_document(log, anchors)
        document["streams"] = None if streams is None else _streams_document(streams)
        click.echo(json.dumps(document, indent=2))
    else:
        show(log, anchors)
        if streams is not None and log.records:
            show_streams(streams)
    if checked is not None:
        _keep(checked, data, CABLE if port is not None else FILES)
    return BROKEN if log.problems or (streams is not None and streams.problems) else 0


def _keep(checked: CrossCheck, data: Path, source: str) -> None:
    """Keep the result for the page; the check itself is done, whatever the disk says."""
    try:
        checked.keep(data, source)
    except HostToolError as error:
        click.echo(f"not kept for the page: {error.message}", err=True)


def _streams_document(streams: StreamCheck) -> dict[str, Any]:
    return {**asdict(streams), "problems": streams.problems}


def show_streams(streams: StreamCheck) -> None:
    """Print whether what left the device came to this receiver."""
    out = Console(highlight=False, soft_wrap=True)
    for problem in streams.problems:
        out.print(Text(f"NOT THE SAME  {problem}", style="bold red"))
    if not streams.problems:
        text = f"OK: all {streams.sent} streams of this log came to this receiver, same bytes"
        out.print(Text(text, style="bold green"))
    if streams.older:
        out.print(f"{streams.older} streams are older than what this receiver remembers")


def show(log: Log, check: AnchorCheck | None) -> None:
    """Print the records as a table, then what was found."""
    out = Console(highlight=False, soft_wrap=True)
    times = log.times(check)
    is_device = log.kinds is audit_record.KINDS
    has_times = any(time is not None for time in times)
    if log.records:
        table = Table(box=None, pad_edge=False)
        table.add_column("record", justify="right")
        if is_device:
            table.add_column("since start", justify="right")
        if has_times:
            table.add_column("about" if is_device else "when")
        table.add_column("what")
        table.add_column("details")
        for record, time in zip(log.records, times, strict=True):
            colour = _COLOURS.get(record["kind"], "")
            kind = Text(record["kind"], style=colour)
            row = [str(record["seq"])]
            if is_device:
                row.append(_duration(record["t_ms"]))
            if has_times:
                row.append("" if time is None else f"{_local(time):%Y-%m-%d %H:%M:%S}")
            table.add_row(*row, kind, Text(details(record)))
        out.print(table)
    for problem in log.problems:
        place = f"{problem.file} line {problem.line}: " if problem.line else ""
        out.print(Text(f"BROKEN  {place}{problem.what}", style="bold red"))
    if not log.records:
        out.print(Text("the log is empty", style="yellow"))
        return
    if not log.problems:
        text = f"OK: {len(log.records)} records, hash chain intact"
        out.print(Text(text, style="bold green"))
    if log.unconfirmed is not None:
        text = f"record {log.unconfirmed} is not in {HEAD_NAME}: the power was lost as it was "
        out.print(Text(text + "written, or it was added by hand", style="yellow"))
    if not log.has_head:
        out.print(f"{HEAD_NAME} was not given: records missing at the end cannot be seen")
    if check is not None:
        out.print(Text(_anchored(check, not log.problems), style="" if check.newest else "yellow"))
    last = log.records[-1]
    out.print(f"last record {last['seq']}, hash {last['hash']}")
    out.print("note this hash: --expect HASH shows later that this record is still in the log")


def _anchored(check: AnchorCheck, is_intact: bool) -> str:
    """Say what the anchors prove."""
    if check.unchecked is not None:
        return f"not anchored ({check.unchecked}): a rewritten log would look the same"
    if check.newest is None:
        return "not anchored: nothing that the receiver was told is in this log"
    told = f"{_local(check.newest.told_s):%Y-%m-%d %H:%M}"
    text = f"anchored: record {check.newest.seq} is the one of which {check.device} told the "
    text += f"receiver on {told}"
    return text + "; it and all before it in this log are unchanged" * is_intact


def _local(unix_s: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(unix_s)


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def _duration(t_ms: int) -> str:
    seconds, ms = divmod(t_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}.{ms:03}"
