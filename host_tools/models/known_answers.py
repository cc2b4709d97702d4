"""The answers that a right chip gives to the self-test's fixed input.

The front end's come from pymicro-features, another implementation, its tables' from their
formulas; a model's from its file, run in the host's MicroPython.
`python -m host_tools.models.known_answers` writes firmware/diagnostics/vectors.py for the
available models, so that the test also works by hand at the REPL.
"""

from __future__ import annotations

import binascii
import struct
import sys
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import click

from firmware.diagnostics import known_answers
from host_tools import micropython
from host_tools.errors import HostToolError
from host_tools.models import frontend_tables
from host_tools.models.catalog import find_model, known_models
from host_tools.shared_firmware import FIRMWARE

SCRIPT = micropython.GUESTS / "engine.py"
VECTORS = FIRMWARE / "diagnostics" / "vectors.py"

_TEXT = '''"""Known answers of front end and models; made by `python -m host_tools.known_answers`.

Place: `self_test` compares what `known_answers` works out with them.  Models are named
by the CRC-32 in their file's header.  Imports nothing.
"""

TABLES = {tables}
FRONTEND = {frontend}
MODELS = {{
{models}
}}
'''


def frontend_answer() -> int:
    """What `diagnostics.known_answers.frontend_answer` must be, by pymicro-features."""
    from pymicro_features import MicroFrontend

    frontend = MicroFrontend()
    noise = known_answers.Noise(1)
    chunk = bytearray(2 * known_answers.CHUNK_SAMPLES)
    crc = 0
    for number in range(known_answers.CHUNKS):
        known_answers.fill(chunk, noise, known_answers.amplitude_shift(number))
        features = frontend.process_samples(bytes(chunk)).features
        if features:
            values = [round(value * 25.6) for value in features]
            crc = binascii.crc32(struct.pack("<40H", *values), crc)
            crc = binascii.crc32(bytes(min(255, (v * 256 + 333) // 666) for v in values), crc)
    return crc


def tables_answer() -> int:
    """What `diagnostics.known_answers.tables_answer` must be, by the formulas of the tables."""
    contents = {name: data for name, (_, data) in frontend_tables.tables().items()}
    return known_answers.tables_answer(SimpleNamespace(**contents))


def model_answers(paths: Iterable[Path]) -> dict[int, int]:
    """CRC-32 of the file to the known answer, for built models; raises HostToolError."""
    done = micropython.run(SCRIPT, "answers", *paths)
    if done.returncode:
        raise HostToolError(
            f"the model does not run here: {done.stdout.decode(errors='replace')[-200:]}",
            "install it again: earnest install",
        )
    return {int(a): int(b) for a, b in (line.split() for line in done.stdout.splitlines())}


def text() -> str:
    """The content of firmware/diagnostics/vectors.py."""
    found = model_answers(find_model(name).path for name in known_models())
    lines = [f"    {crc}: {answer}," for crc, answer in sorted(found.items())]
    return _TEXT.format(
        tables=tables_answer(), frontend=frontend_answer(), models="\n".join(lines)
    )


if __name__ == "__main__":
    VECTORS.write_text(text())
    click.echo(f"written: {VECTORS}", file=sys.stderr)
