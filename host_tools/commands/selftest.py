"""`earnest selftest`: every part of a device tested, with a reason for each result."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from host_tools import micropython
from host_tools.board.answers import TestResult
from host_tools.board.console import run
from host_tools.board.raw_repl import DeviceError
from host_tools.board.serial_link import SerialLink
from host_tools.board.serial_port import LineLostError, LinkError, find_port
from host_tools.commands.options import json_option, port_option
from host_tools.errors import HostToolError
from host_tools.models.known_answers import model_answers

BAD = 1
NAMES = (
    *("memory", "firmware", "kernels", "model", "microphone", "light", "speaker"),
    *("button", "storage", "wifi", "receiver"),
)
#: What a person is told before each of these.
ANNOUNCED = {
    "light": "look at the light: red, green, blue (one colour: three times on)",
    "speaker": "listen: three notes upwards, twice",
    "button": "press the device's button, within 10 seconds",
}
#: What a person is asked after these: (question, reason if so, reason if nobody answers, if not).
ASKED = {
    "light": (
        "did the light show that, in this order?",
        "seen by a person",
        "driven without an error; nobody was asked",
        "a person did not see it: check the light's wire, LIGHT and LIGHT_PINS",
    ),
    "speaker": (
        "did you hear them, without crackling?",
        "heard by a person",
        "played without an error; nobody was asked",
        "a person did not hear it: check the amplifier's wires and supply, SPEAKER_SCK, "
        "SPEAKER_WS, SPEAKER_SD and SPEAKER_ENABLE",
    ),
}
TIMEOUT_S = 60.0
NOBODY_PRESSES = "nobody was asked to press it"

EPILOG = """\b
Examples:
  earnest selftest
  earnest selftest --only kernels --only storage
  earnest selftest --no-person --json     (the light is driven, a chime played, nobody is asked)

\b
The firmware is stopped while it is tested and started again at the end, also after Ctrl-C.
Exit status 1 when a test failed.
"""


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@port_option
@click.option(
    "--only", type=click.Choice(NAMES), multiple=True, help="Run this test only; repeatable."
)
@click.option(
    "--person/--no-person", default=True, help="Ask about the light, the speaker and the button."
)
@json_option
def command(port: str | None, only: tuple[str, ...], person: bool, as_json: bool) -> int:
    """Test memory, installed files, kernels, model, microphone, light, speaker, button, storage,
    Wi-Fi and receiver.

    The kernels compute a known answer on the chip itself, compared bit for bit.  Microphone and
    speaker are not tested while the device is muted.
    """
    console = Console(highlight=False, soft_wrap=True)
    results = []
    with SerialLink(find_port(port)) as link:
        link.soft_reset()  # a stopped application holds the memory that a second model needs
        for result in tests(link, only or NAMES, person):
            results.append(result)
            if not as_json:
                show(result, console)
    is_well = all(result["ok"] is not False for result in results)
    if as_json:
        click.echo(json.dumps({"version": 1, "ok": is_well, "results": results}))
    else:
        failed = sum(result["ok"] is False for result in results)
        skipped = sum(result["ok"] is None for result in results)
        words = "all tests passed" if is_well else f"{failed} of {len(results)} tests failed"
        if skipped:
            words += f", {skipped} not tested"
        console.print(Text(words, style="bold green" if is_well else "bold red"))
    return 0 if is_well else BAD


def tests(link: SerialLink, names: tuple[str, ...], person: bool) -> Iterator[TestResult]:
    """Run them one by one; a test that the device does not survive has failed."""
    for name in names:
        if name == "button" and not person:
            yield {"test": name, "ok": None, "reason": NOBODY_PRESSES}
            continue
        if name in ANNOUNCED and person:
            click.echo(ANNOUNCED[name], err=True)
        arguments = repr(name)
        try:
            if name == "kernels":
                arguments += f", expected={expected(link)!r}"
            result: TestResult = run(link, "selftest", arguments, TIMEOUT_S)["results"][0]
        except LineLostError:
            raise
        except (DeviceError, LinkError) as error:  # it raised, or hangs
            result = {"test": name, "ok": False, "reason": error.message}
        if name in ASKED and result["ok"] and person:
            result = _ask(result)
            person = result["ok"] is not None  # nobody answered: nobody will press a button
        yield result


def expected(link: SerialLink) -> dict[str, int]:
    """Known answers of the models on the board that its own table may lack, by name.

    The model file is fetched and run on this computer, so any model can be tested; a file that is
    damaged has no answer here and fails the device's own check.
    """
    names = link.exec_json(
        "import json, os\nfrom diagnostics import vectors\nr=[]\nfor n in os.listdir('models'):\n"
        " f=open('models/'+n,'rb')\n h=f.read(16)\n f.close()\n"
        " c=h[12] | h[13]<<8 | h[14]<<16 | h[15]<<24\n"
        " if n.endswith('.ewm') and c not in vectors.MODELS: r.append(n)\nprint(json.dumps(r))"
    )
    if not names or not micropython.has_native_emitter():
        return {}
    found = {}
    with tempfile.TemporaryDirectory(prefix="earnest-") as folder:
        for name in names:
            data = link.get("models/" + name)
            if data is None:
                continue
            path = Path(folder) / "model.ewm"
            path.write_bytes(data)
            try:
                found[name.removesuffix(".ewm")] = next(iter(model_answers([path]).values()))
            except HostToolError:
                continue
    return found


def _ask(result: TestResult) -> TestResult:
    """Ask the person whether they saw or heard it."""
    question, perceived, not_asked, not_perceived = ASKED[result["test"]]
    try:
        is_so = click.confirm(question, default=None, err=True)
    except click.Abort as error:
        if not isinstance(error.__context__, EOFError):  # Ctrl-C
            raise
        return {**result, "ok": None, "reason": not_asked}
    if is_so:
        return {**result, "reason": perceived}
    return {**result, "ok": False, "reason": not_perceived}


def show(result: TestResult, console: Console) -> None:
    """A line for people."""
    word, style = {True: ("pass", "green"), False: ("FAIL", "bold red"), None: ("  - ", "yellow")}[
        result["ok"]
    ]
    console.print(Text.assemble((word, style), f"  {result['test']:<10}  {result['reason']}"))
