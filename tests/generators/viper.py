"""Runs the firmware's viper kernels in CPython, with every integer and every access watched.

The kernels' own source is executed with stand-ins for `int`, `ptr8`, `ptr16` and `ptr32`: an
intermediate that leaves int32 raises `Overflow` (or wraps, as on the chip), a load or store
outside the buffers given raises `Outside`.  So a bound can be tried at its very limit, which
neither the 64-bit host nor the chip, where it would silently wrap, can show.  Slow; for tests.
"""

from __future__ import annotations

import ast
import operator
import types
from functools import lru_cache

from host_tools.shared_firmware import FIRMWARE

_OPERATORS = ("add", "sub", "mul", "and_", "or_", "xor", "lshift", "rshift")


class Overflow(ArithmeticError):
    """An intermediate does not fit int32."""


class Outside(IndexError):
    """A load or store outside all buffers, or one that is not aligned."""


def _int32(wraps: bool) -> type:
    """A class of int32 whose arithmetic raises Overflow where it leaves int32, or wraps."""

    class Int32(int):
        def __neg__(self):
            return checked(-int(self))

    def checked(value: int) -> Int32:
        if not -(1 << 31) <= value < 1 << 31:
            if not wraps:
                raise Overflow(value)
            value = ((value + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)
        return Int32(value)

    def forward(function):
        return lambda a, b: checked(function(int(a), int(b)))

    def backward(function):
        return lambda a, b: checked(function(int(b), int(a)))

    for name in _OPERATORS:
        function, word = getattr(operator, name), name.rstrip("_")
        setattr(Int32, f"__{word}__", forward(function))
        setattr(Int32, f"__r{word}__", backward(function))
    Int32.checked = staticmethod(checked)
    return Int32


class Memory:
    """Buffers at addresses, with gaps between them."""

    GAP = 1 << 12

    def __init__(self) -> None:
        self.buffers: list[tuple[int, bytes | bytearray]] = []
        self._next = self.GAP

    def place(self, data: bytes | bytearray) -> int:
        """Place a buffer without copying it; return its address, aligned to 16.

        A store into `bytes` is Outside.
        """
        address = self._next
        self.buffers.append((address, data))
        self._next = (address + len(data) + self.GAP + 15) & ~15
        return address

    def find(self, address: int, size: int) -> tuple[bytes | bytearray, int]:
        """The buffer in which `size` bytes at `address` lie, and where in it."""
        for start, data in self.buffers:
            if start <= address and address + size <= start + len(data) and not address % size:
                return data, address - start
        raise Outside(f"{size} bytes at {address}")


def _pointer(memory: Memory, size: int, int32: type) -> type:
    """The class ptr8, ptr16 or ptr32 over `memory`; loads of ptr32 are signed, as on the chip."""

    class Pointer:
        def __init__(self, address):
            self.address = int(address)

        def __int__(self):
            return self.address

        def __getitem__(self, i):
            data, at = memory.find(self.address + size * i, size)
            return int32(int.from_bytes(data[at : at + size], "little", signed=size == 4))

        def __setitem__(self, i, value):
            data, at = memory.find(self.address + size * i, size)
            if not isinstance(data, bytearray):
                raise Outside("a store into what is read only")
            data[at : at + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    return Pointer


class _Literals(ast.NodeTransformer):
    """Every integer literal becomes an int32."""

    def visit_Constant(self, node):
        if type(node.value) is int:
            call = ast.Call(ast.Name("int", ast.Load()), [node], [])
            return ast.copy_location(call, node)
        return node


@lru_cache(maxsize=8)
def _compiled(module: str) -> tuple[types.CodeType, dict[str, list[str]]]:
    """A kernel module's functions as code, and each function's types of arguments."""
    path = FIRMWARE / (module.replace(".", "/") + ".py")
    tree = ast.parse(path.read_text(), str(path))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    kinds = {f.name: [a.annotation.id for a in f.args.args] for f in functions}
    for function in functions:
        for argument in function.args.args:
            argument.annotation = None
    tree.body = functions
    tree = ast.fix_missing_locations(_Literals().visit(tree))
    return compile(tree, str(path), "exec"), kinds


def load_kernels(memory: Memory, module: str = "wakeword.kernels", wraps: bool = False) -> dict:
    """{name: function} of a kernel module; they take addresses and ints."""
    code, kinds = _compiled(module)
    int32 = _int32(wraps)
    names: dict = {"int": lambda value: int32.checked(int(value))}
    for size in (1, 2, 4):
        names[f"ptr{8 * size}"] = _pointer(memory, size, int32)

    def viper(function):
        casts = [names[kind] for kind in kinds[function.__name__]]
        return lambda *args: function(*(c(a) for c, a in zip(casts, args, strict=True)))

    names["micropython"] = types.SimpleNamespace(viper=viper)
    exec(code, names)
    return {name: names[name] for name in kinds}
