"""`earnest models`: list the available wake-word models and their facts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import click

from host_tools.models.build import convert_model
from host_tools.models.catalog import (
    available_models,
    known_models,
    read_manifest,
    read_tflite,
)
from host_tools.models.pins import read_known_models

COLUMNS = (
    *("model", "wake word", "licence", "MACs", "every ms", "cutoff", "window"),
    *("file bytes", "RAM bytes"),
)
UNKNOWN_ORIGIN = "unknown: not the file this project was tested with"
OWN_LICENCE, OWN_ORIGIN = "your own", "trained here: earnest train"


def describe() -> list[dict[str, Any]]:
    """Return one entry for each model, with its licence where its SHA-256 is known."""
    provenance = {entry["sha256"]: entry for entry in read_known_models()}
    shipped = known_models()
    entries = []
    for name, path in available_models().items():
        source, manifest = read_tflite(path), read_manifest(path.with_suffix(".json"))
        converted = convert_model(source, manifest)
        digest = hashlib.sha256(source).hexdigest()
        known = provenance.get(digest)
        unknown = ("unknown", UNKNOWN_ORIGIN) if name in shipped else (OWN_LICENCE, OWN_ORIGIN)
        entries.append(
            {
                "name": name,
                "wake_word": converted.manifest.wake_word,
                "author": manifest.get("author", ""),
                "languages": manifest.get("trained_languages", []),
                "licence": known["licence"] if known else unknown[0],
                "origin": known["origin"] if known else unknown[1],
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

    Four come with the Python package pymicro-wakeword; your own words follow them (earnest
    train). Any other microWakeWord v2 model can be given as a file. Use a model by its name:

    \b
      earnest convert hey_jarvis
      earnest simulate recording.wav --model hey_jarvis
    """
    entries = describe()
    if as_json:
        click.echo(json.dumps(entries, indent=2))
        return
    for line in table(entries):
        click.echo(line)


def table(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of a table: one model each, numbers to the right."""
    rows = [COLUMNS]
    for entry in entries:
        rows.append(
            (
                entry["name"],
                entry["wake_word"],
                entry["licence"],
                f"{entry['macs_per_inference']:,}",
                f"{10 * entry['stride']}",
                f"{entry['probability_cutoff']:g}",
                f"{entry['sliding_window_size']}",
                f"{entry['bytes']:,}",
                f"{entry['ram_bytes']:,}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths, strict=False)]
        cells += [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        yield "  ".join(cells)
