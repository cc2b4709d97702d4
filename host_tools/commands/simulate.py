"""`earnest simulate`: the real firmware, in the real MicroPython, on audio files."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from host_tools import micropython
from host_tools.audio.effects import NOISE_COLOURS, Microphone, parse_drop
from host_tools.audio.files import open_audio
from host_tools.board.definition import load_board
from host_tools.errors import HostToolError
from host_tools.models.catalog import DEFAULT_MODEL, find_model
from host_tools.simulation import runner as simulation
from host_tools.simulation import scenario as script
from host_tools.simulation import trace
from host_tools.simulation.runner import MAX_MODELS, Result, Settings

JSON_VERSION = 1
MAX_CONFIG_BYTES = 4096
BAD_INPUT = 2
NOT_RECEIVED = 1

EPILOG = """\b
Examples:
  earnest simulate recording.wav
  earnest simulate a.wav b.flac --model hey_jarvis --model okay_nabu
  earnest simulate recording.wav --trace out.jsonl --plot out.png
  earnest simulate recording.wav --noise-db 10 --noise pink --seed 7
  earnest simulate recording.wav --gain-db -20 --drop 64@1500
  earnest simulate recording.wav --script presses.json --receiver --plot out.png
  earnest simulate recording.wav --board ONJU_VOICE_V3 --script switch.json
  earnest simulate *.wav --json

Exit status: 0 when every file ran, detection or not; 1 when a receiver did not get exactly what
was sent; 2 when any input was bad (the others still run); 130 after Ctrl-C. Scripts are in
docs/simulate.md, the trace's format is in docs/trace.md.
"""


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@click.argument("audio", nargs=-1, required=True)
@click.option(
    "--model",
    "model_names",
    multiple=True,
    metavar="MODEL",
    help=f"Known name, .tflite or .ewm file; several listen at once. [default: {DEFAULT_MODEL}]",
)
@click.option("--trace", "trace_path", metavar="FILE", help="Write the trace; - is stdout.")
@click.option("--trace-features", is_flag=True, help="Put every feature slice into the trace.")
@click.option("--plot", "plot_path", type=Path, metavar="FILE", help="Draw a .png, .svg or .pdf.")
@click.option("--json", "as_json", is_flag=True, help="Print the results as JSON on stdout.")
@click.option("--gain-db", type=float, default=0.0, help="Gain of the microphone.")
@click.option("--noise-db", type=float, metavar="SNR", help="Add noise this far below the sound.")
@click.option("--noise", "noise_colour", type=click.Choice(NOISE_COLOURS), default="white")
@click.option("--dc", type=int, default=0, help="Offset of the microphone, in sample units.")
@click.option("--clip", type=int, metavar="LEVEL", help="Clip at +-LEVEL, in sample units.")
@click.option("--drop", multiple=True, metavar="MS@MS", help="Lose 64 ms at 1500 ms: 64@1500.")
@click.option("--seed", type=int, default=0, help="Of the noise. [default: 0]")
@click.option("--script", "script_path", metavar="FILE", help="Presses, losses, requests: JSON.")
@click.option("--receiver", is_flag=True, help="Send to a real earnest receive, over real TLS.")
@click.option("--config", "config_path", metavar="FILE", help="The device's config.json.")
@click.option("--board", "board_name", metavar="BOARD", help="Its light, button and switch.")
@click.option("--muted", is_flag=True, help="Start muted. [default: listening]")
@click.option(
    "--storage",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the device's files here: mute state, audit log.",
)
def command(
    audio: tuple[str, ...],
    model_names: tuple[str, ...],
    trace_path: str | None,
    trace_features: bool,
    plot_path: Path | None,
    as_json: bool,
    gain_db: float,
    noise_db: float | None,
    noise_colour: str,
    dc: int,
    clip: int | None,
    drop: tuple[str, ...],
    seed: int,
    script_path: str | None,
    receiver: bool,
    config_path: str | None,
    board_name: str | None,
    muted: bool,
    storage: Path | None,
) -> int:
    """Run the whole firmware on AUDIO files: what it heard, what its light showed, what it sent.

    Reads WAV, FLAC, Ogg and MP3 of any rate, mono or stereo. The options from --gain-db to --drop
    do to the sound what a microphone and its driver do. Without --receiver a perfect receiver in
    memory takes the streams, and the same input and seed give the same trace, byte for byte.
    """
    microphone = Microphone(
        gain_db, noise_db, noise_colour, dc, clip, tuple(map(parse_drop, drop)), seed
    )
    models = _models(model_names)
    if as_json and trace_path == "-":
        raise HostToolError("--json and --trace - both want stdout", "give the trace a file name")
    if trace_features and trace_path is None:
        raise HostToolError("--trace-features has no trace to go into", "add --trace FILE")
    if plot_path is not None:
        from host_tools.simulation import plot

        plot.check_path(plot_path)
        _check_folder(plot_path)
    if storage is not None and len(audio) > 1:
        raise HostToolError("--storage is the disk of one device", "give one audio file")
    events = script.read(script_path) if script_path is not None else ()
    board = load_board(board_name) if board_name is not None else None
    if board is not None:
        script.require_board(events, board)
    settings = Settings(
        models,
        microphone,
        trace_features or plot_path is not None,
        events,
        _config(config_path),
        config_path or "the configuration",
        muted,
        receiver,
        storage,
        board,
    )
    micropython.require_native_emitter()
    failed: list[dict] = []
    results: list[Result] = []
    with ExitStack() as stack:
        sink = _open_trace(trace_path, stack)
        out = Console(
            stderr=as_json or trace_path == "-", highlight=False, markup=False, soft_wrap=True
        )
        for number, name in enumerate(audio):
            try:
                result = _run_one(name, settings, sink, trace_features)
                if plot_path is not None:
                    picture = _picture_path(plot_path, name, number, len(audio))
                    plot.draw(result, picture)
            except HostToolError as error:
                failed.append({"audio": name, "error": error.message, "hint": error.hint})
                error.show()
                continue
            results.append(result)
            if not as_json:
                print_result(out, result)
                if plot_path is not None:
                    out.print(f"  picture   {picture}")
    if as_json:
        documents = [result.as_json() for result in results]
        click.echo(
            json.dumps({"version": JSON_VERSION, "files": documents, "failed": failed}, indent=2)
        )
    elif len(audio) > 1:
        out.print(f"{len(results)} of {len(audio)} files simulated, {len(failed)} failed")
    if failed:
        return BAD_INPUT
    return 0 if all(result.streams.are_as_received for result in results) else NOT_RECEIVED


def run_events(result_and_events, sink: TextIO | None, with_features: bool) -> Result:
    """Read all events of a simulation, writing the wanted ones to `sink`; returns the result."""
    result, events = result_and_events
    for event in events:
        if sink is not None and (with_features or event["event"] != "features"):
            sink.write(trace.line(event))
    return result


def print_result(out: Console, result: Result) -> None:
    """What happened when, for people."""
    notes = f", {', '.join(result.notes)}" if result.notes else ""
    out.print(f"{result.audio}  ({result.duration_s:.2f} s{notes})", style="bold")
    for event in result.detections:
        out.print(
            f"{event['t_ms'] / 1000:8.2f} s  {event['model']} heard, "
            f"probability {event['probability'] / 255:.2f}",
            style="green",
        )
    if not result.detections:
        out.print("            no wake word heard", style="yellow")
    for name, numbers in result.as_json()["models"].items():
        if not numbers["inferences"]:
            out.print(f"  {name}: too short for one inference")
            continue
        out.print(
            f"  {name}: {numbers['inferences']} inferences, highest mean "
            f"{numbers['highest_mean'] / 255:.2f} at {numbers['highest_mean_t_ms'] / 1000:.2f} s "
            f"(cutoff {numbers['cutoff'] / 255:.2f})"
        )
    print_sent(out, result)
    factor = result.real_time_factor
    speed = (
        f"{1 / factor:.0f} times faster than real time" if factor < 1 else "slower than real time"
    )
    out.print(f"  took {result.wall_s:.2f} s, real-time factor {factor:.3f} ({speed})")


def print_sent(out: Console, result: Result) -> None:
    """What left the device, from second to second, and what did not."""
    for stream in result.streams.all:
        wake_s = stream.wake_ms / 1000
        if not stream.samples:
            out.print(f"{wake_s:8.2f} s  stream opened, nothing sent ({stream.reason})")
            continue
        assert stream.samples_from is not None and stream.samples_to is not None
        words = (
            f"{wake_s:8.2f} s  sent the sound from {stream.samples_from / 16000:.2f} s to "
            f"{stream.samples_to / 16000:.2f} s: {stream.bytes} bytes ({stream.reason})"
        )
        if result.has_receiver:
            words += ", received the same" if stream.is_as_received else ", NOT received as sent"
        out.print(words, style="cyan" if stream.is_as_received else "bold red")
        if result.has_receiver and stream.received is not None:
            got = stream.received
            out.print(f"            receiver: {got['samples']} samples, SHA-256 {got['sha256']}")
    samples_ms = sum(stream.samples for stream in result.streams.all) / 16
    left = f"{result.streams.bytes} bytes, {samples_ms / 1000:.2f} s of it" if samples_ms else None
    out.print(f"  of {result.duration_s:.2f} s of sound, {left or 'nothing'} left the device")


def _config(path: str | None) -> dict:
    """The fields of a config.json; the device itself checks them."""
    if path is None:
        return {}
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise HostToolError(f"{path}: {error.strerror}", "check the file's name") from error
    except UnicodeDecodeError as error:
        raise HostToolError(f"{path}: not UTF-8 text", "give a config.json") from error
    try:
        fields = json.loads(text[: MAX_CONFIG_BYTES + 1])
    except (ValueError, RecursionError) as error:
        raise HostToolError(f"{path}: not JSON", "give a config.json") from error
    if not isinstance(fields, dict):
        raise HostToolError(f"{path}: not a JSON object", "give a config.json")
    return fields


def _models(names: tuple[str, ...]):
    names = names or (DEFAULT_MODEL,)
    if len(names) > MAX_MODELS:
        raise HostToolError(f"{len(names)} models are too many", f"at most {MAX_MODELS} at once")
    models = tuple(find_model(name) for name in names)
    found = [model.name for model in models]
    if len(set(found)) < len(found):
        raise HostToolError(
            f"two models share a name: {', '.join(found)}", "give each another file name"
        )
    return models


def _run_one(name: str, settings: Settings, sink: TextIO | None, with_features: bool) -> Result:
    audio = open_audio(name)
    shown_name = Path(name).as_posix()
    console = Console(stderr=True)
    if not console.is_terminal:
        return run_events(simulation.simulate(shown_name, audio, settings), sink, with_features)
    with _progress(console) as progress:
        task = progress.add_task(Path(name).name, total=audio.duration_s * 1000)
        simulated = simulation.simulate(
            shown_name, audio, settings, lambda t_ms: progress.update(task, completed=t_ms)
        )
        return run_events(simulated, sink, with_features)


def _progress(console: Console) -> Progress:
    """A bar on stderr, gone when done; only for a terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )


def _open_trace(path: str | None, stack: ExitStack) -> TextIO | None:
    if path is None:
        return None
    if path == "-":
        return sys.stdout
    try:
        return stack.enter_context(open(path, "w", encoding="utf-8", newline="\n"))
    except OSError as error:
        raise HostToolError(f"{path}: {error.strerror}", "choose another place") from error


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise HostToolError(f"{path.parent}: no such folder", f"mkdir -p {path.parent}")


def _picture_path(path: Path, audio: str, number: int, count: int) -> Path:
    """The path as given; with several files, the number and name of each in it."""
    if count == 1:
        return path
    return path.with_name(f"{path.stem}-{number + 1}-{Path(audio).stem}{path.suffix}")
