"""`earnest evaluate`: measure false rejects and false accepts of a model on recordings."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from host_tools.commands.options import data_option, json_option
from host_tools.errors import HostToolError
from host_tools.evaluation import report
from host_tools.evaluation.cache import Cache
from host_tools.evaluation.cross import cross_summary, cross_table, crossing
from host_tools.evaluation.det_plot import draw
from host_tools.evaluation.engine import Engine, choose
from host_tools.evaluation.folders import audio_files
from host_tools.evaluation.grid import count
from host_tools.evaluation.measure import Job, Measured, executor, measure_all
from host_tools.evaluation.recommend import duration, recommend
from host_tools.models.catalog import DEFAULT_MODEL, ModelFile, available_models, find_model
from host_tools.places import MADE
from host_tools.progress import bar
from host_tools.receiver.false_wakes import iter_false_wakes
from host_tools.simulation import plot

DEFAULT_CACHE = MADE / "evaluate.jsonl"
BAD_INPUT = 2

EPILOG = """\b
Examples:
  earnest evaluate --positive words --negative noise
  earnest evaluate --model my.tflite --positive words --negative tv --negative talk --plot det.png
  earnest evaluate --positive words --negative noise --json --target-fa-per-hour 0.1
  earnest evaluate --positive words --negative noise --false-wakes
  earnest evaluate --cross alexa=recordings/alexa --cross hey_mycroft=recordings/mycroft
  earnest evaluate --positive words --negative noise --dask tcp://scheduler:8786

The table has false accepts / words missed for each sliding window and cutoff. A larger window
detects later; the price stands beside it. The recommendation never misses most words. It is more
sensitive than the model's own setting only where these negatives show, with 95 % confidence, that
it stays within the target.

Folders are searched with everything below them. A positive file holds the wake word once. Half a
second of silence is put after each (--pad-ms), since the word must have passed before the model
is sure, and clips are often cut short. Negative files stay as they are.

--false-wakes takes the recordings that your receiver kept and that you labelled as false wakes of
this model, and says how many would wake it again. They are read from the sealed store in memory;
nothing of them is written, and the receiver's log records each. They do not count in the FA/h:
they were chosen because they woke a device, so their seconds say nothing of an hour.

Results are kept (see --cache): the same command continues after an interruption, and
other settings or more files cost only what is new. With --dask the workers read the files by the
same names, so they need the same folders and the same earnest.

Exit status: 0 when every file was read; 2 when any was bad (the others still count); 130 after
Ctrl-C.
"""


@click.command(epilog=EPILOG, context_settings={"max_content_width": 99})
@click.option("--positive", "positives", multiple=True, type=Path, metavar="DIR",
              help="Recordings of the wake word, one per file.")  # fmt: skip
@click.option("--negative", "negatives", multiple=True, type=Path, metavar="DIR",
              help="Recordings without it.")  # fmt: skip
@click.option("--false-wakes", "is_false_wakes", is_flag=True,
              help="Also the false wakes that the receiver kept and you labelled.")  # fmt: skip
@data_option
@click.option("--cross", "crossed", multiple=True, metavar="MODEL=DIR",
              help="Recordings of a model's word, to find words that trigger each other; twice or "
              "more, instead of --positive and --negative.")  # fmt: skip
@click.option("--model", "model_name", default=DEFAULT_MODEL, show_default=True, metavar="MODEL",
              help="Known name, or a .tflite with its manifest beside it.")  # fmt: skip
@click.option("--target-fa-per-hour", "target", default=0.5, show_default=True,
              type=click.FloatRange(0, min_open=True),
              help="Target false accepts per hour (FA/h).")  # fmt: skip
@click.option("--pad-ms", default=500, show_default=True, type=click.IntRange(0, 10_000),
              help="Silence to add after every positive file.")  # fmt: skip
@click.option("--workers", default=os.cpu_count() or 1, type=click.IntRange(1, 1024),
              help="Number of processes. [default: one per core]")  # fmt: skip
@click.option("--dask", metavar="ADDRESS", help="Spread the files over a Dask cluster.")
@click.option("--cache", "cache_path", type=Path, default=DEFAULT_CACHE, metavar="FILE",
              help="Keep results in this file. [default: evaluate.jsonl in build/ of a clone, "
              "else in the user's cache folder]")  # fmt: skip
@click.option("--plot", "plot_path", type=Path, metavar="FILE",
              help="Draw the DET curve as .png, .svg or .pdf.")  # fmt: skip
@json_option
def command(
    positives: tuple[Path, ...],
    negatives: tuple[Path, ...],
    is_false_wakes: bool,
    data: Path,
    crossed: tuple[str, ...],
    model_name: str,
    target: float,
    pad_ms: int,
    workers: int,
    dask: str | None,
    cache_path: Path,
    plot_path: Path | None,
    as_json: bool,
) -> int:
    """Measure a model on folders of audio: false reject rate (FRR) and false accepts per hour
    (FA/h) for every sliding window and cutoff. Recommends a setting for a target FA/h and prints
    the command that applies it."""
    if plot_path is not None:
        plot.check_path(plot_path)
    setting = _Run(workers, dask, cache_path, pad_ms, Console(stderr=True))
    if crossed:
        if positives or negatives or plot_path or is_false_wakes:
            raise HostToolError(
                "--cross does not go with --positive, --negative, --false-wakes or --plot",
                "give --cross MODEL=DIR for each word, and nothing else",
            )
        return _cross(crossed, setting, as_json)
    if is_false_wakes and dask is not None:
        raise HostToolError(
            "--false-wakes does not go with --dask: your recordings stay on this computer",
            "measure them without --dask",
        )
    if not positives and not negatives and not is_false_wakes:
        raise HostToolError("no audio given", "name folders: --positive DIR --negative DIR")
    if plot_path is not None and not (positives and negatives):
        raise HostToolError(
            "a DET curve needs positives and negatives", "give --positive DIR and --negative DIR"
        )
    model, source = model_content(model_name)
    words, others = audio_files(positives), audio_files(negatives)
    false = _false_wakes(data, model.name) if is_false_wakes else {}
    engine = setting.engine(model_name, source, [*words, *others])
    groups = [
        setting.jobs(source, engine, words, pad_ms),
        setting.jobs(source, engine, others, 0),
        [Job(name, source, 0, engine, audio) for name, audio in false.items()],
    ]
    (heard, unheard, woken), bad = setting.measure(groups)
    grid = count(heard, unheard, model)
    best = recommend(grid, target)
    if plot_path is not None:
        draw(grid, model, best.point, target, plot_path)
    again = report.again(woken, model, best) if is_false_wakes else None
    if as_json:
        fields = report.as_json(grid, model, model_name, best, target)
        extra = {"engine": engine.name, "pad_ms": pad_ms, "skipped": _skipped(bad)}
        click.echo(json.dumps({**fields, **extra, "false_wakes": again}))
    elif again is not None and not positives and not negatives:
        _print(report.again_text(again))
    else:
        _print(
            f"{grid.positives} positives ({pad_ms} ms of silence put after each), "
            f"{duration(grid.hours)} of negatives",
            *report.window_table(grid, best),
            *report.summary(grid, model_name, best),
            *([report.again_text(again)] if again else []),
        )
    return BAD_INPUT if bad else 0


def _cross(crossed: tuple[str, ...], setting: _Run, as_json: bool) -> int:
    """Run every model over the recordings of every word; return the exit status."""
    words = [text.partition("=") for text in crossed]
    models = [model_content(name) for name, _, _ in words]
    names = [model.name for model, _ in models]
    if len(words) < 2 or len(set(names)) < len(names) or not all(folder for _, _, folder in words):
        raise HostToolError(
            f"--cross {' --cross '.join(crossed)}: two words or more, each once, are compared",
            "for instance: --cross alexa=recordings/alexa --cross hey_mycroft=recordings/mycroft",
        )
    recordings = [audio_files((Path(folder),)) for _, _, folder in words]
    engines = [
        setting.engine(name, source, own)
        for name, (_, source), own in zip(names, models, recordings, strict=True)
    ]
    pairs = [
        (name, model, setting.jobs(source, engine, paths, setting.pad_ms))
        for name, paths in zip(names, recordings, strict=True)
        for (model, source), engine in zip(models, engines, strict=True)
    ]
    results, bad = setting.measure([jobs for _, _, jobs in pairs])
    found = [
        crossing(name, model, good) for (name, model, _), good in zip(pairs, results, strict=True)
    ]
    if as_json:
        fields = [
            {
                "word": c.word,
                "model": c.model,
                "woken": c.woken,
                "recordings": c.recordings,
            }
            for c in found
        ]
        click.echo(json.dumps({"cross": fields, "skipped": _skipped(bad)}))
    else:
        _print(*cross_table(found), *cross_summary(found))
    return BAD_INPUT if bad else 0


def _false_wakes(data: Path, wake_word: str) -> dict[str, bytes]:
    """Return the samples of the kept false wakes, as bytes, by what they are called."""
    found = {
        f"recording {id}": samples.tobytes() for id, samples in iter_false_wakes(data, wake_word)
    }
    if not found:
        raise HostToolError(
            f"{data} has no recording that is labelled as a false wake of {wake_word}",
            "label one on the receiver's page, or: earnest recordings label ID wrong",
        )
    return found


def _skipped(bad: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"audio": path, "problem": problem} for path, problem in bad]


def _print(*lines: str) -> None:
    for line in lines:
        click.echo(line)


def model_content(name: str) -> tuple[ModelFile, bytes]:
    """Return the model's header and its .tflite, which is what `evaluate` runs."""
    model = find_model(name)
    source = available_models().get(name, Path(name))
    if source.suffix != ".tflite":
        raise HostToolError(
            f"{source}: evaluate cannot run it", "give the .tflite that it was made from"
        )
    return model, source.read_bytes()


@dataclass(frozen=True)
class _Run:
    """How to measure: what the command line says of workers, cache and silence."""

    workers: int
    dask: str | None
    cache_path: Path
    pad_ms: int
    console: Console

    def engine(self, model_name: str, source: bytes, recordings: list[Path]) -> Engine:
        """Return what computes the probabilities; say so when it is the slow one."""
        engine = choose(source, str(recordings[0]) if recordings else None)
        if engine.reason:
            self.console.print(
                f"{model_name}: computed by TFLite Micro, several times slower: {engine.reason}",
                style="yellow", soft_wrap=True, markup=False,
            )  # fmt: skip
        return engine

    def jobs(self, source: bytes, engine: Engine, paths: list[Path], pad_ms: int) -> list[Job]:
        return [Job(str(path), source, pad_ms, engine) for path in paths]

    def measure(
        self, groups: list[list[Job]]
    ) -> tuple[list[list[Measured]], list[tuple[str, str]]]:
        """Return the good results of each group, and (path, problem) of the bad files."""
        measured = self._all(list(dict.fromkeys(job for jobs in groups for job in jobs)))
        good = [[measured[job] for job in jobs if not measured[job].problem] for jobs in groups]
        bad = {job.path: result.problem for job, result in measured.items() if result.problem}
        for path, problem in sorted(bad.items()):
            text = problem if path in problem else f"{path}: {problem}"
            self.console.print(f"skipped: {text}", style="yellow", soft_wrap=True, markup=False)
        return good, sorted(bad.items())

    def _all(self, jobs: list[Job]) -> dict[Job, Measured]:
        """Measure with a progress bar on the terminal."""
        with (
            Cache(self.cache_path) as cache,
            bar(len(jobs), "count", self.console) as report,
            executor(min(self.workers, len(jobs)), self.dask) as pool,
        ):
            if cache.damaged_lines:
                self.console.print(
                    f"{cache.path}: damaged lines, measured again: {cache.damaged_lines}",
                    soft_wrap=True,
                )
            return measure_all(jobs, cache, pool, lambda job: report("measuring", 1))
