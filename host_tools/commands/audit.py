"""`earnest audit`: show a device's audit log, and what in it was changed or left out."""

from __future__ import annotations

import json
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from host_tools.board.audit_log import HEAD_NAME, Log, as_document, details, find, read
from host_tools.commands.options import json_option, port_instead
from host_tools.errors import HostToolError

BROKEN = 1

EPILOG = """\b
Examples:
  earnest audit copied-from-device/
  earnest audit audit.1.jsonl audit.jsonl audit.head
  earnest audit copied-from-device/ --json
  earnest audit --port auto --export kept/
  earnest audit copied-from-device/ --expect 5f0c...   (a hash noted on an earlier day)

Exit status: 0 if the hash chain is intact; 1 if anything was changed, left out, moved or cut off;
2 if a file cannot be read or is not an audit log.
"""

_COLOURS = {
    "mute": "red",
    "wake": "green",
    "stream-start": "blue",
    "stream-end": "blue",
    "refused": "yellow",
    "fault": "yellow",
    "dropped": "yellow",
    "torn": "magenta",
}


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@click.argument("files", nargs=-1, metavar="[FILE...]")
@port_instead("Fetch the log from")
@click.option(
    "--export",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --port: keep the fetched files in this folder.",
)
@click.option("--expect", metavar="HASH", help="A hash noted earlier, which must be in the log.")
@json_option
def command(
    files: tuple[str, ...],
    port: str | None,
    export: Path | None,
    expect: str | None,
    as_json: bool,
) -> int:
    """Verify a device's audit log and show it.

    With --port the log is fetched from a board, which is stopped meanwhile and then restarted.
    FILE... are the log's files as copied from the device, in any order, or the folder that holds
    them: audit.jsonl, older files such as audit.1.jsonl, and audit.head. Without audit.head,
    records missing at the end cannot be seen.
    """
    if expect is not None and not _is_hash(expect.lower()):
        raise HostToolError(f"{expect!r} is not a hash", "a hash has 64 hexadecimal digits")
    if bool(files) == (port is not None):
        raise HostToolError("give the log files or --port, not both", "earnest audit --help")
    if export is not None and port is None:
        raise HostToolError(
            "--export needs --port", "the files given are on this computer already"
        )
    wanted = None if expect is None else expect.lower()
    if port is None:
        log = read(find(files), wanted)
    else:
        from host_tools.board.audit_fetch import fetched

        with fetched(port, export) as folder:
            log = read(find((str(folder),)), wanted)
    if as_json:
        click.echo(json.dumps(as_document(log), indent=2))
    else:
        show(log)
    return BROKEN if log.problems else 0


def show(log: Log) -> None:
    """Print the records as a table, then what was found."""
    out = Console(highlight=False, soft_wrap=True)
    if log.records:
        table = Table(box=None, pad_edge=False)
        table.add_column("record", justify="right")
        table.add_column("since start", justify="right")
        table.add_column("what")
        table.add_column("details")
        for record in log.records:
            colour = _COLOURS.get(record["kind"], "")
            kind = Text(record["kind"], style=colour)
            table.add_row(
                str(record["seq"]), _duration(record["t_ms"]), kind, Text(details(record))
            )
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
    if not log.has_head:
        out.print(f"{HEAD_NAME} was not given: records missing at the end cannot be seen")
    last = log.records[-1]
    out.print(f"last record {last['seq']}, hash {last['hash']}")
    out.print("note this hash: --expect HASH shows later that this record is still in the log")


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def _duration(t_ms: int) -> str:
    seconds, ms = divmod(t_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}.{ms:03}"
