"""Collects the files of this folder for MicroPython: one pytest item per `def test_*`.

The files themselves never run in CPython.  A file may set HEAP_BYTES to a number to get exactly
that heap; otherwise it gets the usual one.  A file that sets NEEDS_MODELS finds the folder of
built_models.py in the environment as EARNEST_TEST_MODELS.
"""

from __future__ import annotations

import ast
import os
from pathlib import Path

import pytest

from host_tools import micropython
from tests.firmware.built_models import models_folder

HERE = Path(__file__).parent
TIMEOUT_S = 300
#: A line of a test that says what it measured, as the fixture `figure` does elsewhere.
FIGURE = "figure: "


class MicroPythonFile(pytest.File):
    """A test file that is read, not imported."""

    def collect(self):
        heap_bytes = micropython.DEFAULT_HEAP_BYTES
        needs_models = False
        names = []
        for node in ast.parse(self.path.read_text(), str(self.path)).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                names.append(node.name)
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HEAP_BYTES":
                heap_bytes = int(ast.literal_eval(node.value))
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "NEEDS_MODELS":
                needs_models = bool(ast.literal_eval(node.value))
        for name in names:
            yield MicroPythonTest.from_parent(
                self, name=name, heap_bytes=heap_bytes, needs_models=needs_models
            )


class MicroPythonTest(pytest.Item):
    """One test function, run in a MicroPython of its own."""

    def __init__(self, *, heap_bytes, needs_models, **keywords):
        super().__init__(**keywords)
        self.heap_bytes = heap_bytes
        self.needs_models = needs_models

    def runtest(self):
        if not micropython.has_native_emitter():
            pytest.skip("this host's MicroPython has no native emitter")
        if self.needs_models:
            os.environ["EARNEST_TEST_MODELS"] = str(models_folder())
        done = micropython.run(
            HERE / "run.py",
            self.path.name,
            self.name,
            heap_bytes=self.heap_bytes,
            timeout_s=TIMEOUT_S,
            folders=(self.path.parent,),
        )
        if done.returncode != 0:
            raise MicroPythonFailure(done.stdout + done.stderr)
        for line in done.stdout.decode().splitlines():
            if line.startswith(FIGURE):
                print(line)
                self.user_properties.append(("figure", line[len(FIGURE) :]))

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, MicroPythonFailure):
            return excinfo.value.args[0].decode(errors="replace")
        return super().repr_failure(excinfo, style)

    def reportinfo(self):
        return self.path, None, f"{self.path.stem}.{self.name} (MicroPython)"


class MicroPythonFailure(Exception):
    """What the failing test printed, as bytes."""


def pytest_pycollect_makemodule(module_path, parent):
    if module_path.parent == HERE and module_path.name.startswith("test_"):
        return MicroPythonFile.from_parent(parent, path=module_path)
    return None
