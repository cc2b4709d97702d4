"""`earnest simulate`: the real firmware, in the real MicroPython, on audio files."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from host_tools import micropython
from host_tools.audio.effects import NOISE_COLOURS, Microphone, parse_drop
from host_tools.board.definition import load_board
from host_tools.commands.options import json_option
from host_tools.errors import HostToolError
from host_tools.models.catalog import DEFAULT_MODEL, ModelFile, find_model
from host_tools.progress import bar
from host_tools.simulation import scenario
from host_tools.simulation.batch import MAX_JOBS, in_order
from host_tools.simulation.result import Result
from host_tools.simulation.runner import MAX_MODELS, Settings
from host_tools.simulation.speaker import read_reply
from host_tools.simulation.text import missing_answer_text, print_result

if TYPE_CHECKING:
    from rich.console import Console

JSON_VERSION = 1
MAX_CONFIG_BYTES = 4096
NO_SPEAKER = "this board has no loudspeaker: it cannot say the answer"
BAD_INPUT = 2
NOT_RECEIVED = 1

EPILOG = """\b
Examples:
  earnest simulate recording.wav
  earnest simulate a.wav b.flac --model hey_jarvis --model okay_nabu
  earnest simulate recording.wav --trace out.jsonl --plot out.png
  earnest simulate recording.wav --noise-db 10 --noise pink --seed 7
  earnest simulate recording.wav --gain-db -20 --drop 64@1500
  earnest simulate recording.wav --scenario presses.json --receiver --plot out.png
  earnest simulate recording.wav --reply answer.wav --speaker heard.wav
  earnest simulate recording.wav --receiver --answers --speaker answer.wav
  earnest simulate recording.wav --board ONJU_VOICE_V3 --scenario switch.json
  earnest simulate *.wav --json -j 4

Exit status: 0 when every file ran, with a detection or without; 1 when a receiver did not get
exactly what was sent; 2 when any input was bad (the others still run); 130 after Ctrl-C.
docs/simulate.md describes scenarios, docs/trace.md the trace's format.
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
@click.option(
    "--trace", "trace_path", metavar="FILE", help="Write the trace to FILE; - is stdout."
)
@click.option("--trace-features", is_flag=True, help="Add every feature slice to the trace.")
@click.option(
    "--plot", "plot_path", type=Path, metavar="FILE", help="Draw a plot: .png, .svg or .pdf."
)
@click.option(
    "--speaker",
    "speaker_path",
    type=Path,
    metavar="OUT.wav",
    help="Write what the loudspeaker played: as long as the audio, silent elsewhere.",
)
@json_option
@click.option("--gain-db", type=float, default=0.0, help="Microphone gain in dB.")
@click.option("--noise-db", type=float, metavar="SNR", help="Add noise at this SNR in dB.")
@click.option(
    "--noise",
    "noise_colour",
    type=click.Choice(NOISE_COLOURS),
    default="white",
    help="Colour of the noise. [default: white]",
)
@click.option("--dc", type=int, default=0, help="Microphone DC offset, in sample units.")
@click.option("--clip", type=int, metavar="LEVEL", help="Clip at +-LEVEL, in sample units.")
@click.option(
    "--drop", multiple=True, metavar="MS@MS", help="Drop samples: 64@1500 drops 64 ms at 1500 ms."
)
@click.option("--seed", type=int, default=0, help="Random seed for --noise-db. [default: 0]")
@click.option(
    "--scenario",
    "scenario_path",
    metavar="FILE",
    help="Press mute, ring a timer, cut the power, ...: a JSON file, see docs/simulate.md.",
)
@click.option("--receiver", is_flag=True, help="Send to a real `earnest receive` over TLS.")
@click.option(
    "--reply",
    "reply_path",
    type=Path,
    metavar="FILE",
    help="The receiver answers every stream with this sound, 30 s at most.",
)
@click.option(
    "--answers", is_flag=True, help="With --receiver: recognise each question and answer it."
)
@click.option(
    "--echo",
    "echo_db",
    type=click.FloatRange(max=0),
    metavar="DB",
    help="Let the microphone hear the loudspeaker at this level, 0 being as loud.",
)
@click.option(
    "--config", "config_path", metavar="FILE", help="Use this config.json on the device."
)
@click.option(
    "--board",
    "board_name",
    metavar="BOARD",
    help="Simulate this board's light, button, switch and speaker.",
)
@click.option("--muted", is_flag=True, help="Start muted. [default: listening]")
@click.option(
    "--storage",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep the device's files (mute state, audit log) in this folder.",
)
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(1, MAX_JOBS),
    default=1,
    show_default=True,
    help="Simulate this many files at a time.",
)
def command(
    audio: tuple[str, ...],
    model_names: tuple[str, ...],
    trace_path: str | None,
    trace_features: bool,
    plot_path: Path | None,
    speaker_path: Path | None,
    as_json: bool,
    gain_db: float,
    noise_db: float | None,
    noise_colour: str,
    dc: int,
    clip: int | None,
    drop: tuple[str, ...],
    seed: int,
    scenario_path: str | None,
    receiver: bool,
    reply_path: Path | None,
    answers: bool,
    echo_db: float | None,
    config_path: str | None,
    board_name: str | None,
    muted: bool,
    storage: Path | None,
    jobs: int,
) -> int:
    """Run the whole firmware on AUDIO files and print what it heard, showed and sent.

    Reads WAV, AIFF, AU, CAF, FLAC, Ogg and MP3 files of any sample rate, mono or stereo. The
    options from --gain-db to --drop change the audio as a microphone and its driver would. Without
    --receiver an in-memory receiver takes the streams; then the same input and seed give the same
    trace.
    """
    microphone = Microphone(
        gain_db, noise_db, noise_colour, dc, clip, tuple(map(parse_drop, drop)), seed
    )
    models = _models(model_names)
    if as_json and trace_path == "-":
        raise HostToolError("--json and --trace - both write to stdout", "name a trace file")
    if trace_features and trace_path is None:
        raise HostToolError("--trace-features needs a trace", "add --trace FILE")
    if plot_path is not None:
        from host_tools.simulation import plot

        plot.check_path(plot_path)
        _check_folder(plot_path)
    if speaker_path is not None:
        if speaker_path.suffix.lower() != ".wav":
            raise HostToolError(f"{speaker_path} would be a WAV file", "name it OUT.wav")
        _check_folder(speaker_path)
    if storage is not None and len(audio) > 1:
        raise HostToolError(
            "--storage is the disk of one device, and there are several files",
            "give one audio file",
        )
    events = scenario.read(scenario_path) if scenario_path is not None else ()
    board = load_board(board_name) if board_name is not None else None
    if board is not None:
        scenario.require_board(events, board)
    if receiver:
        scenario.require_real_receiver(events)
    if answers and reply_path is not None:
        raise HostToolError("--answers does not go with --reply", "a stream has one answer")
    if answers and not receiver:
        raise HostToolError("--answers needs a real receiver", "add --receiver")
    settings = Settings(
        models,
        microphone,
        with_features=trace_features or plot_path is not None,
        scenario=events,
        config=_config(config_path),
        config_name=config_path or "the configuration",
        muted=muted,
        with_receiver=receiver,
        answers=answers,
        storage=storage,
        board=board,
        reply=read_reply(reply_path) if reply_path is not None else None,
        echo_db=echo_db,
    )
    micropython.require_native_emitter()
    failed: list[dict[str, str]] = []
    results: list[Result] = []
    with ExitStack() as stack:
        sink = _open_trace(trace_path, stack)
        out = None if as_json else _console(trace_path == "-")
        runs = stack.enter_context(in_order(audio, settings, sink, trace_features, jobs, bar))
        for number, name in enumerate(audio):
            try:
                result = next(runs)()
                if plot_path is not None:
                    plotted = _output_path(plot_path, name, number, len(audio))
                    plot.draw(result, plotted)
                if speaker_path is not None:
                    written = _output_path(speaker_path, name, number, len(audio))
                    result.played.write(written, result.samples)
            except HostToolError as error:
                failed.append({"audio": name, "error": error.message, "hint": error.hint})
                error.show()
                continue
            results.append(result)
            if out is not None:
                print_result(out, result)
                if answers or reply_path is not None:
                    has_speaker = board is None or board.speaker is not None
                    text = missing_answer_text(result) if has_speaker else NO_SPEAKER
                    if text:
                        out.print(f"  {text}", style="yellow")
                if plot_path is not None:
                    out.print(f"  plot: {plotted}")
                if speaker_path is not None:
                    out.print(f"  loudspeaker: {written}")
    if as_json:
        documents = [result.as_json() for result in results]
        click.echo(
            json.dumps({"version": JSON_VERSION, "files": documents, "failed": failed}, indent=2)
        )
    elif out is not None and len(audio) > 1:
        out.print(f"{len(results)} of {len(audio)} files simulated, {len(failed)} failed")
    if failed:
        return BAD_INPUT
    return 0 if all(result.streams.are_as_received for result in results) else NOT_RECEIVED


def _console(on_stderr: bool) -> Console:
    from rich.console import Console

    return Console(stderr=on_stderr, highlight=False, markup=False, soft_wrap=True)


def _config(path: str | None) -> dict[str, Any]:
    """Return the fields of a config.json; the device itself checks them."""
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


def _models(names: tuple[str, ...]) -> tuple[ModelFile, ...]:
    names = names or (DEFAULT_MODEL,)
    if len(names) > MAX_MODELS:
        raise HostToolError(f"{len(names)} models are too many", f"give at most {MAX_MODELS}")
    models = tuple(find_model(name) for name in names)
    found = [model.name for model in models]
    if len(set(found)) < len(found):
        raise HostToolError(
            f"two models share a name: {', '.join(found)}", "give each another file name"
        )
    return models


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


def _output_path(path: Path, audio: str, number: int, count: int) -> Path:
    """Return the path as given; with several files, with the number and name of each in it."""
    if count == 1:
        return path
    return path.with_name(f"{path.stem}-{number + 1}-{Path(audio).stem}{path.suffix}")
