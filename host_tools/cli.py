"""The `earnest` command: a group whose sub-commands are imported only when they are used."""

from __future__ import annotations

import importlib
import io
import os
import sys
import traceback
from difflib import get_close_matches

import click

from host_tools.errors import FAILED, INTERRUPTED, HostToolError, missing_module
from host_tools.version import installed_version

#: Heading to command to what the list says.  Its module in `commands/` defines `command`.
GROUPS = {
    "Develop and test": {
        "demo": "Simulate a conversation and draw what left the device.",
        "models": "List the available wake-word models.",
        "convert": "Check, convert and prove a .tflite model.",
        "simulate": "Run the real firmware on audio files.",
        "evaluate": "Measure false rejects and false accepts of a model.",
        "train": "Train a wake word of your own from synthetic speech.",
        "bench": "Count instructions and RAM on the chip.",
    },
    "Set up a board": {
        "flash": "Write MicroPython to a board.",
        "install": "Install or update the firmware on a board.",
        "provision": "Set a board's Wi-Fi, receiver, certificate and consent.",
        "erase": "Delete all personal data from a board.",
    },
    "Inspect a board": {
        "status": "Show a board's current state.",
        "monitor": "Watch a board: level, probability, state, light.",
        "mic": "Check a board's microphone.",
        "selftest": "Test every part of a board.",
        "log": "Show a board's newest records and its last error.",
        "audit": "Verify and show a device's audit log.",
        "repl": "Open the MicroPython prompt of a board.",
    },
    "Receive audio": {
        "receive": "Receive what devices send, and nothing without consent.",
        "companion": "Open the receiver's page in the browser.",
        "recordings": "List, play, label, export and delete what was kept.",
        "devices": "List, add and remove the devices that may connect.",
        "donate": "Write an archive of recordings that you heard and give away.",
        "backup": "Back up the receiver's folder to a file.",
        "restore": "Restore the receiver's folder from a back-up.",
    },
}
COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}

EXAMPLES = """\b
Examples:
  earnest models
  earnest simulate recording.wav
  earnest simulate *.flac --model hey_jarvis --trace out.jsonl
  earnest simulate recording.wav --plot out.png --noise-db 10
  earnest install --board ESPRESSIF_DEVKITC_1_N16R8
  earnest status

Every command explains itself: earnest COMMAND --help
"""


class LazyGroup(click.Group):
    """Lists its commands from the table and imports the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            if close := get_close_matches(cmd_name, COMMANDS, 1):
                ctx.fail(f"No such command {cmd_name!r}. Did you mean {close[0]!r}?")
            return None
        module_name = f"host_tools.commands.{cmd_name}"
        try:
            found: click.Command = importlib.import_module(module_name).command
            return found
        except ModuleNotFoundError as error:
            if error.name and error.name != module_name:
                raise missing_module(error.name) from error
            raise HostToolError(
                f"earnest {cmd_name} is not part of this installation",
                "install from a complete clone of the project",
            ) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, group in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(f"{name:10}", text) for name, text in group.items()])


@click.group(cls=LazyGroup, epilog=EXAMPLES, context_settings={"max_content_width": 99})
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(installed_version(), prog_name="earnest")
def command(debug: bool) -> None:
    """Tools for the Earnest firmware: convert wake-word models, simulate the device on audio
    files, measure both; set up and inspect a board; receive what it sends."""


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit: 0, 2 for bad input, 130 after Ctrl-C."""
    print_on_any_console()
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def print_on_any_console() -> None:
    """Print `?` for what a console's code page lacks, which Python would stop at."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def run(arguments: list[str]) -> int:
    """Run `earnest` with these arguments and return its exit status."""
    return run_command(command, arguments, "earnest")


def run_command(
    called: click.Command, arguments: list[str] | None = None, name: str | None = None
) -> int:
    """Run a click command; errors become two lines, Ctrl-C one.  Returns the exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    try:
        result = called.main(given, prog_name=name, standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nstopped", err=True)
        return INTERRUPTED
    except click.ClickException as error:
        if "--debug" in given:
            traceback.print_exc()
        error.show()
        return FAILED
    except ModuleNotFoundError as error:
        if "--debug" in given or not error.name:
            raise
        missing_module(error.name).show()
        return FAILED
    except BrokenPipeError:
        # Whoever read our output has gone, as in `earnest ... | head`; let nothing flush to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
