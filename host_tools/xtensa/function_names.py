"""Finds the names of a .mpy file's machine-code functions.

A viper function does not carry its
name; the bytecode around it does: MAKE_FUNCTION <child>, then STORE_NAME <name>. So the module's
bytecode is walked, instruction by instruction (encoding: MicroPython's py/bc0.h).
"""

from __future__ import annotations

from host_tools.errors import HostToolError
from host_tools.xtensa.mpy import (
    KIND_ASM,
    KIND_BYTECODE,
    KIND_NATIVE,
    KIND_VIPER,
    Code,
    Mpy,
)

_FORMATS = 0x000003A4  # two bits for each high nibble of the opcode: byte, name, varint, offset
_MAKE_FUNCTION, _MAKE_FUNCTION_DEFARGS, _STORE_NAME, _STORE_GLOBAL = 0x32, 0x33, 0x16, 0x17
_EXTRA_BYTE_MASK = 0x9E
_DAMAGED = "make the file again with: mpy-cross -march=xtensawin"


def _varint(data: bytes, pos: int) -> tuple[int, int]:
    value = 0
    while True:
        byte = data[pos]
        pos += 1
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            return value, pos


def _opcodes_start(data: bytes) -> tuple[int, int]:
    """Return (index of the function's own name, position of the first opcode)."""
    pos = 0
    while data[pos] & 0x80:  # the signature: only its length matters here
        pos += 1
    pos += 1
    n_info = n_cell = shift = 0
    while True:
        byte = data[pos]
        pos += 1
        n_cell |= (byte & 1) << shift
        n_info |= (byte >> 1 & 0x3F) << 6 * shift
        shift += 1
        if not byte & 0x80:
            break
    return _varint(data, pos)[0], pos + n_info + n_cell


def _stored_names(data: bytes) -> dict[int, int]:
    """Return {child index: index of the name it is stored under} of one bytecode function."""
    stored, child = {}, None
    pos = _opcodes_start(data)[1]
    while pos < len(data):
        opcode = data[pos]
        pos += 1
        kind = _FORMATS >> 2 * (opcode >> 4) & 3
        argument = 0
        if kind == 3:  # a jump: one or two bytes
            pos += 2 if data[pos] & 0x80 else 1
        elif kind:
            argument, pos = _varint(data, pos)
        if not opcode & _EXTRA_BYTE_MASK:
            pos += 1  # MAKE_CLOSURE and UNWIND_JUMP, for example, carry one more byte
        if opcode in (_MAKE_FUNCTION, _MAKE_FUNCTION_DEFARGS):
            child = argument
        elif opcode in (_STORE_NAME, _STORE_GLOBAL):
            if child is not None:
                stored[child] = argument
            child = None
    return stored


def own_name(mpy: Mpy, code: Code) -> str | None:
    """Return the name of a bytecode function; None where it is one of the built-in strings."""
    return mpy.names[_opcodes_start(code.data)[0]]


def machine_code(mpy: Mpy) -> dict[str, Code]:
    """Return {name: code} of every viper and assembler function, in the order of the file.

    A function inside a class or function is named `Outer.inner`; one whose name is not stored in
    the file (it is one of MicroPython's built-in strings, or never assigned) is `Outer.#2`.
    """
    functions: dict[str, Code] = {}

    def name_of(index: int, fallback: str) -> str:
        if index >= len(mpy.names):
            raise IndexError(index)
        return mpy.names[index] or fallback

    def visit(code: Code, prefix: str) -> None:
        stored = _stored_names(code.data) if code.kind == KIND_BYTECODE else {}
        for i, child in enumerate(code.children):
            name = f"#{i}"
            if i in stored:
                name = name_of(stored[i], name)
            elif child.kind == KIND_BYTECODE:
                name = name_of(_opcodes_start(child.data)[0], name)
            if child.kind in (KIND_VIPER, KIND_ASM):
                key = prefix + name
                if key in functions:  # defined twice, as in `if ...: def f` / `else: def f`
                    key += f"#{i}"
                functions[key] = child
            if child.kind in (KIND_BYTECODE, KIND_NATIVE):
                visit(child, f"{prefix}{name}.")

    try:
        visit(mpy.root, "")
    except IndexError as error:
        raise HostToolError(".mpy file is damaged: bytecode ends too early", _DAMAGED) from error
    return functions
