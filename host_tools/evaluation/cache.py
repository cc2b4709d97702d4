"""Keep what `earnest evaluate` has measured as JSON lines that are only ever appended.

A run that was interrupted leaves at worst a damaged last line, which is skipped and measured
again.  Probabilities are stored as they are, so any cutoff and window can be tried afterwards.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from pathlib import Path
from types import TracebackType

from host_tools.errors import HostToolError


class Cache:
    """Key to (seconds of audio, probabilities as bytes); a context that holds its file open."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.damaged_lines = 0
        self._found: dict[str, tuple[float, bytes]] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
        except OSError as error:
            raise HostToolError(
                f"{path}: {error.strerror}", "name another file: --cache FILE"
            ) from error
        self._file.seek(0)
        line = b"\n"
        for line in self._file:
            self._read(line)
        if not line.endswith(b"\n"):
            self._file.write(b"\n")

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> tuple[float, bytes]:
        return self._found[key]

    def add(self, key: str, seconds: float, probabilities: bytes) -> None:
        """Keep one result; it is in the file when this returns."""
        packed = base64.b64encode(zlib.compress(probabilities)).decode()
        line = json.dumps({"key": key, "seconds": seconds, "probabilities": packed})
        self._file.write(line.encode() + b"\n")
        self._file.flush()
        self._found[key] = seconds, probabilities

    def _read(self, line: bytes) -> None:
        try:
            fields = json.loads(line)
            packed = base64.b64decode(fields["probabilities"], validate=True)
            self._found[str(fields["key"])] = float(fields["seconds"]), zlib.decompress(packed)
        except (ValueError, KeyError, TypeError, binascii.Error, zlib.error):
            self.damaged_lines += 1
