"""Find a model by its name, or as a .tflite with its manifest, or as a built .ewm file.

A .tflite is converted on the way and kept in CACHE, under a name that changes with the
model, its manifest and the converter, so a stale file is never used.
"""

from __future__ import annotations

import hashlib
import importlib
import json
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from firmware.wakeword import model_format
from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.models.manifest import template
from host_tools.places import MADE, WORDS
from host_tools.shared_firmware import FIRMWARE

CACHE = MADE / "models"
DEFAULT_MODEL = "okay_nabu"
MAX_MANIFEST_BYTES = 1 << 20
MAX_TFLITE_BYTES = 16 << 20


@dataclass(frozen=True)
class ModelFile:
    """A built model file and what its header says."""

    name: str  # the file's name without its ending: okay_nabu
    path: Path  # of the .ewm
    wake_word: str
    cutoff: int  # 0..255
    window: int  # probabilities averaged
    stride: int  # slices per inference


def known_models() -> dict[str, Path]:
    """Return name to .tflite (its manifest beside it) of the models in pymicro-wakeword."""
    spec = find_spec("pymicro_wakeword")
    if spec is None or spec.origin is None:
        return {}
    folder = Path(spec.origin).parent / "models"
    return {
        path.stem: path
        for path in sorted(folder.glob("*.tflite"))
        if path.with_suffix(".json").is_file()
    }


def own_models() -> dict[str, Path]:
    """Return name to .tflite (its manifest beside it) of the models that `earnest train` made."""
    return {
        path.stem: path
        for path in sorted(WORDS.glob("*/*.tflite"))
        if path.stem == path.parent.name and path.with_suffix(".json").is_file()
    }


def available_models() -> dict[str, Path]:
    """Return name to .tflite of the known models and the owner's; a known name stays known."""
    known = known_models()
    return known | {name: path for name, path in own_models().items() if name not in known}


def find_model(name_or_path: str) -> ModelFile:
    """Return the built model of that name or file; convert it first where needed.

    Raises HostToolError.
    """
    known = available_models()
    if name_or_path in known:
        return _read_header(name_or_path, _converted(known[name_or_path]))
    path = Path(name_or_path)
    if path.suffix == ".tflite":
        return _read_header(path.stem, _converted(path))
    if path.suffix == ".ewm" or path.is_file():
        return _read_header(path.stem, path)
    raise HostToolError(
        f"there is no model {name_or_path!r}",
        f"name one of {', '.join(known) or 'none'}, or a .tflite or .ewm file",
    )


def _read_header(name: str, path: Path) -> ModelFile:
    data = _read(path, model_format.MAX_FILE_BYTES)
    try:
        header, _ = model_format.check(data)
    except model_format.ModelFormatError as error:
        raise HostToolError(f"{path}: {error}", "convert it again: earnest convert") from error
    return ModelFile(
        name,
        path.resolve(),
        header.wake_word,
        header.probability_cutoff,
        header.sliding_window_size,
        header.stride,
    )


def _converted(tflite: Path) -> Path:
    """Convert `tflite` into the cache, unless it is there; return the path of the .ewm."""
    source = read_tflite(tflite)
    if not tflite.with_suffix(".json").is_file():  # a model of another family needs no manifest
        importlib.import_module("host_tools.models.graph").read_graph(source)
    manifest = read_manifest(tflite.with_suffix(".json"))
    key = hashlib.sha256(converter_digest())
    for part in (source, json.dumps(manifest, sort_keys=True).encode()):
        key.update(hashlib.sha256(part).digest())
    built = CACHE / f"{tflite.stem}-{key.hexdigest()[:16]}.ewm"
    if not built.is_file():
        build = importlib.import_module("host_tools.models.build")
        pins = importlib.import_module("host_tools.models.pins")
        model = build.convert_model(source, manifest)
        if not pins.can_prove():
            pins.require_pinned(model)
        try:
            built.parent.mkdir(parents=True, exist_ok=True)
            atomic_file.write(built, model.data)
        except OSError as error:
            raise HostToolError(f"{built}: {error.strerror}", "is the disk full?") from error
    return built


def read_tflite(path: Path) -> bytes:
    """Return a .tflite file's bytes; HostToolError if it is missing or absurdly large."""
    return _read(path, MAX_TFLITE_BYTES)


def read_manifest(path: Path) -> Any:
    """Return a manifest's parsed JSON; HostToolError if it is missing or not JSON."""
    if not path.is_file():
        raise HostToolError(
            f"{path}: there is no manifest",
            "give --word, --cutoff and --window to convert, or save this there and adapt it: "
            + template(path.stem.replace("_", " ")),
        )
    try:
        return json.loads(_read(path, MAX_MANIFEST_BYTES))
    except (ValueError, RecursionError) as error:
        raise HostToolError(f"{path}: not JSON ({error})", "fix the manifest") from error


@lru_cache(maxsize=1)
def converter_digest() -> bytes:
    """Return the SHA-256 over the converter's own files and the format's definition."""
    digest = hashlib.sha256()
    converter = Path(__file__).parent
    for path in [*sorted(converter.rglob("*.py")), FIRMWARE / "wakeword" / "model_format.py"]:
        digest.update(path.read_bytes())
    return digest.digest()


def _read(path: Path, max_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise HostToolError(
                f"{path}: {size} bytes is too large", f"at most {max_bytes} are read"
            )
        return path.read_bytes()
    except OSError as error:
        raise HostToolError(f"{path}: {error.strerror}", "check the model's name") from error
