"""`earnest audit`: shows a copied audit log, and whether anything in it was changed or left out.

The records and their chain are read with the firmware's own `satellite.audit_record`, so the host
and the device cannot disagree; docs/audit.md says what the chain proves and what it does not.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from firmware.satellite import audit_record
from host_tools.commands.options import json_option, port_instead
from host_tools.errors import HostToolError

JSON_VERSION = 1
BROKEN = 1
#: What the device's files are called: the newest `audit.jsonl`, older ones `audit.1.jsonl`...
LOG_PATTERN = "audit*.jsonl"
HEAD_NAME = "audit.head"
MAX_FILE_BYTES = 16 << 20
MAX_FILES = 1000

EPILOG = """\b
Examples:
  earnest audit copied-from-device/
  earnest audit audit.1.jsonl audit.jsonl audit.head
  earnest audit copied-from-device/ --json
  earnest audit --port auto --export kept/
  earnest audit copied-from-device/ --expect 5f0c...   (a hash noted on an earlier day)

Exit status: 0 when the log is whole; 1 when anything was changed, left out, moved or cut off;
2 for files that cannot be read or are no audit log.
"""

#: Fields of every record; what else a record has is its own.
_COMMON = ("seq", "t_ms", "kind", "prev", "hash")
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


@dataclass(frozen=True)
class Problem:
    """What is wrong, and with which line of which file; line 0 is what concerns the whole log."""

    file: str
    line: int
    what: str


@dataclass(frozen=True)
class Log:
    """A log that was read: its records, what is wrong, whether a head was among the files."""

    records: list[dict]
    problems: list[Problem]
    has_head: bool
    files: list[str]


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

    With --port it is fetched from a board, which is stopped meanwhile and started again.
    FILE... are the log's files as copied from the device, in any order, or the folder that holds
    them: audit.jsonl, older ones such as audit.1.jsonl, and audit.head, without which a tail that
    was cut off cannot be seen.
    """
    if expect is not None and not _is_hash(expect.lower()):
        raise HostToolError(f"{expect!r} is no hash", "a hash has 64 hexadecimal digits")
    if bool(files) == (port is not None):
        raise HostToolError("say FILE... or --port", "earnest audit --help")
    if export is not None and port is None:
        raise HostToolError("--export needs --port", "files that are here need no export")
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


def find(names: tuple[str, ...]) -> list[Path]:
    """The files that are named or lie in the folders that are named; raises HostToolError."""
    found: list[Path] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(path.glob(LOG_PATTERN)) + sorted(path.glob(HEAD_NAME))
            if not inside:
                raise HostToolError(
                    f"{name}: no audit log in this folder", f"it would be called {LOG_PATTERN}"
                )
            found += inside
        else:
            found.append(path)
    unique = list(dict.fromkeys(path.resolve() for path in found))
    if len(unique) > MAX_FILES:
        raise HostToolError(f"{len(unique)} files are too many", f"at most {MAX_FILES}")
    return unique


def read(paths: list[Path], expect: str | None = None) -> Log:
    """Read and verify the files of one log; raises HostToolError for what cannot be read."""
    head = None
    logs: list[tuple[int, str, list[bytes]]] = []
    for path in paths:
        data = _bytes(path)
        if path.suffix == ".head":
            if head is not None:
                raise HostToolError("two heads were given", "give the files of one device only")
            head = data
            continue
        lines = audit_record.split(data)
        logs.append((_first_seq(lines), path.name, lines))
    if not logs:
        raise HostToolError("no log was given", f"add the file {LOG_PATTERN}")
    logs.sort(key=lambda log: log[0])
    places = [(name, i + 1) for _, name, lines in logs for i in range(len(lines))]
    everything = [line for _, _, lines in logs for line in lines]
    records, found = audit_record.verify(everything, head)
    if everything and not records:
        raise HostToolError(
            f"{', '.join(name for _, name, _ in logs)}: not one record of an audit log in it",
            "copy audit.jsonl from the device",
        )
    places.append((HEAD_NAME, 0))  # for what is missing at the end
    problems = [Problem(places[at][0], places[at][1], what) for at, what in found]
    if expect is not None and all(record["hash"] != expect for record in records):
        problems.append(Problem("", 0, f"no record has the expected hash {expect}"))
    return Log(records, problems, head is not None, [name for _, name, _ in logs])


def as_document(log: Log) -> dict:
    """For --json."""
    last = log.records[-1] if log.records else None
    return {
        "version": JSON_VERSION,
        "files": log.files,
        "whole": not log.problems,
        "head_checked": log.has_head,
        "last": None if last is None else {"seq": last["seq"], "hash": last["hash"]},
        "problems": [
            {"file": problem.file, "line": problem.line, "what": problem.what}
            for problem in log.problems
        ],
        "records": log.records,
    }


def show(log: Log) -> None:
    """The records as a table, then what was found, for people."""
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
            table.add_row(str(record["seq"]), _time(record["t_ms"]), kind, Text(details(record)))
        out.print(table)
    for problem in log.problems:
        place = f"{problem.file} line {problem.line}: " if problem.line else ""
        out.print(Text(f"BROKEN  {place}{problem.what}", style="bold red"))
    if not log.records:
        out.print(Text("the log is empty", style="yellow"))
        return
    if not log.problems:
        words = f"whole: {len(log.records)} records, nothing changed, left out or moved"
        out.print(Text(words, style="bold green"))
    if not log.has_head:
        out.print(f"{HEAD_NAME} was not given: records cut off at the end would not be seen")
    last = log.records[-1]
    out.print(f"last record {last['seq']}, hash {last['hash']}")
    out.print("note this hash: --expect HASH shows on a later day that it is still in the log")


def details(record: dict) -> str:
    """What a record has of its own, in the order in which the log has it."""
    fields = audit_record.KINDS.get(record.get("kind", ""), ((), ()))
    order = [name for part in fields for name, _ in part]
    own = [name for name in record if name not in _COMMON]
    own.sort(key=lambda name: order.index(name) if name in order else len(order))
    return ", ".join(f"{name} {_plain(record[name])}" for name in own)


def _bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise HostToolError(f"{path}: too large for an audit log", "is it the right file?")
        return path.read_bytes()
    except OSError as error:
        raise HostToolError(
            f"{path}: {error.strerror or error}", "check the name and the folder"
        ) from error


def _first_seq(lines: list[bytes]) -> int:
    """The number where the file begins, as far as any of its lines tells; for sorting only."""
    for i, line in enumerate(lines):
        try:
            return audit_record.decode(line)["seq"] - i
        except audit_record.AuditError:
            continue
    return 1 << 62


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(c in "0123456789abcdef" for c in text)


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _time(t_ms: int) -> str:
    seconds, ms = divmod(t_ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}.{ms:03}"
