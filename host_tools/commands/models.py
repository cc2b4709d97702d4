"""`earnest models`: list the available wake-word models and their facts."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from host_tools.models.build import convert_model
from host_tools.models.catalog import known_models, read_manifest, read_tflite
from host_tools.models.pins import read_known_models

UNKNOWN_ORIGIN = "unknown: not the file this project was tested with"


def describe() -> list[dict[str, Any]]:
    """Return one entry for each known model, with its licence where its SHA-256 is known."""
    provenance = {entry["sha256"]: entry for entry in read_known_models()}
    entries = []
    for name, path in known_models().items():
        source, manifest = read_tflite(path), read_manifest(path.with_suffix(".json"))
        converted = convert_model(source, manifest)
        digest = hashlib.sha256(source).hexdigest()
        known = provenance.get(digest)
        entries.append(
            {
                "name": name,
                "wake_word": converted.manifest.wake_word,
                "author": manifest.get("author", ""),
                "languages": manifest.get("trained_languages", []),
                "licence": known["licence"] if known else "unknown",
                "origin": known["origin"] if known else UNKNOWN_ORIGIN,
                "sha256": digest,
                "tflite_bytes": len(source),
                "bytes": len(converted.data),
                "ram_bytes": converted.ram_bytes,
                "macs_per_inference": converted.macs,
                "stride": converted.stride,
                "probability_cutoff": converted.manifest.probability_cutoff,
                "sliding_window_size": converted.manifest.sliding_window_size,
            }
        )
    return entries


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, with origin and SHA-256.")
def command(as_json: bool) -> None:
    """List the available wake-word models.

    They come with the Python package pymicro-wakeword; any other microWakeWord v2 model can be
    given as a file. Use a model by its name:

    \b
      earnest convert hey_jarvis
      earnest simulate recording.wav --model hey_jarvis
    """
    entries = describe()
    if as_json:
        click.echo(json.dumps(entries, indent=2))
        return
    table = Table(box=None, header_style="bold")
    for heading in ("model", "wake word", "author", "licence"):
        table.add_column(heading, no_wrap=True)
    for heading in ("bytes", "MACs", "cutoff"):
        table.add_column(heading, justify="right", no_wrap=True)
    for entry in entries:
        table.add_row(
            entry["name"],
            entry["wake_word"],
            entry["author"],
            entry["licence"],
            f"{entry['bytes']:,}",
            f"{entry['macs_per_inference']:,}",
            f"{entry['probability_cutoff']:g}",
        )
    Console().print(table)
