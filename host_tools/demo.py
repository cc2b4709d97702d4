"""The demo: someone talks in a room, and the real firmware listens.

Makes speech with the wake word in it, runs the simulation, prints what was said and what was heard
on one time line, and leaves sound, trace and picture in build/.  Started by `make demo`.
"""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from host_tools import audio, cli, micropython, simulation, speech
from host_tools.errors import HostToolError
from host_tools.firmware import ROOT
from host_tools.model_files import DEFAULT_MODEL, find_model
from host_tools.simulate import run_events
from host_tools.simulation import Result, Settings

WAKE_WORDS = "okay naboo"
SENTENCES = [
    "Good morning. The kettle is on.",
    WAKE_WORDS,
    "What is the weather like today?",
    "We talked about this last week, you and I.",
    WAKE_WORDS,
    "Turn the lights off, please.",
]
GAP_S = 0.7
# A detection comes with the end of the word or shortly after it.
LATEST_S = 0.7

Spans = list[tuple[float, float, str]]


@click.command()
@click.option("--folder", type=Path, default=ROOT / "build", help="Where the files go.")
def command(folder: Path) -> int:
    """Say a few sentences with the wake word among them, and show what the firmware hears."""
    from host_tools import plot  # matplotlib is slow to import

    out = Console(highlight=False, markup=False, soft_wrap=True)
    micropython.require_native_emitter()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HostToolError(f"{folder}: {error.strerror}", "choose another --folder") from error
    out.print("1  making speech with espeak-ng")
    samples, spans = speech.conversation(SENTENCES, GAP_S)
    audio.write(folder / "demo.wav", samples)
    out.print(f"2  converting the model {DEFAULT_MODEL}")
    model = find_model(DEFAULT_MODEL)
    out.print("3  running the firmware in MicroPython\n")
    file = audio.open_audio(folder / "demo.wav")
    simulated = simulation.simulate("demo.wav", file, Settings((model,), with_features=True))
    with open(folder / "demo.jsonl", "w", encoding="utf-8", newline="\n") as sink:
        result = run_events(simulated, sink, with_features=False)
    print_time_line(out, spans, result)
    plot.draw(result, folder / "demo.png", tuple(spans), "Earnest hears its wake word")
    out.print(f"\npicture  {shown(folder / 'demo.png')}", style="bold")
    out.print(f"sound    {shown(folder / 'demo.wav')}")
    out.print(f"trace    {shown(folder / 'demo.jsonl')}")
    return 0 if heard_as_said(spans, result) else 1


def print_time_line(out: Console, spans: Spans, result: Result) -> None:
    """What was said and what was heard, in order of time."""
    lines: list[tuple[float, str, str | None]] = [
        (start_s, f"said   {text}", None) for start_s, _, text in spans
    ]
    for event in result.detections:
        words = f"HEARD  {event['model']}, probability {event['probability'] / 255:.2f}"
        lines.append((event["t_ms"] / 1000, words, "bold green"))
    for at_s, words, style in sorted(lines, key=lambda line: line[0]):
        out.print(f"{at_s:7.2f} s  {words}", style=style)
    factor = result.real_time_factor
    out.print(
        f"\n{result.duration_s:.1f} s of sound in {result.wall_s:.2f} s: "
        f"real-time factor {factor:.3f}, {len(result.probabilities[0])} inferences"
    )
    if heard_as_said(spans, result):
        out.print("each wake word was heard, and nothing else", style="bold green")
    else:
        out.print("what was heard is not what was said", style="bold red")


def heard_as_said(spans: Spans, result: Result) -> bool:
    """Whether there is one detection for each wake word, at its end, and none besides."""
    said = [(start_s, end_s) for start_s, end_s, text in spans if text == WAKE_WORDS]
    heard = [event["t_ms"] / 1000 for event in result.detections]
    return len(said) == len(heard) and all(
        start_s < at_s < end_s + LATEST_S
        for (start_s, end_s), at_s in zip(said, heard, strict=True)
    )


def shown(path: Path) -> str:
    """A path as short as it can be."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


if __name__ == "__main__":
    raise SystemExit(cli.run_command(command))
