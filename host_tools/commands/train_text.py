"""What `earnest train` tells before it begins and when it is done."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from host_tools.models.catalog import available_models
from host_tools.places import earnest
from host_tools.training.request import Request

if TYPE_CHECKING:
    from host_tools.training.plan import Plan
    from host_tools.training.run import Trained


def cost(plan: Plan, workers: int, cache: Path) -> str:
    """Return what it will cost, in a sentence."""
    minutes = sum(plan.seconds(workers).values()) / 60
    processes, each = (f"{workers} processes", " each") if workers > 1 else ("1 process", "")
    disk, memory = (size / 1e9 for size in (plan.disk_bytes, plan.memory_bytes))
    return (
        f"It will take about {minutes:.0f} min with {processes} of up to {memory:.1f} GB of "
        f"memory{each}, and {disk:.1f} GB in {cache}."
    )


def model_argument(request: Request, trained: Trained) -> str:
    """Return what `--model` takes: the name, or the file where the name does not find it."""
    tflite = trained.folder / f"{request.name}.tflite"
    found = available_models().get(request.name)
    if found is not None and found.resolve() == tflite.resolve():
        return request.name
    return shlex.quote(str(tflite))


def lines(request: Request, trained: Trained) -> Iterator[str]:
    """Yield what is printed: what it misses, what to do with it."""
    this, _, beside = trained.facts.sides
    setting, model, tool = trained.setting, model_argument(request, trained), earnest()
    yield f"{request.word}: {trained.folder}"
    yield f"  {trained.people_line}"
    yield f"  missed, of held-out synthetic speakers: {this.missed}"
    yield f"  false accepts per hour, of synthetic talk and music: {this.false_accepts}"
    yield f"  {beside.what}: missed {beside.missed}"
    yield (
        f"  cutoff {setting.probability_cutoff:g} over {setting.window} probabilities; "
        "exact: equal to TensorFlow Lite Micro"
    )
    for warning in trained.warnings:
        yield f"  {warning}"
    yield f"read       {trained.folder / 'report.html'}"
    yield f"simulate   {tool} simulate recording.wav --model {model}"
    yield "try aloud  arecord -f S16_LE -r 16000 -c 1 -d 10 recording.wav, then simulate it"
    yield f"measure    {tool} evaluate --model {model} --positive words --negative evenings"
    yield f"install    {tool} install --board BOARD --model {model}"
    yield (
        f"ESPHome    copy {request.name}.tflite and {request.name}.json; micro_wake_word: models: "
        f"- model: {request.name}.json"
    )


def as_json(request: Request, trained: Trained) -> str:
    """Return the same as one line of JSON."""
    fields = {
        "name": request.name,
        "wake_word": request.word,
        "folder": str(trained.folder),
        "model": model_argument(request, trained),
        "probability_cutoff": trained.setting.probability_cutoff,
        "sliding_window_size": trained.setting.window,
        "people": trained.people_line,
        "warnings": trained.warnings,
        "facts": asdict(trained.facts),
    }
    return json.dumps(fields)
