"""Finds every kernel of the firmware: all functions that mpy-cross makes machine code of.

A module `kernels.py` may have a sibling `kernels_xtensa.py` whose assembler
functions take the place of the viper functions of the same name on the chip; the viper function
stays as the reference. Nothing is listed by hand, so a new kernel cannot be missed. Assembler
beside a module without viper functions (`walk_xtensa.py`) calls kernels and is none itself.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.shared_firmware import FIRMWARE
from host_tools.xtensa.compile import compile_firmware
from host_tools.xtensa.function_names import machine_code
from host_tools.xtensa.machine import Function, XtensaMachine
from host_tools.xtensa.mpy import from_bytes

VIPER, ASSEMBLER = "viper", "assembler"
VARIANTS = (VIPER, ASSEMBLER)
_ASSEMBLER_SUFFIX = "_xtensa"


@lru_cache(maxsize=4)
def compiled_firmware(folder: Path = FIRMWARE / "wakeword") -> dict[str, bytes]:
    """Return {module name as MicroPython imports it: .mpy file} of all below the folder."""
    modules = {}
    for path in sorted(folder.rglob("*.py")):
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


def _is_assembler_of_kernels(module: str) -> bool:
    if not module.endswith(_ASSEMBLER_SUFFIX):
        return False
    namesake = module.removesuffix(_ASSEMBLER_SUFFIX)
    return namesake in kernel_modules() or namesake not in compiled_firmware()


def walkers(machine: XtensaMachine) -> dict[str, Function]:
    """Load the assembler functions that call kernels; the names of `wakeword/walk_xtensa.py`."""
    return machine.load(compiled_firmware()["wakeword.walk_xtensa"])


def kernel_names(variant: str = VIPER) -> list[str]:
    """Return the full names of the kernels in this variant, e.g. `wakeword.kernels.dot`."""
    viper = [f"{module}.{name}" for module, names in kernel_modules().items() for name in names]
    if variant == VIPER:
        return viper
    assembler = []
    for module, data in compiled_firmware().items():
        if _is_assembler_of_kernels(module):
            for name in machine_code(from_bytes(data)):
                full = f"{module.removesuffix(_ASSEMBLER_SUFFIX)}.{name}"
                if full not in viper:
                    raise HostToolError(f"{full} exists in assembler only, without its reference")
                assembler.append(full)
    return assembler


def load_kernels(machine: XtensaMachine, variant: str = VIPER) -> dict[str, Function]:
    """Load all kernels; with ASSEMBLER, those that have one are the assembler functions."""
    loaded: dict[str, Function] = {}
    for module in kernel_modules():
        for name, function in machine.load(compiled_firmware()[module]).items():
            loaded[f"{module}.{name}"] = function
    if variant == ASSEMBLER:
        names = kernel_names(ASSEMBLER)
        for module, data in compiled_firmware().items():
            if _is_assembler_of_kernels(module):
                for name, function in machine.load(data).items():
                    full = f"{module.removesuffix(_ASSEMBLER_SUFFIX)}.{name}"
                    assert full in names
                    loaded[full] = function
    return loaded
