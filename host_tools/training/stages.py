"""Stages: what a training run has made so far, each in a folder named by the hash of its inputs.

A stage is a number of items, and an item is one file, written whole or not at all.  So a run that
was stopped, by Ctrl-C or by a power loss, goes on at the first item that is missing, and what
comes out is the same.  A stage with the same inputs is made once and used by every later run.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from host_tools import atomic_file
from host_tools.errors import HostToolError
from host_tools.receiver import folder_lock

_INPUTS = "inputs.json"
_DONE = "done.json"
_LOCK = ".lock"
_SPARE_BYTES = 50_000_000


class Stage:
    """One stage: a folder of items under `path`; nothing is there before `making`."""

    def __init__(self, path: Path, inputs: bytes) -> None:
        self.path = path
        self._inputs = inputs

    @property
    def is_done(self) -> bool:
        """Whether the stage was finished, and has as many items as it had then."""
        done = self._done()
        return done is not None and done.get("items") == len(self.items())

    @property
    def sha256(self) -> str:
        """The hash over all items of a finished stage, for the recipe; raises HostToolError."""
        done = self._done()
        if done is None or not self.is_done:
            raise HostToolError(f"{self.path} is not finished", "run `earnest train` again")
        return str(done["sha256"])

    def items(self) -> list[Path]:
        """The files of the items that are there, ordered by name."""
        if not self.path.is_dir():
            return []
        paths = sorted(path for path in self.path.iterdir() if not path.name.startswith("."))
        return [path for path in paths if path.name not in (_INPUTS, _DONE)]

    @contextlib.contextmanager
    def making(self, needed_bytes: int = 0) -> Iterator[Path]:
        """Hold the stage while its items are written; yields its folder.

        Args:
            needed_bytes: the free space that the missing items take at most.

        Raises:
            HostToolError: too little space (nothing was made then), or another process holds it.
        """
        check_space(self.path, needed_bytes)
        self.path.mkdir(parents=True, exist_ok=True)
        with folder_lock.held(self.path / _LOCK, self._taken()):
            for part in self.path.glob(".*.part"):  # of an item that a killed run was writing
                part.unlink()
            if not (self.path / _INPUTS).exists():
                atomic_file.write(self.path / _INPUTS, self._inputs)
            yield self.path

    def finish(self) -> None:
        """Mark the stage as finished with the items that are there; raises HostToolError."""
        whole = hashlib.sha256()
        items = self.items()
        for item in items:
            whole.update(item.name.encode() + b"\0" + hashlib.sha256(item.read_bytes()).digest())
        done = {"items": len(items), "sha256": whole.hexdigest()}
        atomic_file.write(self.path / _DONE, json.dumps(done, indent=1).encode() + b"\n")

    def _done(self) -> dict[str, Any] | None:
        try:
            done = json.loads((self.path / _DONE).read_bytes())
        except (OSError, ValueError):
            return None
        return done if isinstance(done, dict) else None

    def _taken(self) -> HostToolError:
        return HostToolError(
            f"another `earnest train` is working on {self.path}", "wait for it, or stop it"
        )


class Stages:
    """The stages below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str, inputs: Mapping[str, object], version: int) -> Stage:
        """Return the stage for these inputs: a new one, an unfinished one or a finished one.

        Args:
            name: what the stage makes, in a word.
            inputs: everything that its result depends on, as JSON can hold it.
            version: of the code that makes it; a change of the result wants another number.
        """
        told = {"stage": name, "version": version, "inputs": dict(inputs)}
        exact = json.dumps(told, sort_keys=True, ensure_ascii=True, allow_nan=False)
        digest = hashlib.sha256(exact.encode()).hexdigest()[:16]
        readable = json.dumps(told, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
        return Stage(self.root / f"{name}-{digest}", readable.encode())


def check_space(path: Path, needed_bytes: int) -> None:
    """Raise HostToolError when the disk that `path` is to be on has less than this free."""
    there = path
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    if needed_bytes and free < needed_bytes + _SPARE_BYTES:
        raise HostToolError(
            f"too little space on the disk of {path}: "
            f"{(needed_bytes + _SPARE_BYTES) / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free",
            "make room, or name another folder with --cache",
        )


def default_workers() -> int:
    """How many processes make items when nobody says: one for each processor."""
    return os.cpu_count() or 1
