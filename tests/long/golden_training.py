"""Measure trained models beside a shipped one on recordings of people: the table of docs/train.md.

    .venv/bin/python tests/long/golden_training.py --positive DIR --negative DIR MODEL ...

MODEL is a name (`earnest models`) or a .tflite with its manifest beside it.  Half a second of
silence is put after every positive.  Uses what `earnest evaluate` uses, and nothing else.

    .venv/bin/python tests/long/golden_training.py --held-out CLIPS MODEL ...

measures on synthetic speakers alone, those that are held out in the clips of a training run, in
scenes as its report has them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from host_tools.evaluation.cache import Cache
from host_tools.evaluation.engine import choose
from host_tools.evaluation.folders import audio_files
from host_tools.evaluation.grid import Grid, Point, count
from host_tools.evaluation.intervals import poisson, wilson
from host_tools.evaluation.measure import Job, Measured, executor, measure_all
from host_tools.evaluation.recommend import manifest_value
from host_tools.models.catalog import available_models, find_model
from host_tools.places import MADE
from host_tools.progress import no_progress

PAD_MS = 500
WINDOW, CUTOFFS = 5, (0.80, 0.90, 0.94)
LIMITS = (1.0, 0.5)  # FA/h


def fewest_missed(grid: Grid, limit: float, window: int | None = None) -> Point | None:
    """The setting with the fewest misses within a limit of FA/h on these very files."""
    points = [p for p in grid.points.values() if window in (None, p.window)]
    fitting = [p for p in points if p.false_accepts <= limit * grid.hours]
    return min(fitting, key=lambda p: (p.missed, p.false_accepts, p.window), default=None)


def setting(point: Point) -> str:
    return f"window {point.window}, cutoff {manifest_value(point.cutoff):.3g}"


def cells(grid: Grid, point: Point) -> str:
    """Misses and false accepts of one setting, both with their 95 % interval."""
    low, high = wilson(point.missed, grid.positives) or (0.0, 1.0)
    few, many = poisson(point.false_accepts, grid.hours) or (0.0, 0.0)
    return (
        f"{100 * point.missed / grid.positives:.1f} % ({100 * low:.1f} to {100 * high:.1f}), "
        f"{point.missed} of {grid.positives} | "
        f"{point.false_accepts / grid.hours:.2f} ({few:.2f} to {many:.2f}), {point.false_accepts}"
    )


def rows(name: str, grid: Grid) -> list[str]:
    """The lines of one model's table."""
    settings = [("own setting", grid.own)]
    settings += [("fixed", grid.at(WINDOW, int(cutoff * 255))) for cutoff in CUTOFFS]
    for limit in LIMITS:
        for window in (WINDOW, None):
            best = fewest_missed(grid, limit, window)
            which = "any window" if window is None else f"window {window}"
            if best is not None:
                settings.append((f"best here at <= {limit:g} FA/h, {which}", best))
    return [f"| {name} | {why} | {setting(p)} | {cells(grid, p)} |" for why, p in settings]


def by_folder(folder: Path, files: list[Path], results: list[Measured]) -> dict[str, float]:
    """Hours in each folder directly below one."""
    hours: dict[str, float] = {}
    for path, result in zip(files, results, strict=True):
        part = path.relative_to(folder.resolve()).parts[0]
        hours[part] = hours.get(part, 0.0) + result.seconds / 3600
    return hours


def synthetic(clips_folder: Path, models: tuple[str, ...]) -> None:
    """Print what the models do on held-out speakers."""
    from host_tools.training import facts, trial_scenes, trials
    from host_tools.training.selection import Setting
    from host_tools.training.stages import Stages

    plan = trial_scenes.TrialPlan(300, 150, 300)
    stages = Stages(MADE / "training")
    folder = trial_scenes.make((clips_folder,), clips_folder, plan, 1, stages, no_progress)
    judging = trial_scenes.load(folder)
    print(
        "| model | setting | missed (95 %) | FA/h, talk and music (95 %) | near words that fire |"
    )
    print("|---|---|---|---|---|")
    for name in models:
        model = find_model(name)
        run, stride = trials.runner(available_models().get(name, Path(name)).read_bytes())
        heard = trials.hear(judging, run, stride)
        for cutoff in (model.cutoff, *(int(each * 255) for each in CUTOFFS)):
            found = facts.collect(heard, Setting(cutoff, model.window), stride)
            texts = ", ".join(f"{each.what} {each.count}/{each.total}" for each in
                              found.near_that_fire[:8])  # fmt: skip
            print(f"| {model.name} | window {model.window}, cutoff {manifest_value(cutoff):.3g} | "
                  f"{found.sides[0].missed} | {found.sides[0].false_accepts} | "
                  f"{found.near}: {texts} |", flush=True)  # fmt: skip


@click.command()
@click.argument("models", nargs=-1, required=True)
@click.option("--held-out", type=click.Path(path_type=Path, exists=True), metavar="CLIPS")
@click.option("--positive", type=click.Path(path_type=Path, exists=True))
@click.option("--negative", type=click.Path(path_type=Path, exists=True))
@click.option("--workers", default=os.cpu_count() or 1)
@click.option("--cache", type=click.Path(path_type=Path), default=MADE / "golden.jsonl")
def command(
    models: tuple[str, ...],
    held_out: Path | None,
    positive: Path | None,
    negative: Path | None,
    workers: int,
    cache: Path,
) -> None:
    """Print the table as Markdown."""
    if held_out is not None:
        synthetic(held_out, models)
        return
    if positive is None or negative is None:
        raise click.UsageError("give --positive and --negative, or --held-out")
    words, others = audio_files((positive,)), audio_files((negative,))
    with Cache(cache) as kept, executor(workers, None) as pool:
        for number, name in enumerate(models):
            model = find_model(name)
            source = available_models().get(name, Path(name)).read_bytes()
            engine = choose(source, str(words[0]))
            jobs = [Job(str(path), source, PAD_MS, engine) for path in words]
            jobs += [Job(str(path), source, 0, engine) for path in others]
            measured = measure_all(jobs, kept, pool, lambda job: None)
            good = [[measured[job] for job in part if not measured[job].problem]
                    for part in (jobs[: len(words)], jobs[len(words) :])]  # fmt: skip
            grid = count(*good, model)
            if not number:
                hours = by_folder(negative, others, [measured[job] for job in jobs[len(words) :]])
                told = ", ".join(f"{part} {amount:.2f} h" for part, amount in hours.items())
                print(f"{grid.positives} positives, {grid.hours:.2f} h of negatives: {told}\n")
                print("| model | | setting | missed (95 %) | FA/h (95 %) |\n|---|---|---|---|---|")
            print("\n".join(rows(model.name, grid)), flush=True)


if __name__ == "__main__":
    sys.exit(command())
