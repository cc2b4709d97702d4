"""Finds every kernel of the firmware: all functions that mpy-cross makes machine code of.

A module `kernels.py` may have a sibling `kernels_xtensa.py` whose assembler
functions take the place of the viper functions of the same name on the chip, and another,
`kernels_vector_xtensa.py`, that take theirs on an ESP32-S3; the viper function
stays as the reference. Nothing is listed by hand, so a new kernel cannot be missed. Assembler
beside a module without viper functions (`walk_xtensa.py`) calls kernels and is none itself.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.shared_firmware import FIRMWARE, LIBRARY_ONLY
from host_tools.xtensa.compile import compile_firmware
from host_tools.xtensa.function_names import machine_code
from host_tools.xtensa.machine import Function, XtensaMachine
from host_tools.xtensa.mpy import from_bytes

VIPER, ASSEMBLER, VECTOR = "viper", "assembler", "vector"
VARIANTS = (VIPER, ASSEMBLER, VECTOR)  # each takes what it lacks from the one before
_ASSEMBLER_SUFFIX, _VECTOR_SUFFIX = "_xtensa", "_vector_xtensa"


@lru_cache(maxsize=4)
def compiled_firmware(folder: Path = FIRMWARE / "wakeword") -> dict[str, bytes]:
    """Return {module name as MicroPython imports it: .mpy file} of the engine below the folder."""
    modules = {}
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(FIRMWARE).as_posix() in LIBRARY_ONLY:
            continue
        parts = path.relative_to(FIRMWARE).with_suffix("").parts
        modules[".".join(p for p in parts if p != "__init__")] = compile_firmware(path)
    return modules


def kernel_modules() -> dict[str, list[str]]:
    """Return {module name: names of its kernels}, assembler modules left out."""
    found = {}
    for module, data in compiled_firmware().items():
        names = list(machine_code(from_bytes(data)))
        if names and not module.endswith(_ASSEMBLER_SUFFIX):
            for name in names:
                if "#" in name:
                    raise HostToolError(
                        f"{module}: a kernel's name is not stored in its .mpy file",
                        "rename it: MicroPython has that word as a built-in string",
                    )
            found[module] = names
    return found


def _variant_of(module: str) -> tuple[str | None, str]:
    """Return (variant, module of the references) of a firmware module; None for no kernels."""
    for suffix, variant in ((_VECTOR_SUFFIX, VECTOR), (_ASSEMBLER_SUFFIX, ASSEMBLER)):
        if module.endswith(suffix):
            reference = module.removesuffix(suffix)
            is_one = reference in kernel_modules() or reference not in compiled_firmware()
            return (variant if is_one else None), reference
    return (VIPER if module in kernel_modules() else None), module


def walkers(machine: XtensaMachine) -> dict[str, Function]:
    """Load the assembler functions that call kernels; the names of `wakeword/walk_xtensa.py`."""
    return machine.load(compiled_firmware()["wakeword.walk_xtensa"])


def kernel_names(variant: str = VIPER) -> list[str]:
    """Return the full names of the kernels that this variant itself has, e.g.
    `wakeword.kernels.dot`.
    """
    viper = [f"{module}.{name}" for module, names in kernel_modules().items() for name in names]
    if variant == VIPER:
        return viper
    own = []
    for module, data in compiled_firmware().items():
        kind, reference = _variant_of(module)
        if kind == variant:
            for name in machine_code(from_bytes(data)):
                full = f"{reference}.{name}"
                if full not in viper:
                    raise HostToolError(f"{full} exists in assembler only, without its reference")
                own.append(full)
    return own


def load_kernels(machine: XtensaMachine, variant: str = VIPER) -> dict[str, Function]:
    """Load all kernels; with ASSEMBLER or VECTOR, those that have one are the assembler or the
    vector functions.
    """
    loaded: dict[str, Function] = {}
    for kind in VARIANTS[: VARIANTS.index(variant) + 1]:
        for module, data in compiled_firmware().items():
            own_kind, reference = _variant_of(module)
            if own_kind == kind:
                for name, function in machine.load(data, vector=kind == VECTOR).items():
                    loaded[f"{reference}.{name}"] = function
    return loaded
