"""Counts what a chunk costs the whole loop, in the host's MicroPython under callgrind: objects and
call frames on the heap, and instructions without those of the engine's kernels.

on_micropython/loop_cost.py runs the application; callgrind writes its counts at each gc.collect(),
and the parts between two of them are the chunks of one state.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from host_tools import micropython
from host_tools.errors import HostToolError
from host_tools.xtensa.interpreter_cost import (
    VALGRIND_HINT,
    copy_with_empty_kernels,
    has_valgrind,
)

_SCRIPT = micropython.GUESTS / "loop_cost.py"
_STEPS = 50
#: The parts of the profile, counted from 1, that are the chunks of a state.
_PARTS = {"idle": 2, "streaming": 4}
#: The instructions of gc.collect(), which stands at the borders of the parts.
_COLLECTING = r"^cfn=py_gc_collect\ncalls=.*\n\S+ (\d+)$"


@dataclass(frozen=True)
class HeapCalls:
    """What one chunk puts on the heap: call frames, and all other objects.

    instructions: of the host (x86-64), of all that runs on a chunk but the engine's kernels.
    """

    frames: float
    objects: float
    instructions: float


def _calls(profile: str) -> dict[tuple[str, str], int]:
    """Return {(caller, function): calls} of a part of callgrind's output."""
    found: dict[tuple[str, str], int] = {}
    caller = called = ""
    for line in profile.splitlines():
        key, _, value = line.partition("=")
        if key == "fn":
            caller = value.split("'")[0]
        elif key == "cfn":
            called = value.split("'")[0]
        elif key == "calls":
            pair = caller, called
            found[pair] = found.get(pair, 0) + int(value.split()[0])
    return found


def per_chunk(model: Path, steps: int = _STEPS) -> dict[str, HeapCalls]:
    """Return {"idle", "streaming": what a chunk allocates}, with a connection."""
    if not has_valgrind():
        raise HostToolError("valgrind is not installed", VALGRIND_HINT)
    with tempfile.TemporaryDirectory(prefix="earnest-") as folder:
        out = Path(folder) / "out"
        firmware = Path(folder) / "firmware"
        copy_with_empty_kernels(firmware, "wakeword")
        valgrind = ["valgrind", "--tool=callgrind", "--compress-strings=no"]
        valgrind += ["--dump-before=py_gc_collect", f"--callgrind-out-file={out}"]
        done = subprocess.run(
            valgrind + micropython.command(_SCRIPT, steps, model),
            env={
                **micropython.environment(),
                "PYTHONHASHSEED": "0",
                "MICROPYPATH": f"{firmware}:.frozen",
            },
            capture_output=True,
            timeout=300,
            check=False,
        )
        if b"sent " not in done.stdout:
            words = (done.stdout + done.stderr).decode(errors="replace").splitlines()
            raise HostToolError("the loop did not run under valgrind", " ".join(words[-1:]))
        result = {}
        for state, part in _PARTS.items():
            profile = Path(f"{out}.{part}").read_text(encoding="utf-8", errors="replace")
            calls = _calls(profile)
            (total,) = re.findall(r"^summary: (\d+)", profile, re.MULTILINE)
            collecting = re.findall(_COLLECTING, profile, re.MULTILINE)
            loop = int(total) - sum(map(int, collecting))
            everything = sum(n for (_, called), n in calls.items() if called == "gc_alloc")
            frames = calls.get(("fun_bc_call", "m_malloc_maybe"), 0)
            objects = everything - frames
            result[state] = HeapCalls(frames / steps, objects / steps, loop / steps)
        return result
