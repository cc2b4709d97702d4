"""Write what a run made: all files of the word's folder, or none.

The model is proved before anything is written.  Everything is written beside the folder first and
takes its place with one rename, so a killed run leaves the folder of before.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.models.build import ConvertedModel, convert_model
from host_tools.models.pins import can_prove
from host_tools.progress import OpenProgress
from host_tools.training.selection import Setting

#: What ESPHome reserves for the model: enough for these graphs with TFLM's 64-bit structures.
ARENA_BYTES = 30_000
PROVED_INFERENCES = 3000


def manifest(name: str, wake_word: str, setting: Setting) -> bytes:
    """Return the microWakeWord v2 manifest of a model, as ESPHome and `earnest` read it."""
    fields = {
        "type": "micro",
        "wake_word": wake_word,
        "author": "trained with Earnest",
        "website": "",
        "model": f"{name}.tflite",
        "trained_languages": ["en"],
        "version": 2,
        "micro": {
            "probability_cutoff": setting.probability_cutoff,
            "feature_step_size": 10,
            "sliding_window_size": setting.window,
            "tensor_arena_size": ARENA_BYTES,
            "minimum_esphome_version": "2024.7.0",
        },
    }
    return json.dumps(fields, indent=2, ensure_ascii=False).encode() + b"\n"


def proved(tflite: bytes, manifest_json: bytes, progress: OpenProgress) -> ConvertedModel:
    """Return the model for the firmware, every output compared with TFLite Micro's.

    Raises HostToolError when one differs, or where nothing can be proved.
    """
    from host_tools.models.verify import verify

    converted = convert_model(tflite, json.loads(manifest_json))
    if not can_prove():
        raise HostToolError(
            "the trained model cannot be proved exact here",
            "TFLite Micro exists for Linux x86-64 only: train there",
        )
    done = 0
    with progress(PROVED_INFERENCES) as report:

        def tell(so_far: int) -> None:
            nonlocal done
            report("comparing with TFLite", so_far - done)
            done = so_far

        proof = verify(converted, PROVED_INFERENCES, tell)
    if not proof.is_exact:
        raise HostToolError(
            f"{proof.different} of {proof.inferences} outputs differ from TFLite Micro's",
            "nothing was written; please report this, with the word and the seed",
        )
    return converted


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files as the whole content of a folder; what was in it before is gone.

    Raises HostToolError; the folder is as it was then.
    """
    folder = folder.resolve()  # "." has no name
    part, old = (folder.with_name(f".{folder.name}.{end}") for end in ("part", "old"))
    try:
        for rest in (part, old):
            shutil.rmtree(rest, ignore_errors=True)
        part.mkdir(parents=True)
        for name, content in files.items():
            with (part / name).open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        if folder.exists():
            folder.rename(old)
        part.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        shutil.rmtree(part, ignore_errors=True)
        raise HostToolError(
            f"cannot write {folder}: {error.strerror}", "make room, or name another: --out DIR"
        ) from error


def check_replaceable(folder: Path, name: str) -> None:
    """Raise HostToolError where `folder` holds anything but an earlier result of this word."""
    if not folder.exists():
        return
    usual = {f"{name}{ending}" for ending in (".tflite", ".json", ".ewm")}
    usual |= {"report.html", "recipe.json"}
    if not folder.is_dir():
        raise HostToolError(f"{folder} is a file", "name a new folder: --out DIR")
    if strange := sorted({path.name for path in folder.iterdir()} - usual):
        raise HostToolError(
            f"{folder} has other files in it ({', '.join(strange[:3])})",
            "name an empty or a new folder: --out DIR",
        )
