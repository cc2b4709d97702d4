"""recipe.json: everything that a trained word was made of, so that it can be made again.

The same recipe on the same packages makes the same .tflite, byte for byte.  What has no part in
that - the date, the computer, how many processes - is not in it.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from host_tools.training.stages import Stage
from host_tools.training.voices.family import Source
from host_tools.version import installed_version

FORMAT = 1
#: The packages whose version can change the result.
PACKAGES = (
    *("numpy", "scipy", "torch", "onnxruntime", "espeakng-loader"),
    *("pymicro-features", "tflite-micro", "flatbuffers"),
)


def recipe(
    request: Mapping[str, Any],
    plan: Mapping[str, Any],
    stages: Iterable[tuple[str, Stage]],
    counts: Mapping[str, Any],
    sources: Iterable[Source],
    files: Mapping[str, bytes],
) -> bytes:
    """Return the JSON text.

    Args:
        request: what the user asked for: word, spellings, seed ...
        plan: the sizes of every stage.
        stages: (name, finished stage) in order.
        counts: what came out: clips, scenes, seconds.
        sources: of voices, words, texts and music, with their licences.
        files: name to content of what was written.
    """
    fields = {
        "format": FORMAT,
        "made_by": f"earnest {installed_version()}",
        "request": dict(request),
        "plan": dict(plan),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in PACKAGES},
        "stages": {
            name: {"id": stage.path.name, "sha256": stage.sha256} for name, stage in stages
        },
        "counts": dict(counts),
        "sources": [
            {"name": each.name, "origin": each.origin, "licence": each.licence}
            for each in dict.fromkeys(sources)
        ],
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
    return json.dumps(fields, indent=1, ensure_ascii=False).encode() + b"\n"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
