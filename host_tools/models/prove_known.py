"""Prove the known models against TFLite Micro and pin the files that they convert to.

    python -m host_tools.models.prove_known

On Linux x86-64, after a change of the converter or of the model format; see pins.py.
"""

from __future__ import annotations

import hashlib
import json

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.models.build import convert_model
from host_tools.models.catalog import known_models, read_manifest, read_tflite
from host_tools.models.verify import verify
from host_tools.places import PROVENANCE

INFERENCES = 3000


def proved_pin(name: str, inferences: int = INFERENCES) -> str:
    """Return the SHA-256 of the file that a known model converts to, proved; HostToolError."""
    path = known_models()[name]
    model = convert_model(read_tflite(path), read_manifest(path.with_suffix(".json")))
    proof = verify(model, inferences)
    if not proof.is_exact:
        raise HostToolError(f"{name}: {proof.different} outputs differ from TFLite Micro's")
    return hashlib.sha256(model.data).hexdigest()


def main() -> None:
    """Write the pins into provenance.json, each after its proof."""
    entries = json.loads(PROVENANCE.read_text(encoding="utf-8"))
    for entry in entries:
        entry["converted_sha256"] = proved_pin(entry["name"])
    atomic_file.write(PROVENANCE, (json.dumps(entries, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
