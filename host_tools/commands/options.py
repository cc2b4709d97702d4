"""The options that several commands share: one spelling, one meaning and one text each.

A command that has one of these takes it from here: `--port/-p` (the board's serial port),
`--board/-b`, `--data` (the receiver's folder), `--json` and `--yes/-y`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import platformdirs

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Where the receiver keeps its CA, list of devices and recordings unless --data says otherwise:
#: one folder of the user, so that no other current folder makes a second CA.
DEFAULT_DATA = platformdirs.user_data_path("earnest", appauthor=False)

port_option = click.option(
    "--port",
    "-p",
    metavar="PORT",
    help="Serial port of the board. [default: auto, the only board on USB]",
)
board_option = click.option(
    "--board",
    "-b",
    "board_name",
    required=True,
    metavar="BOARD",
    help="Name of the board: a folder of boards/.",
)
known_board_option = click.option(
    "--board",
    "-b",
    "board_name",
    metavar="BOARD",
    help="Name of the board: a folder of boards/. [default: as installed before]",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on stdout.")
yes_option = click.option(
    "--yes", "-y", "is_sure", is_flag=True, help="Do not ask for confirmation."
)


def port_instead(what: str) -> Callable[[_Command], _Command]:
    """`--port` of a command that does not need a board: it says `what` it does with one."""
    return click.option(
        "--port",
        "-p",
        metavar="PORT",
        help=f"{what} the board on this port (auto: the only board on USB).",
    )


def data_option(command: _Command) -> _Command:
    """Add `--data`, the receiver's folder, as the argument `data`."""
    return click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        default=lambda: DEFAULT_DATA,
        help="The receiver's folder: its CA, list of devices and recordings. "
        f"[default: {DEFAULT_DATA}]",
    )(command)
