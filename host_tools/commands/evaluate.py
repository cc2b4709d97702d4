"""`earnest evaluate`: measure false rejects and false accepts of a model on recordings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from host_tools.errors import HostToolError
from host_tools.evaluation.cache import Cache
from host_tools.evaluation.measure import ENGINE, Job, Measured, engine_id, executor, measure_all
from host_tools.evaluation.report import (
    Curve,
    Point,
    as_json,
    curve_of,
    draw,
    duration,
    hours_needed,
    manifest_value,
    recommend,
    table,
)
from host_tools.models.catalog import DEFAULT_MODEL, ModelFile, find_model, known_models
from host_tools.places import MADE
from host_tools.simulation import plot

AUDIO_ENDINGS = {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".w64"}
DEFAULT_CACHE = MADE / "evaluate.jsonl"
BAD_INPUT = 2

EPILOG = """\b
Examples:
  earnest evaluate --positive words --negative noise
  earnest evaluate --model my.tflite --positive words --negative tv --negative talk --plot out.png
  earnest evaluate --positive words --negative noise --json --target-fa-per-hour 0.1
  earnest evaluate --positive words --negative noise --dask tcp://scheduler:8786

Folders are searched with all that is in them. A positive file holds the wake word once; after
each, half a second of silence is put (--pad-ms), since the word must have passed before the model
is sure, and clips are often cut short. Negative files stay as they are.

Results are kept (see --cache): the same command after an interruption goes on where it
was, and another cutoff or more files cost only what is new. With --dask the workers read the
files by the same names, so they need the same folders and the same earnest.

Exit status: 0 when every file was read; 2 when any was bad (the others still count); 130 after
Ctrl-C.
"""


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@click.option("--positive", "positives", multiple=True, type=Path, metavar="DIR",
              help="Recordings of the wake word, one per file.")  # fmt: skip
@click.option("--negative", "negatives", multiple=True, type=Path, metavar="DIR",
              help="Recordings without it.")  # fmt: skip
@click.option(
    "--model", "model_name", default=DEFAULT_MODEL, show_default=True, metavar="MODEL",
    help="Known name, or a .tflite with its manifest beside it.",
)  # fmt: skip
@click.option("--target-fa-per-hour", "target", default=0.5, show_default=True,
              type=click.FloatRange(0, min_open=True), 
              help="Target false accepts per hour (FA/h).")  # fmt: skip
@click.option("--pad-ms", default=500, show_default=True, type=click.IntRange(0, 10_000),
              help="Silence put after each positive file.")  # fmt: skip
@click.option("--workers", default=os.cpu_count() or 1, type=click.IntRange(1, 1024),
              help="Processes. [default: one a core]")  # fmt: skip
@click.option("--dask", metavar="ADDRESS", help="Spread the files over a Dask cluster.")
@click.option("--cache", "cache_path", type=Path, default=DEFAULT_CACHE, metavar="FILE",
              help="Where results are kept. [default: build/evaluate.jsonl]")  # fmt: skip
@click.option("--plot", "plot_path", type=Path, metavar="FILE", help="Draw a .png, .svg or .pdf.")
@click.option("--json", "json_wanted", is_flag=True, help="Print the results as JSON on stdout.")
def command(
    positives: tuple[Path, ...],
    negatives: tuple[Path, ...],
    model_name: str,
    target: float,
    pad_ms: int,
    workers: int,
    dask: str | None,
    cache_path: Path,
    plot_path: Path | None,
    json_wanted: bool,
) -> int:
    """Measure a model on folders of audio: false reject rate (FRR), false accepts per hour
    (FA/h), and both at every cutoff. Recommends a cutoff for a target of false accepts."""
    if not positives and not negatives:
        raise HostToolError("no audio given", "name folders: --positive DIR --negative DIR")
    if plot_path is not None:
        plot.check_path(plot_path)
    model, content = model_content(model_name)
    name = engine_id()
    groups = [
        [Job(str(path), content, pad, name) for path in audio_files(folders)]
        for folders, pad in ((positives, pad_ms), (negatives, 0))
    ]
    console = Console(stderr=True)
    measured = run([*groups[0], *groups[1]], workers, dask, cache_path, console)
    good, bad = sort_out(groups, measured)
    for path, problem in bad:
        text = problem if path in problem else f"{path}: {problem}"
        console.print(f"skipped: {text}", style="yellow", soft_wrap=True, markup=False)
    curve = curve_of(good[0], good[1], model)
    best = recommend(curve, target)
    if plot_path is not None:
        draw(curve, model, best, target, plot_path)
    if json_wanted:
        skipped = [{"audio": path, "problem": problem} for path, problem in bad]
        report = as_json(curve, model, best, target)
        click.echo(json.dumps({**report, "engine": ENGINE, "pad_ms": pad_ms, "skipped": skipped}))
    else:
        say(curve, model, best, target, pad_ms, Console())
    return BAD_INPUT if bad else 0


def model_content(name: str) -> tuple[ModelFile, bytes]:
    """Return the model's header and its .tflite, which TFLite Micro runs."""
    model = find_model(name)
    source = known_models().get(name, Path(name))
    if source.suffix != ".tflite":
        raise HostToolError(
            f"{source}: TFLite Micro cannot run it", "give the .tflite that it was made from"
        )
    return model, source.read_bytes()


def audio_files(folders: tuple[Path, ...]) -> list[Path]:
    """Return all audio (by its ending) in and below the folders, sorted; a file stays itself."""
    found: set[Path] = set()
    for folder in folders:
        if folder.is_file():
            here = {folder}
        elif folder.is_dir():
            here = {
                path
                for path in folder.rglob("*")
                if path.suffix.lower() in AUDIO_ENDINGS and path.is_file()
            }
        else:
            raise HostToolError(f"{folder}: no such folder", "check the name")
        if not here:
            raise HostToolError(
                f"{folder}: no audio in it", f"files ending in {' '.join(sorted(AUDIO_ENDINGS))}"
            )
        found.update(path.resolve() for path in here)
    return sorted(found)


def run(
    jobs: list[Job], workers: int, dask: str | None, cache_path: Path, console: Console
) -> dict[Job, Measured]:
    """Measure with a progress bar on the terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with (
        Cache(cache_path) as cache,
        Progress(*columns, console=console, transient=True) as progress,
        executor(min(workers, len(jobs)), dask) as pool,
    ):
        if cache.damaged_lines:
            console.print(
                f"{cache.path}: damaged lines, measured again: {cache.damaged_lines}",
                soft_wrap=True,
            )
        task = progress.add_task("measuring", total=len(jobs))
        return measure_all(jobs, cache, pool, lambda job: progress.advance(task))


def sort_out(
    groups: list[list[Job]], measured: dict[Job, Measured]
) -> tuple[list[list[Measured]], list[tuple[str, str]]]:
    """Return ([good positives, good negatives], [(path, problem)])."""
    good = [[measured[job] for job in jobs if not measured[job].problem] for jobs in groups]
    bad = [
        (job.path, measured[job].problem)
        for jobs in groups
        for job in jobs
        if measured[job].problem
    ]
    return good, bad


def say(
    curve: Curve,
    model: ModelFile,
    best: Point | None,
    target: float,
    pad_ms: int,
    console: Console,
) -> None:
    """Print the table and the sentences under it."""
    console.print(
        f"{curve.positives} positives ({pad_ms} ms of silence put after each), "
        f"{duration(curve.hours)} of negatives",
        highlight=False,
    )
    console.print(table(curve, model, best))
    if best is not None:
        console.print(
            f"recommended: probability_cutoff {manifest_value(best.cutoff):g} for at most "
            f"{target:g} false accepts an hour, {best.missed} of {curve.positives} missed"
        )
        if (needed := hours_needed(target)) > curve.hours:
            console.print(
                f"{duration(curve.hours)} of negatives cannot make sure of {target:g} an hour; "
                f"{needed:.1f} h without a false accept would"
            )
    elif not curve.positives or not curve.hours:
        console.print("no recommendation: that needs positives and negatives")
    else:
        console.print(f"no cutoff has at most {target:g} false accepts an hour")
