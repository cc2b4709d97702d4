"""Prints rows for people or programs, the same way in every command that lists something."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from host_tools.receiver.printable import one_line, plain


def say(as_json: bool, facts: Mapping[str, Any], sentence: str) -> None:
    """Print one object for programs, or one sentence for people."""
    click.echo(json.dumps(facts) if as_json else one_line(sentence))


def show(
    as_json: bool, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], what: str
) -> None:
    """Print a table (title -> field) of `what`, or all fields as JSON, one object a line."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    if not rows:
        click.echo(f"no {what}")
        return
    cells = [[one_line(plain(row[field])) for field in columns.values()] for row in rows]
    lines = [list(columns), *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())
