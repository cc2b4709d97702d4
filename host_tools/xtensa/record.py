"""Records the real firmware's kernel calls on this host, for replay on the Xtensa machine.

Runs the engine in MicroPython, below on_micropython/record_calls.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from host_tools import micropython
from host_tools.errors import HostToolError
from host_tools.xtensa.call_trace import Trace
from host_tools.xtensa.kernels import kernel_modules

HEAP_BYTES = 32 << 20


def record_script(script: Path, *arguments: object, folders: tuple[Path, ...] = ()) -> Trace:
    """Run a MicroPython script with every kernel of the firmware recorded."""
    kernels = ";".join(f"{module}={','.join(names)}" for module, names in kernel_modules().items())
    return record(kernels, script, *arguments, folders=folders)


def record(
    kernels: str, script: Path, *arguments: object, folders: tuple[Path, ...] = ()
) -> Trace:
    """Record the kernels named as record_calls.py wants them: `module=function,...;...`."""
    micropython.require_native_emitter()
    with tempfile.TemporaryDirectory(prefix="earnest-") as folder:
        out = Path(folder) / "calls"
        done = micropython.run(
            micropython.GUESTS / "record_calls.py",
            out,
            kernels,
            script,
            *arguments,
            heap_bytes=HEAP_BYTES,
            folders=folders,
        )
        if done.returncode:
            text = (done.stdout + done.stderr).decode("utf-8", "replace").strip().splitlines()
            raise HostToolError(f"{script.name} failed in MicroPython", "; ".join(text[-3:]))
        return Trace(out)


def record_engine(
    pcm: NDArray[np.int16], models: Sequence[bytes], steps: int | None = None
) -> Trace:
    """Record the engine with these built models on int16 samples (`steps` chunks of 10 ms)."""
    with tempfile.TemporaryDirectory(prefix="earnest-") as name:
        folder = Path(name)
        (folder / "pcm").write_bytes(np.asarray(pcm, "<i2").tobytes())
        paths = []
        for i, model in enumerate(models):
            paths.append(folder / f"{i}.ewm")
            paths[-1].write_bytes(model)
        count = len(pcm) // 160 if steps is None else steps
        script = micropython.GUESTS / "engine.py"
        return record_script(script, "samples", count, folder / "pcm", *paths)
