"""Reads from .mpy files how large the call frame of each bytecode function is.

The interpreter puts a frame of more than MAX_STACK_WORDS on the garbage-collected heap: an
allocation at the call and a free at the return (MicroPython's py/objfun.c, VM_MAX_STATE_ON_STACK).
`gc.mem_alloc()` shows nothing of it afterwards, and under `heap_lock()` the frame goes on the C
stack instead, so only the compiled code tells. Names come from the source, since a .mpy file does
not spell those that are MicroPython's built-in strings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from host_tools.errors import HostToolError
from host_tools.xtensa.compile import run_mpy_cross
from host_tools.xtensa.function_names import own_name
from host_tools.xtensa.mpy import KIND_BYTECODE, Code, Mpy, from_bytes

#: The largest state that stays on the C stack.
MAX_STACK_WORDS = 11
#: A handler, a stack pointer and the previous exception, for each `try` inside another.
EXCEPTION_WORDS = 3
_GENERATOR = 1

Scope = (
    ast.FunctionDef
    | ast.AsyncFunctionDef
    | ast.ClassDef
    | ast.Lambda
    | ast.ListComp
    | ast.SetComp
    | ast.DictComp
    | ast.GeneratorExp
)
_UNNAMED = {
    ast.Lambda: "<lambda>",
    ast.ListComp: "<listcomp>",
    ast.SetComp: "<setcomp>",
    ast.DictComp: "<dictcomp>",
    ast.GeneratorExp: "<genexpr>",
}


@dataclass(frozen=True)
class Frame:
    """The frame of one bytecode function; a generator allocates its own when it is made."""

    name: str
    words: int
    is_generator: bool

    @property
    def is_on_heap(self) -> bool:
        """Return whether a call allocates."""
        return self.is_generator or self.words > MAX_STACK_WORDS


def state(data: bytes) -> tuple[int, bool]:
    """Return (words of state and exception stack, whether it is a generator) of bytecode.

    The signature's bits are interleaved: MP_BC_PRELUDE_SIG_DECODE in MicroPython's py/bc.h.
    """
    byte = data[0]
    n_state, n_exceptions, flags = byte >> 3 & 15, byte >> 2 & 1, 0
    n = 0
    while byte & 0x80:
        byte = data[n + 1]
        n_state |= (byte & 0x30) << 2 * n
        n_exceptions |= (byte & 2) << n
        flags |= (byte >> 6 & 1) << n
        n += 1
    return n_state + 1 + EXCEPTION_WORDS * n_exceptions, bool(flags & _GENERATOR)


def _scopes(node: ast.AST) -> Iterator[Scope]:
    """Yield the scopes directly inside `node`, in the order in which they are compiled."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "False":
            continue  # for type checkers alone
        if isinstance(child, Scope):
            yield child
        else:
            yield from _scopes(child)


def frames_of(mpy: Mpy, source: str) -> Iterator[Frame]:
    """Yield the frame of every bytecode function, by its name in `source`: `Class.method`.

    A class body is a function too, called once.
    """

    def visit(code: Code, node: ast.AST, prefix: str) -> Iterator[Frame]:
        scopes = list(_scopes(node))
        if len(scopes) != len(code.children):
            raise HostToolError(f"the source and the .mpy differ in {prefix or 'the module'}")
        for scope, child in zip(scopes, code.children, strict=True):
            name = getattr(scope, "name", None) or _UNNAMED[type(scope)]
            if child.kind != KIND_BYTECODE:
                continue
            if (own_name(mpy, child) or name) != name:
                raise HostToolError(f"{prefix}{name} is {own_name(mpy, child)} in the .mpy")
            yield Frame(prefix + name, *state(child.data))
            yield from visit(child, scope, f"{prefix}{name}.")

    yield from visit(mpy.root, ast.parse(source), "")


def frames(path: Path) -> list[Frame]:
    """Return the frames of a firmware module, compiled for the chip."""
    mpy = from_bytes(run_mpy_cross(path, "-march=xtensawin"))
    return list(frames_of(mpy, path.read_text(encoding="utf-8")))
