"""`earnest convert`: turn a .tflite wake-word model into a model file, proved exact."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from rich.console import Console

from firmware.wakeword import model_format
from host_tools import atomic_file
from host_tools.commands.options import json_option
from host_tools.errors import HostToolError
from host_tools.models.build import ConvertedModel, convert_model
from host_tools.models.catalog import available_models, read_manifest, read_tflite
from host_tools.models.graph import read_graph
from host_tools.models.manifest import template
from host_tools.models.pins import can_prove, is_pinned, require_pinned
from host_tools.places import IS_CLONE
from host_tools.progress import bar

if TYPE_CHECKING:
    from host_tools.models.verify import Verification

DEFAULT_INFERENCES = 3000


@click.command()
@click.argument("model")
@click.option(
    "--manifest",
    type=click.Path(path_type=Path),
    help="Manifest. [default: MODEL's name with .json]",
)
@click.option("--word", metavar="TEXT", help="Wake word, instead of the manifest's.")
@click.option(
    "--cutoff", type=click.FloatRange(0, 1), help="Probability cutoff, instead of the manifest's."
)
@click.option(
    "--window",
    type=click.IntRange(1, model_format.MAX_WINDOW),
    help="Sliding window (probabilities averaged), instead of the manifest's.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write here. [default: build/models/NAME.ewm in a clone, else NAME.ewm]",
)
@click.option(
    "--inferences",
    type=click.IntRange(0, 10_000_000),
    default=DEFAULT_INFERENCES,
    show_default=True,
    help="Outputs to compare with TFLite; 0 skips the proof.",
)
@json_option
def command(
    model: str,
    manifest: Path | None,
    word: str | None,
    cutoff: float | None,
    window: int | None,
    output: Path | None,
    inferences: int,
    as_json: bool,
) -> None:
    """Check MODEL, convert it, and prove the result against TFLite.

    MODEL is a .tflite file with its microWakeWord v2 manifest beside it, or the name of a known
    model (see `earnest models`). With --word, --cutoff and --window it needs no manifest. What
    the firmware cannot run exactly is refused, with the operator's name and number.

    \b
    Examples:
      earnest convert okay_nabu
      earnest convert hey_glados.tflite --manifest glados.json -o glados.ewm
      earnest convert computer.tflite --word Computer --cutoff 0.9 --window 5
    """
    console = Console(stderr=True)
    path = _tflite_of(model)
    source = read_tflite(path)
    read_graph(source)  # a model of another family is refused before its manifest is asked for
    values = Values(word, cutoff, window)
    converted = convert_model(source, _manifest(manifest, path, values))
    notes = (*converted.manifest.notes, *_other_model(manifest, path))
    for note in notes:
        console.print(f"note: {note}", style="yellow", soft_wrap=True, markup=False)
    proof = None
    if not can_prove():
        require_pinned(converted)
    elif inferences:
        proof = _prove(converted, inferences, console)
    if proof is not None and not proof.is_exact:
        number, got, want = proof.first or (0, 0, 0)
        raise HostToolError(
            f"{proof.different} of {proof.inferences} outputs differ from TFLite; "
            f"the first is number {number}: {got} instead of {want}",
            "nothing was written; please report this model",
        )
    folder = Path("build") / "models" if IS_CLONE else Path()
    target = output or folder / f"{path.stem}.ewm"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic_file.write(target, converted.data)
    except OSError as error:
        raise HostToolError(f"{target}: {error.strerror}", "choose another place: -o") from error
    _report(converted, proof, target, as_json, notes)


def _tflite_of(model: str) -> Path:
    """Return the .tflite of a known model's name, or the path that `model` is."""
    known = available_models()
    path = known.get(model, Path(model))
    if path.suffix != ".tflite" and not path.exists():
        raise HostToolError(
            f"there is no model {model!r}",
            f"name one of {', '.join(known) or 'none'}, or a .tflite file",
        )
    return path


class Values(NamedTuple):
    """What the command line gives instead of a manifest's fields."""

    word: str | None
    cutoff: float | None
    window: int | None


def _manifest(given: Path | None, tflite: Path, values: Values) -> Any:
    """Return the manifest's JSON with the values of the command line put over its own."""
    place = given or tflite.with_suffix(".json")
    if given is None and None not in values and not place.is_file():
        manifest = json.loads(template(""))
    else:
        manifest = read_manifest(place)
    if not isinstance(manifest, dict) or not isinstance(manifest.get("micro"), dict):
        return manifest  # refused with a message of its own
    micro = {"probability_cutoff": values.cutoff, "sliding_window_size": values.window}
    manifest["micro"].update({name: v for name, v in micro.items() if v is not None})
    if values.word is not None:
        manifest["wake_word"] = values.word
    return manifest


def _other_model(given: Path | None, tflite: Path) -> tuple[str, ...]:
    """Return a note where the manifest names another model file."""
    place = given or tflite.with_suffix(".json")
    named = read_manifest(place).get("model") if place.is_file() else None
    if not isinstance(named, str) or not named or Path(named).name == tflite.name:
        return ()
    return (f"the manifest {place} is for {named!r}, not for {tflite.name}",)


def _prove(converted: ConvertedModel, inferences: int, console: Console) -> Verification:
    from host_tools.models.verify import verify

    reported = 0
    with bar(inferences, "count", console) as report:

        def progress(done: int) -> None:
            nonlocal reported
            report("comparing with TFLite", done - reported)
            reported = done

        return verify(converted, inferences, progress)


def _report(
    converted: ConvertedModel,
    proof: Verification | None,
    target: Path,
    as_json: bool,
    notes: tuple[str, ...],
) -> None:
    manifest = converted.manifest
    if as_json:
        report = {
            "output": str(target),
            "wake_word": manifest.wake_word,
            "probability_cutoff": manifest.probability_cutoff,
            "sliding_window_size": manifest.sliding_window_size,
            "stride": converted.stride,
            "source_sha256": hashlib.sha256(converted.source).hexdigest(),
            "sha256": hashlib.sha256(converted.data).hexdigest(),
            "bytes": len(converted.data),
            "arena_bytes": converted.arena_bytes,
            "ram_bytes": converted.ram_bytes,
            "macs_per_inference": converted.macs,
            "ops": converted.ops,
            "inferences": proof.inferences if proof else 0,
            "different": proof.different if proof else 0,
            "notes": notes,
        }
        click.echo(json.dumps(report))
        return
    out = Console(soft_wrap=True)
    out.print(f"[bold]{manifest.wake_word}[/bold]  {target}")
    out.print(
        f"  size       {len(converted.data):,} bytes\n"
        f"  RAM        {converted.ram_bytes:,} bytes on the device: the file and "
        f"{converted.arena_bytes:,} for values and history\n"
        f"  work       {converted.macs:,} MACs per inference, "
        f"one every {converted.stride * 10} ms\n"
        f"  cutoff     {manifest.probability_cutoff} over {manifest.sliding_window_size} "
        "probabilities\n"
        f"  int32      proved for every output channel"
    )
    if proof is None and is_pinned(converted):
        out.print("  proof      made before: this file's SHA-256 is pinned")
    elif proof is None:
        out.print("  proof      skipped")
    else:
        out.print(f"  proof      {proof.inferences} inferences, {proof.different} different")
